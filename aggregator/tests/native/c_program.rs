//! A program in C links the library and reports to the collector.

use std::process::Command;

use crate::site::{Site, built, root};

#[test]
fn a_program_in_c_reports_and_is_counted() {
    let made = built(&["rustc", "--lib", "--crate-type", "staticlib"]);
    let library = made.iter().find(|file| file.extension().is_some_and(|end| end == "a")).unwrap();
    let site = Site::new();
    let program = site.folder("program");
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o"])
        .arg(&program)
        .arg(root().join("aggregator/tests/native/program.c"))
        .arg(library)
        .arg("-I")
        .arg(root().join("sdk/include"))
        .args(["-lpthread", "-ldl", "-lm"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let output =
        Command::new(&program).arg(site.folder("state")).args([&site.url, &site.key]).output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{error}");
    let status: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&status["counted"], &status["last_upload"]), (&40.into(), &"delivered".into()), "{said}");
    // Four threads recorded at once, ten times each, and one answer was refused for its kind.
    assert_eq!((site.counted("slow"), site.counted("command")), (40, 0));
}
