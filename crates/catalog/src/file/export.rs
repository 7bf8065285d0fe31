//! A set of resources as the text of a resource file.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::ResourceFile;

/// The order in which fields are written: what identifies first, what is long last. Others come after, by name.
const ORDER: [&str; 30] = [
    "name",
    "id",
    "description",
    "type",
    "required",
    "path",
    "location",
    "format",
    "compression",
    "stream",
    "row_tag",
    "database",
    "state",
    "databases",
    "mode",
    "key",
    "order_by",
    "merge",
    "delete_when",
    "start",
    "filters",
    "refresh",
    "scopes",
    "parameters",
    "query",
    "send",
    "sql",
    "external",
    "tables",
    "columns",
];

pub(super) fn to_toml(file: &ResourceFile) -> String {
    let mut text = String::new();
    if let Some(tenant) = &file.tenant {
        push(&mut text, format_args!("tenant = {}\n", inline(&Value::String(tenant.to_string()))));
    }
    for ((kind, name), definition) in &file.resources {
        let separator = if text.is_empty() { "" } else { "\n" };
        push(&mut text, format_args!("{separator}[{kind}.{name}]\n"));
        if let Ok(Value::Object(fields)) = serde_json::to_value(definition) {
            for (field, value) in ordered(&fields) {
                push(&mut text, format_args!("{field} = {}\n", field_value(value)));
            }
        }
    }
    text
}

/// Writing to a text can't fail.
fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _infallible = text.write_fmt(arguments);
}

fn ordered(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut ordered: Vec<(&String, &Value)> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
    let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    ordered.sort_by(|(left, _), (right, _)| (place(left), left).cmp(&(place(right), right)));
    ordered
}

/// A value in one line, or a list of objects with one a line.
fn field_value(value: &Value) -> String {
    match value {
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            let lines: Vec<String> = elements.iter().map(|element| format!("  {},", inline(element))).collect();
            format!("[\n{}\n]", lines.join("\n"))
        }
        other => inline(other),
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> =
                ordered(fields).into_iter().map(|(name, value)| format!("{name} = {}", inline(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(inline).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        // TOML has no null: fields without a value are left out above, and definitions have no lists of nothing.
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
