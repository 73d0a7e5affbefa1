//! The examples do what they say, and what they count arrives.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::site::{Site, example, until};

#[test]
fn notes_are_kept_and_commands_counted_when_the_user_agrees() {
    let (site, program) = (Site::new(), example("notes"));
    let notes = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.arg(site.folder("notes")).args([&site.url, &site.key]).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(notes(&["add", "buy bread"]), "");
    assert_eq!(notes(&["agree"]), "");
    let counted = "(counted, behind a veil of chance)\n";
    assert_eq!(notes(&["add", "sell bread"]), counted);
    assert_eq!(notes(&["list"]), format!("buy bread\nsell bread\n{counted}"));
    assert_eq!(notes(&["find", "sell"]), format!("sell bread\n{counted}"));
    let privacy = notes(&["privacy"]);
    for part in ["Which command was this run", "command: 3 reports, 3 of them waiting", "ε 1.", "left"] {
        assert!(privacy.contains(part), "{part:?} is missing in: {privacy}");
    }
    assert_eq!(site.counted("command"), 0);
    assert_eq!(notes(&["sync"]), "Done\n");
    assert_eq!(site.counted("command"), 3);
    notes(&["disagree"]);
    assert_eq!(notes(&["add", "nothing"]), "");
    assert_eq!((notes(&["sync"]).as_str(), site.counted("command")), ("Done\n", 3));

    // Without a place for its figures it keeps notes all the same.
    let spoiled = site.folder("spoiled");
    fs::create_dir_all(spoiled.join("telemetry")).unwrap();
    fs::write(spoiled.join("telemetry/other"), "").unwrap();
    let output =
        Command::new(&program).arg(&spoiled).args([&site.url, &site.key, "add", "one"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(spoiled.join("notes.txt")).unwrap(), "one\n");
}

#[test]
fn a_service_reports_in_the_background_and_ends_cleanly() {
    let site = Site::new();
    let mut service = Command::new(example("service"))
        .arg(site.folder("service"))
        .args([&site.url, &site.key, "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(service.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").expect(&line);
    let ask = |words: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        writeln!(stream, "{words}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for _ in 0..20 {
        assert_eq!(ask("abc"), "cba\n");
    }
    // Nobody flushes.
    until(|| site.counted("slow") == 20);
    assert_eq!(ask("last"), "tsal\n");
    ask("stop");
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "Written\n");
    assert!(service.wait().unwrap().success());
    assert_eq!(site.counted("slow"), 21);
}
