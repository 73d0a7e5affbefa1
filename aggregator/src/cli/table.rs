//! Tables for people: no wider than the terminal, or than a page where there is none.

use std::ops::RangeBounds;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

/// Columns of a page, for output that goes to a file or another program.
const PAGE: u16 = 120;

/// Starts a table under these headings, in which the columns `numbers` hold numbers.
pub(crate) fn table<H: Into<Cell>>(
    headings: impl IntoIterator<Item = H>,
    numbers: impl RangeBounds<usize>,
) -> Table {
    let width = terminal_size::terminal_size().map_or(PAGE, |(width, _)| width.0);
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(headings.into_iter().map(Into::into).collect::<Vec<Cell>>());
    for (place, column) in table.column_iter_mut().enumerate() {
        if numbers.contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
