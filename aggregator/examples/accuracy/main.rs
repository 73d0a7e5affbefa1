//! Measures the decoder and prints what is kept in `aggregator/ACCURACY.md`:
//!
//! ```text
//! cargo run --release -p deniable-aggregator --example accuracy -- --cases DIR > aggregator/ACCURACY.md
//! ```
//!
//! DIR holds cases of google/rappor, a folder each with its files, plain or gzipped; without it that part is left out.

#![allow(clippy::print_stdout, reason = "the tables go to standard output")]

mod cases;
mod grid;
mod scale;
mod whole;

use std::path::PathBuf;

use clap::Parser;

#[derive(Parser)]
struct Args {
    /// Runs only the cells of the grid whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Seeds of each cell; a tenth of them where there are 100,000 candidates
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Cases of google/rappor
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
}

fn main() {
    let args = Args::parse();
    println!("# Accuracy and speed of the decoder\n");
    println!(
        "Made by `cargo run --release -p deniable-aggregator --example accuracy -- --cases DIR`. All seeds are fixed.\n"
    );
    if let Some(cases) = &args.cases {
        cases::print(cases);
    }
    scale::print();
    whole::print();
    grid::print(&args.only, args.seeds);
}

/// The most memory this process has held since it was last asked, in MiB; 0 where the system does not tell.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    // Writing 5 starts the peak anew. Where that fails the figure is the peak so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kib.unwrap_or(0u64) / 1024
}
