//! Steps: commands that are announced, timed, and named when they fail.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// The steps so far, with their times.
#[derive(Default)]
pub(crate) struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    /// Runs a step and notes its time.
    pub(crate) fn run(&mut self, name: &'static str, command: Command) -> anyhow::Result<()> {
        let start = Instant::now();
        run(name, command)?;
        println!("  {name}: {:.1} s", start.elapsed().as_secs_f64());
        self.0.push((name, start.elapsed()));
        Ok(())
    }
}

/// Runs a step whose output shall be the last.
pub(crate) fn run(name: &str, mut command: Command) -> anyhow::Result<()> {
    println!("\n▶ {name}: {}", Line(&command));
    let status = command.status().with_context(|| missing(&command))?;
    check(name, &command, status)
}

/// Runs `cargo test`, passes on what it says, and closes with the sum over all of its programs.
pub(crate) fn run_tests(mut command: Command) -> anyhow::Result<()> {
    println!("\n▶ tests: {}", Line(&command));
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| missing(&command))?;
    let mut sum = [0; 3];
    for line in BufReader::new(child.stdout.take().context("standard output is piped")?).lines() {
        let line = line?;
        println!("{line}");
        for (total, what) in sum.iter_mut().zip([" passed;", " failed;", " ignored;"]) {
            *total += counted(&line, what).unwrap_or(0);
        }
    }
    let status = child.wait()?;
    println!("\n{} passed, {} failed, {} skipped", sum[0], sum[1], sum[2]);
    check("tests", &command, status)
}

/// The number before `what` in a closing line of a test program.
fn counted(line: &str, what: &str) -> Option<u32> {
    let (before, _) = line.strip_prefix("test result: ")?.split_once(what)?;
    before.rsplit(' ').next()?.parse().ok()
}

fn missing(command: &Command) -> String {
    format!("{} cannot be run; is it installed?", command.get_program().display())
}

fn check(name: &str, command: &Command, status: ExitStatus) -> anyhow::Result<()> {
    let line = Line(command);
    ensure!(status.success(), "step \"{name}\" failed ({status}). To repeat it alone:\n    {line}");
    Ok(())
}

/// A program and its arguments, parted by blanks.
pub(crate) fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a split has a first part"));
    command.args(words);
    command
}

impl fmt::Display for Steps {
    /// A table of the times.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, time) in &self.0 {
            writeln!(f, "  {name:<24}{:>7.1} s", time.as_secs_f64())?;
        }
        let total: Duration = self.0.iter().map(|(_, time)| time).sum();
        write!(f, "  {:<24}{:>7.1} s", "together", total.as_secs_f64())
    }
}

/// A command as one would type it in the workspace's folder.
struct Line<'a>(&'a Command);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |word: &str| if word.contains(' ') { format!("'{word}'") } else { word.to_owned() };
        for (name, value) in self.0.get_envs() {
            let value = value.unwrap_or_default().to_string_lossy();
            write!(f, "{}={} ", name.display(), quoted(&value))?;
        }
        let program = Path::new(self.0.get_program());
        write!(f, "{}", program.display())?;
        self.0.get_args().try_for_each(|word| write!(f, " {}", quoted(&word.to_string_lossy())))
    }
}
