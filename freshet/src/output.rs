//! What commands print: results to standard output, everything else to standard error.

use std::io::{self, Write};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

/// Writes a line to standard output. A reader that has gone away (`| head`) is no error.
pub(crate) fn line(text: impl AsRef<str>) {
    let _ = writeln!(io::stdout().lock(), "{}", text.as_ref());
}

/// Writes a line to standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Writes a value as JSON to standard output.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(text),
        Err(source) => note(format!("the result can't be written as JSON: {source}")),
    }
}

/// A table with its columns aligned; those named in `right` to the right.
#[must_use]
pub(crate) fn table<C: ToString>(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<C>>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    for row in rows {
        table.add_row(row.iter().map(ToString::to_string));
    }
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// A JSON value as a cell shows it.
#[must_use]
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A progress bar on standard error over records; hidden where it would disturb.
#[must_use]
pub(crate) fn progress(records: u64, hidden: bool) -> ProgressBar {
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target((records > 0).then_some(records), target);
    let template = if records > 0 {
        "{bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left"
    } else {
        "{spinner} {human_pos} records, {per_sec}"
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A whole number with its thousands apart: `69,659`.
#[must_use]
pub(crate) fn thousands(number: u64) -> String {
    freshet_http::grouped(usize::try_from(number).unwrap_or(usize::MAX))
}
