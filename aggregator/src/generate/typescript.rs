//! Wrappers in TypeScript: a table of events with the types of their properties, and one function.
//!
//! A property that is named like what every object has, `constructor` or `toString`, cannot be left out of its event there.

use std::fmt::Write;

use deniable::registry::{Declared, Property, RegistryHash};

use super::{header, questions, with_other};

const WRITES: &str = "a string takes all that is written";

/// The wrappers of a registry's events as a module. It imports nothing.
pub fn typescript(declared: &Declared, hash: RegistryHash) -> String {
    let mut out = String::new();
    for line in header(hash) {
        out.push_str(format!("// {line}").trim_end());
        out.push('\n');
    }
    out.push_str(
        "\n/** What tracks events: a client of the package `deniable`, or anything that has its `track`. */\nexport interface Tracker<R = unknown> {\n  track(name: string, properties?: Record<string, string | number | boolean>): R;\n}\n\n/** The events with their properties. Those that are left out are not tracked. */\nexport interface Events {\n",
    );
    let questions = questions(declared);
    for (name, event) in &declared.events {
        let asked = questions.get(name).map_or(&[][..], Vec::as_slice);
        docs(&mut out, asked);
        if event.properties.is_empty() {
            writeln!(out, "  {}: Record<string, never>;", literal(name)).expect(WRITES);
            continue;
        }
        writeln!(out, "  {}: {{", literal(name)).expect(WRITES);
        for (property, kind) in &event.properties {
            writeln!(out, "    {}?: {};", literal(property), type_of(kind)).expect(WRITES);
        }
        out.push_str("  };\n");
    }
    out.push_str(
        "}\n\n/** The client, for events of this registry alone. */\nexport function typed<R>(client: Tracker<R>): TypedTracker<R> {\n  return { track: (name, properties) => client.track(name, properties) };\n}\n\n/** A client that takes no other events, properties, labels and types than these. */\nexport interface TypedTracker<R = unknown> {\n  track<E extends keyof Events>(name: E, properties?: Events[E]): R;\n}\n",
    );
    out
}

fn type_of(kind: &Property) -> String {
    match kind {
        Property::Flag => "boolean".to_owned(),
        Property::Number => "number".to_owned(),
        Property::Text => "string".to_owned(),
        Property::Labels(labels) => {
            with_other(labels).into_iter().map(literal).collect::<Vec<String>>().join(" | ")
        }
    }
}

fn docs(out: &mut String, asked: &[String]) {
    if asked.is_empty() {
        return;
    }
    out.push_str("  /**\n");
    for line in asked.iter().flat_map(|question| question.lines()) {
        // What ends a comment must not end this one.
        writeln!(out, "   * Asked: {}", line.replace("*/", "* /")).expect(WRITES);
    }
    out.push_str("   */\n");
}

/// A text as JavaScript writes it: as JSON does.
fn literal(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}
