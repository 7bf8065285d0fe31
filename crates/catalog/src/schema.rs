//! What may change about a table, and what changes about any resource, in words.

use std::collections::{BTreeMap, BTreeSet};

use freshet_model::{ColumnDefinition, Definition, Problems, Start, TableDefinition, TableState};
use serde_json::{Map, Value};

/// Longest value that a description of a change shows, in characters.
const SHOWN: usize = 120;

/// The way out of every refused change of a table.
const WAY_OUT: &str =
    "make a new table on the same stream, with start = \"beginning\" to fill it with what the queue still has";

/// The definition of a table that is `old` now and is to be `new`: columns may be added, nothing else that decides what
/// the rows are may change. Columns that are there keep their order; added ones come after them.
pub(crate) fn changed_table(old: &TableDefinition, new: &TableDefinition) -> Result<TableDefinition, Problems> {
    let mut problems = Problems::default();
    if new.stream != old.stream {
        let message =
            format!("the stream of a table can't change; it is {}. Make a new table on {}", old.stream, new.stream);
        problems.add("stream", message);
    }
    let mut fixed = |field: &str, old: &Value, new: &Value| {
        if old != new {
            problems.add(field, format!("can't change in place; it is {}. {}", shown(old), capitalised(WAY_OUT)));
        }
    };
    fixed("row_tag", &json(&old.row_tag), &json(&new.row_tag));
    fixed("mode", &json(&old.mode), &json(&new.mode));
    fixed("key", &json(&old.key), &json(&new.key));
    fixed("order_by", &json(&old.order_by), &json(&new.order_by));
    fixed("merge", &json(&old.merge), &json(&new.merge));
    let columns = changed_columns(old, new, &mut problems);
    problems.or(TableDefinition { columns, ..new.clone() })
}

fn changed_columns(old: &TableDefinition, new: &TableDefinition, problems: &mut Problems) -> Vec<ColumnDefinition> {
    for column in &old.columns {
        if new.column(&column.name).is_none() {
            problems.add("columns", format!("column {} can't be removed; {WAY_OUT}", column.name));
        }
    }
    for (at, column) in new.columns.iter().enumerate() {
        match old.column(&column.name) {
            None if column.required => problems.add(
                format!("columns[{at}].required"),
                format!(
                    "column {} is added to a table with rows, which have no value for it; leave required out",
                    column.name
                ),
            ),
            None => {}
            Some(before) => {
                let mut fixed = |field: &str, was: String, same: bool| {
                    if !same {
                        let message = format!(
                            "of column {} can't change in place; it is {was}. {}",
                            column.name,
                            capitalised(WAY_OUT)
                        );
                        problems.add(format!("columns[{at}].{field}"), message);
                    }
                };
                fixed("type", before.column_type.to_string(), before.column_type == column.column_type);
                fixed("required", before.required.to_string(), before.required == column.required);
                let path = before.path.as_ref().map_or_else(|| "not set".to_owned(), |path| shown(&json(path)));
                fixed("path", path, before.path == column.path);
            }
        }
    }
    let kept = old.columns.iter().cloned();
    let added = new.columns.iter().filter(|column| old.column(&column.name).is_none()).cloned();
    kept.chain(added).collect()
}

/// What differs between two definitions of one resource, a line a field.
pub(crate) fn differences(old: &Definition, new: &Definition) -> Vec<String> {
    let (before, after) = (object(old), object(new));
    let fields: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut lines = Vec::new();
    for field in fields {
        let (was, is) = (before.get(field).unwrap_or(&Value::Null), after.get(field).unwrap_or(&Value::Null));
        if was == is {
            continue;
        }
        match (field.as_str(), old, new) {
            ("columns", Definition::Table(old), Definition::Table(new)) => {
                let added = new.columns.iter().filter(|column| old.column(&column.name).is_none());
                lines.extend(added.map(|column| format!("columns: adds {} {}", column.name, column.column_type)));
            }
            ("start", Definition::Table(old), Definition::Table(new)) if takes_effect_later(old, new) => {
                lines.push(format!("start: {} → {} (when the table is next made active)", shown(was), shown(is)));
            }
            ("external" | "tables", Definition::Database(_), Definition::Database(_)) => {
                lines.extend(differences_by_name(field, was, is));
            }
            _ => lines.push(format!("{field}: {} → {}", shown(was), shown(is))),
        }
    }
    lines
}

/// What differs between two lists of tables.
fn differences_by_name(field: &str, was: &Value, is: &Value) -> Vec<String> {
    let (before, after) = (named(was), named(is));
    let mut lines = Vec::new();
    for (name, value) in &after {
        match before.get(name) {
            None => lines.push(format!("{field}: adds {name}")),
            Some(earlier) if earlier != value => lines.push(format!("{field}: changes {name}")),
            Some(_) => {}
        }
    }
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    lines.extend(removed.map(|name| format!("{field}: removes {name}")));
    if lines.is_empty() {
        lines.push(format!("{field}: in another order"));
    }
    lines
}

fn named(list: &Value) -> BTreeMap<&str, &Value> {
    list.as_array().into_iter().flatten().filter_map(|value| Some((value.get("name")?.as_str()?, value))).collect()
}

/// Whether a new start leaves the table as it is until it is next made active.
fn takes_effect_later(old: &TableDefinition, new: &TableDefinition) -> bool {
    !activates(old, new)
}

/// Whether a change starts the flow of records into the table.
pub(crate) fn activates(old: &TableDefinition, new: &TableDefinition) -> bool {
    old.state == TableState::Inactive && new.state == TableState::Active
}

/// From when on a table that starts now takes records; none: from the first that the queue still has. In whole
/// microseconds, as the times at which records are received: a record of the same microsecond is taken.
pub(crate) fn resolve(start: Start, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
    match start {
        Start::Tail => Some(jiff::Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)),
        Start::Beginning => None,
        Start::At(time) => Some(time),
    }
}

fn object(definition: &Definition) -> Map<String, Value> {
    match json(definition) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A value as JSON. Definitions always have a JSON form; null where one had not would show as a difference, never hide
/// one.
fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn shown(value: &Value) -> String {
    if value.is_null() {
        return "not set".to_owned();
    }
    let text = value.to_string();
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN).chain("…".chars()).collect() }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
