//! What stands beside a figure: what it leaves out, and the alarms of its reports.

use std::io::{self, Write};

use deniable_aggregator::survey::Survey;

/// Writes a line for each.
pub(crate) fn write(survey: &Survey, out: &mut dyn Write) -> io::Result<()> {
    survey.left_out.iter().try_for_each(|omitted| writeln!(out, "{omitted}"))?;
    if survey.improbable > 0 {
        writeln!(out, "{} reports have an improbable number of ones.", survey.improbable)?;
    }
    survey.alarms.iter().try_for_each(|alarm| writeln!(out, "{alarm}"))
}
