//! The names of columns.

use std::collections::BTreeSet;

use freshet_model::{ColumnName, JsonPath};

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// What stands in the definition; none: the name finds the field.
    pub(crate) path: Option<String>,
    pub(crate) note: Option<String>,
}

/// Columns that every table has besides, in lower case.
const OURS: [&str; 5] = ["received_at", "written_at", "request_id", "_partition", "_offset"];

/// A name for the values at a path that no other column has yet, whatever its case. None: no column can be made that finds them.
pub(crate) fn name_of(path: &[String], taken: &mut BTreeSet<String>) -> Option<Named> {
    let text = path.join(".");
    let is_reachable =
        text.parse::<JsonPath>().is_ok_and(|parsed| parsed.steps().len() == path.len() && parsed.to_string() == text);
    let own = path.last()?;
    let is_plain = path.len() == 1 && ColumnName::parse(own).is_ok();
    if !is_reachable && !is_plain {
        return None;
    }
    let candidates = [sanitized(own), sanitized(&path.join("_"))].into_iter();
    let numbered = (2..).map(|number| format!("{}_{number}", sanitized(&path.join("_"))));
    let is_free = |name: &String| {
        let lower = name.to_ascii_lowercase();
        !taken.contains(&lower) && !OURS.contains(&lower.as_str()) && ColumnName::parse(name).is_ok()
    };
    let name = candidates.chain(numbered.take(1_000)).find(is_free)?;
    taken.insert(name.to_ascii_lowercase());
    let is_as_it_comes = path.len() == 1 && name == *own;
    let note =
        OURS.contains(&own.to_ascii_lowercase().as_str()).then(|| format!("{own} is the name of a column of ours"));
    Some(Named { name, path: (!is_as_it_comes).then_some(text), note })
}

/// A text as a column's name: letters, digits and `_`.
fn sanitized(text: &str) -> String {
    let mut name: String =
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).take(100).collect();
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        name.insert_str(0, "source_");
    }
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name.insert_str(0, "c_");
    }
    name
}
