//! The rows of a lake, as writer and reader pass them on.

use super::LakeError;

/// What takes rows, one after the other.
pub type TakeRow<'a> = dyn FnMut(&Row<'_>) -> Result<(), LakeError> + 'a;

/// The reports of one source, tags and cohort: their sums, or those of them that have the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The name of the write key that they came under; empty if there was none.
    pub source: &'a str,
    /// Their public tags, as canonical text.
    pub tags: &'a str,
    /// Their cohort.
    pub cohort: u16,
    /// How many they are.
    pub reports: u64,
    /// What is known of them.
    pub cells: Cells<'a>,
}

/// What is known of the reports of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells<'a> {
    /// How many of them set each bit.
    Ones(&'a [u64]),
    /// The bits that each of them has.
    Bits(&'a [u8]),
}
