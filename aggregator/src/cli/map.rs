//! `deniable map`: from candidates to a map file.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use deniable_aggregator::map_file::{hash_each, write_map};
use deniable_aggregator::rappor_files::{FileError, stream_candidates};

use super::output::Output;
use super::parameters;
use super::progress::Progress;
use super::table::table;

/// Hash candidates into a map, once for many decodes.
///
/// Parameters in google/rappor's params.csv make its map.csv, byte for byte; parameters in a .toml or .json file make
/// a map of our hash functions, which carries their fingerprint. Candidates are read and written as a stream.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Parameters: google/rappor's params.csv, or ours as .toml or .json
    #[arg(long, value_name = "FILE")]
    params: PathBuf,
    /// Candidates, one per line
    #[arg(long, value_name = "FILE")]
    candidates: PathBuf,
    /// File to write instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to write the map
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What `deniable decode --map` reads
    Csv,
    /// An object with candidate and cells on each line; cells are cohort · k + bit, from 0
    Json,
    /// For people: the bits of each candidate in the first cohorts
    Table,
}

/// Bytes of candidates from which on progress is shown.
const LONG: u64 = 1 << 20;
/// Cohorts that a table shows.
const SHOWN: usize = 8;

pub(crate) fn run(args: &Args) -> Result<()> {
    let (params, hashing) = parameters::read(&args.params)?;
    let size = args.candidates.metadata().map(|file| file.len()).unwrap_or(0);
    let progress = (size > LONG).then(|| Progress::new("bytes of candidates", size));
    let advance = |name: &Result<String, FileError>| {
        if let (Some(progress), Ok(name)) = (&progress, name) {
            progress.advance(name.len() as u64 + 1);
        }
    };
    let names = stream_candidates(&args.candidates)?.inspect(advance);
    let mut out = Output::to(args.out.as_deref())?;
    match args.format {
        Format::Csv => write_map(&mut out, &params, hashing, names)?,
        Format::Json => {
            let row = |candidate: &str, cells: &[usize]| serde_json::json!({ "candidate": candidate, "cells": cells });
            hash_each(&params, hashing, names, row, |row| writeln!(out, "{row}"))?;
        }
        Format::Table => {
            let shown = params.cohorts().min(SHOWN);
            let cohorts = (0..shown).map(|cohort| format!("cohort {cohort}"));
            let mut table = table(["candidate".to_owned()].into_iter().chain(cohorts), ..0);
            let row = |candidate: &str, cells: &[usize]| {
                let bits = |cells: &[usize]| {
                    cells.iter().map(|cell| (cell % params.bits()).to_string()).collect::<Vec<_>>().join(" ")
                };
                let cohorts = cells.chunks(params.hashes()).take(shown).map(bits);
                [candidate.to_owned()].into_iter().chain(cohorts).collect::<Vec<_>>()
            };
            hash_each(&params, hashing, names, row, |row| {
                table.add_row(row);
                Ok(())
            })?;
            writeln!(out, "{table}")?;
        }
    }
    out.finish()
}
