//! A proposal as a resource file.

use std::fmt::Write as _;

use freshet_model::PayloadFormat;

use crate::propose::{Candidate, Draft};
use crate::xml::RowTag;

/// The table, with the stream and the database where they are not there yet.
pub(crate) fn table(draft: &Draft<'_>) -> String {
    let sampled = draft.sampled;
    let mut text = format!("# Proposed from {} rows; look at the comments before you apply it.\n\n", draft.records);
    if !sampled.is_known {
        line(&mut text, &format!("[streams.{}]", quoted_key(&sampled.stream)));
        let format = if sampled.format == PayloadFormat::Xml { "xml" } else { "json" };
        line(&mut text, &format!("format = {}\n", quoted(format)));
        if let Some(database) = &sampled.database {
            line(&mut text, &format!("[databases.{}]\n", quoted_key(database)));
        }
    }
    line(&mut text, &format!("[tables.{}]", quoted_key(&sampled.table)));
    line(&mut text, &format!("stream = {}", quoted(&sampled.stream)));
    match &sampled.database {
        Some(database) => line(&mut text, &format!("databases = [{}]", quoted(database))),
        None => line(&mut text, "# databases = [\"retail\"]      # without one, no query sees the table"),
    }
    if let Some(tag) = &draft.row_tag {
        let note = RowTag::note(tag).map(|note| format!("  # {note}")).unwrap_or_default();
        line(&mut text, &format!("row_tag = {}{note}", quoted(&tag.name)));
    }
    if draft.key.columns.is_empty() {
        line(&mut text, "mode = \"append\"              # no column or pair of columns was unique in the sample");
    } else {
        for note in &draft.key.notes {
            line(&mut text, &format!("# {note}"));
        }
        let names: Vec<String> = draft.key_names().iter().map(|name| quoted(name)).collect();
        line(&mut text, &format!("key = [{}]", names.join(", ")));
        match draft.order_name() {
            Some(order) => {
                for note in &draft.order.notes {
                    line(&mut text, &format!("# {note}"));
                }
                line(&mut text, &format!("order_by = {}", quoted(&order)));
            }
            None => line(&mut text, "# order_by: no column looks like a time or a version, so arrival decides"),
        }
    }
    columns(&mut text, draft);
    text
}

/// The same columns as a feed.
pub(crate) fn feed(draft: &Draft<'_>) -> String {
    let mut text = String::from("# This version of freshet takes no feeds yet: keep this for the one that does.\n");
    let name = format!("{}:{}", draft.sampled.stream, draft.sampled.table);
    line(&mut text, &format!("[feeds.{}]", quoted(&name)));
    let names: Vec<String> = draft.key_names().iter().map(|name| quoted(name)).collect();
    line(&mut text, &format!("primary_key = [{}]", names.join(", ")));
    if let Some(order) = draft.order_name() {
        line(&mut text, &format!("last_updated = {}", quoted(&order)));
    }
    columns(&mut text, draft);
    text
}

fn columns(text: &mut String, draft: &Draft<'_>) {
    line(text, "columns = [");
    for candidate in &draft.candidates {
        line(text, &column(candidate, draft.records));
    }
    line(text, "]");
    for field in &draft.unreachable {
        line(text, &format!("# {}: no column's path reaches a field of this name", one_line(field)));
    }
}

fn column(candidate: &Candidate<'_>, records: usize) -> String {
    let Candidate { leaf, named, column_type, notes } = candidate;
    let (name, of_type) = (quoted(&named.name), quoted(&column_type.to_string()));
    let at = named.path.as_ref().map(|path| format!(", path = {}", quoted(path))).unwrap_or_default();
    let column = format!("  {{ name = {name}, type = {of_type}{at} }},");
    let present = leaf.present().count();
    let mut comments = notes.clone();
    if present < records {
        comments.push(format!("null or missing in {} of {records}", records - present));
    }
    if comments.is_empty() { column } else { format!("{column}  # {}", one_line(&comments.join("; "))) }
}

fn line(text: &mut String, content: &str) {
    // Writing to a string never fails.
    let _ = writeln!(text, "{content}");
}

/// A comment must stay one.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// A text as TOML's basic string, which JSON's strings are but for DEL.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default().replace('\u{7f}', "\\u007f")
}

/// A name as a key: bare where it may be.
fn quoted_key(name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_bare { name.to_owned() } else { quoted(name) }
}
