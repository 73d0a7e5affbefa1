//! A small program for notes that counts its own commands, if its user agrees.
//!
//! ```sh
//! notes FOLDER COLLECTOR KEY add "buy bread"
//! ```
//!
//! FOLDER holds the notes, and the client's state beside them. Such a program ends at once, so nothing is sent at its leisure: what a
//! run adds waits its random time on the disk, and leaves during a later run. `notes … sync` is for who does not want to wait.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use deniable::client::{Consent, Recorded};
use deniable::insight::Property;
use deniable::native::{Catalog, NativeClient, Options};
use deniable::{Answer, MetricId};

const USAGE: &str =
    "usage: notes FOLDER COLLECTOR KEY add TEXT | list | find TEXT | agree | disagree | privacy | sync";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, collector, key, command, text @ ..] = &arguments[..] else { return Err(USAGE.into()) };
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;

    // Until the user agrees nothing is kept, and nothing leaves. A choice is remembered.
    let options = Options::new(folder.join("telemetry"), collector, Catalog::Fetched)
        .key(key.parse()?)
        .consent(Consent::Pending);
    // A program does its work whether or not its figures can be kept.
    let client = match NativeClient::open(options) {
        Ok(client) => Some(client),
        Err(why) => {
            println!("(not counted: {why})");
            None
        }
    };
    run(folder, command, text, client.as_ref())?;
    if let Some(client) = client {
        client.close(Duration::from_secs(2));
    }
    Ok(())
}

fn run(
    folder: &Path,
    command: &str,
    text: &[String],
    client: Option<&NativeClient>,
) -> Result<(), Box<dyn Error>> {
    let notes = folder.join("notes.txt");
    match (command, text, client) {
        ("add", [note], _) => {
            let mut file = OpenOptions::new().create(true).append(true).open(&notes)?;
            writeln!(file, "{note}")?;
        }
        ("list", [], _) => print!("{}", fs::read_to_string(&notes).unwrap_or_default()),
        ("find", [word], _) => {
            let notes = fs::read_to_string(&notes).unwrap_or_default();
            notes.lines().filter(|note| note.contains(word)).for_each(|note| println!("{note}"));
        }
        ("agree", [], Some(client)) => client.opt_in(),
        ("disagree", [], Some(client)) => client.opt_out(),
        ("privacy", [], Some(client)) => show(client),
        ("sync", [], Some(client)) => println!("{:?}", client.flush(Duration::from_secs(60))),
        _ => return Err(USAGE.into()),
    }
    if let (true, Some(client)) = (["add", "list", "find"].contains(&command), client) {
        count(client, command)?;
    }
    Ok(())
}

/// Tells the client what was done. What the client does with it is no concern of the program's work.
fn count(client: &NativeClient, command: &str) -> Result<(), Box<dyn Error>> {
    client.track("ran", &[("command", Property::Text(command))]);
    let recorded = client.record(&MetricId::new("command")?, Answer::Text(command));
    if recorded == Recorded::Reported {
        println!("(counted, behind a veil of chance)");
    }
    Ok(())
}

/// Shows the user what would be told of them, and what it has cost.
fn show(client: &NativeClient) {
    for preview in client.preview() {
        println!("{} {}", preview.question, preview.in_words());
    }
    let ledger = client.ledger();
    for spent in &ledger.metrics {
        println!("{}: {} reports, {} of them waiting", spent.metric, spent.reports, spent.waiting);
    }
    let week = ledger.this_week;
    println!("this week: ε {:.2} spent, {:.2} left", week.spent.get(), week.left());
}
