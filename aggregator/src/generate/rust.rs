//! Wrappers in Rust: a struct for each event, an enum for each list of labels.

use std::collections::BTreeMap;
use std::fmt::Write;

use deniable::registry::{Declared, EventType, Property, RegistryHash};

use super::names::{Case, identifiers};
use super::{header, questions};

/// Stands between an event and its property in the name of their enum's scope; no name of a program has it.
const OF: char = '\0';

/// The wrappers of a registry's events as a module. It uses the crate `deniable` and nothing else.
///
/// ```text
/// Opened { screen: Some(OpenedScreen::Home), ..Opened::default() }.track(|name, properties| client.track(name, properties));
/// ```
pub fn rust(declared: &Declared, hash: RegistryHash) -> String {
    let mut out = String::new();
    for line in header(hash) {
        out.push_str(format!("//! {line}").trim_end());
        out.push('\n');
    }
    out.push_str(
        "//!\n//! Each event is a struct of its properties; those that are left out are not tracked. Give it to a client by\n//! `event.track(|name, properties| client.track(name, properties))`.\n\n#![allow(dead_code, non_camel_case_types, non_snake_case, unreachable_pub)]\n\nuse deniable::insight::Property;\n",
    );
    let questions = questions(declared);
    let events = &declared.events;
    let types = types(events);
    let names = types.keys().map(String::as_str);
    let types_of = identifiers(names, Case::Pascal, &["Property", "Option", "Some", "None", "Vec"]);
    for (name, event) in events {
        let asked = questions.get(name).map_or(&[][..], Vec::as_slice);
        let written = Written { name, event, asked, types: &types_of };
        written.structure(&mut out);
        written.tracking(&mut out);
        written.labels(&mut out);
    }
    out
}

const WRITES: &str = "a string takes all that is written";

/// The scopes of all types: events, and properties with labels.
fn types(events: &BTreeMap<String, EventType>) -> BTreeMap<String, ()> {
    let mut types = BTreeMap::new();
    for (name, event) in events {
        types.insert(name.clone(), ());
        for (property, kind) in &event.properties {
            if let Property::Labels(_) = kind {
                types.insert(format!("{name}{OF}{property}"), ());
            }
        }
    }
    types
}

/// An event that is written.
struct Written<'a> {
    name: &'a str,
    event: &'a EventType,
    asked: &'a [String],
    types: &'a BTreeMap<&'a str, String>,
}

impl Written<'_> {
    fn fields(&self) -> BTreeMap<&str, String> {
        identifiers(self.event.properties.keys().map(String::as_str), Case::Snake, &[])
    }

    /// The lifetime of the struct, if it holds texts.
    fn lifetime(&self) -> &'static str {
        let text = self.event.properties.values().any(|kind| *kind == Property::Text);
        if text { "<'a>" } else { "" }
    }

    fn enumeration(&self, property: &str) -> &str {
        &self.types[&*format!("{}{OF}{property}", self.name)]
    }

    fn structure(&self, out: &mut String) {
        let ty = &self.types[self.name];
        out.push('\n');
        docs(out, "", &format!("The event {:?}.", self.name));
        for question in self.asked {
            out.push_str("///\n");
            docs(out, "", &format!("Asked: {question}"));
        }
        writeln!(out, "#[derive(Clone, Copy, Debug, Default, PartialEq)]").expect(WRITES);
        if self.event.properties.is_empty() {
            writeln!(out, "pub struct {ty};").expect(WRITES);
            return;
        }
        writeln!(out, "pub struct {ty}{} {{", self.lifetime()).expect(WRITES);
        let fields = self.fields();
        for (property, kind) in &self.event.properties {
            docs(out, "    ", &format!("The property {property:?}."));
            let of = match kind {
                Property::Flag => "bool",
                Property::Number => "f64",
                Property::Text => "&'a str",
                Property::Labels(_) => self.enumeration(property),
            };
            writeln!(out, "    pub {}: Option<{of}>,", fields[&**property]).expect(WRITES);
        }
        out.push_str("}\n");
    }

    fn tracking(&self, out: &mut String) {
        let ty = &self.types[self.name];
        let (generic, lifetime) = (self.lifetime(), self.lifetime());
        let name = literal(self.name);
        write!(
            out,
            "\nimpl{generic} {ty}{lifetime} {{\n    /// Gives the event to what tracks it, as its name and its properties.\n    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {{\n"
        )
        .expect(WRITES);
        if self.event.properties.is_empty() {
            writeln!(out, "        track({name}, &[])\n    }}\n}}").expect(WRITES);
            return;
        }
        out.push_str("        let properties = [\n");
        let fields = self.fields();
        for (property, kind) in &self.event.properties {
            let value = match kind {
                Property::Flag => "Property::Flag(value)",
                Property::Number => "Property::Number(value)",
                Property::Text => "Property::Text(value)",
                Property::Labels(_) => "Property::Text(value.label())",
            };
            let (field, property) = (&fields[&**property], literal(property));
            writeln!(out, "            self.{field}.map(|value| ({property}, {value})),").expect(WRITES);
        }
        writeln!(
            out,
            "        ];\n        track({name}, &properties.into_iter().flatten().collect::<Vec<_>>())\n    }}\n}}"
        )
        .expect(WRITES);
    }

    fn labels(&self, out: &mut String) {
        for (property, kind) in &self.event.properties {
            let Property::Labels(labels) = kind else { continue };
            let ty = self.enumeration(property);
            out.push('\n');
            docs(out, "", &format!("What the property {property:?} of {:?} can be.", self.name));
            writeln!(out, "#[derive(Clone, Copy, Debug, PartialEq, Eq)]\npub enum {ty} {{").expect(WRITES);
            let all = super::with_other(labels);
            let variants = identifiers(all.iter().copied(), Case::Pascal, &[]);
            for label in &all {
                docs(out, "    ", &format!("{label:?}."));
                writeln!(out, "    {},", variants[label]).expect(WRITES);
            }
            write!(
                out,
                "}}\n\nimpl {ty} {{\n    /// The label.\n    pub const fn label(self) -> &'static str {{\n        match self {{\n"
            )
            .expect(WRITES);
            for label in &all {
                writeln!(out, "            Self::{} => {},", variants[label], literal(label)).expect(WRITES);
            }
            out.push_str("        }\n    }\n}\n");
        }
    }
}

/// A text as Rust writes it.
fn literal(text: &str) -> String {
    format!("{text:?}")
}

/// A doc comment; what holds lines becomes lines.
fn docs(out: &mut String, indent: &str, text: &str) {
    for line in text.lines() {
        writeln!(out, "{indent}/// {line}").expect(WRITES);
    }
}
