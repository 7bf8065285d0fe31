//! A TOML document as a JSON value, and where in the text each part of it stands.

use std::collections::HashMap;

use freshet_model::Problems;
use serde_json::{Map, Number, Value};
use toml::de::{DeArray, DeFloat, DeInteger, DeTable, DeValue};

use super::{FileProblem, FileProblems};

/// Most mistakes in the TOML itself that are reported: later ones often follow from the first.
const MAX_SYNTAX_PROBLEMS: usize = 10;

/// A TOML document.
pub(super) struct Document<'t> {
    text: &'t str,
    pub(super) value: Value,
    /// By path: the byte at which the key, or the element of an array, stands.
    offsets: HashMap<String, usize>,
}

impl<'t> Document<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Self, FileProblems> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let problems = errors.iter().take(MAX_SYNTAX_PROBLEMS).map(|error| {
                let offset = error.span().map_or(0, |span| span.start);
                problem(text, offset, String::new(), format!("is not TOML: {}", error.message()))
            });
            return Err(FileProblems(problems.collect()));
        }
        let mut offsets = HashMap::new();
        let value = table_value("", table.get_ref(), &mut offsets);
        Ok(Self { text, value, offsets })
    }

    /// Problems with where they stand: at what they name, or, where that is not in the text, at the nearest thing
    /// around it.
    pub(super) fn locate(&self, problems: Problems) -> FileProblems {
        let located = problems.0.into_iter().map(|found| {
            let offset = self.offset(&found.path);
            problem(self.text, offset, found.path, found.message)
        });
        let mut located: Vec<FileProblem> = located.collect();
        located.sort_by_key(|problem| (problem.line, problem.column));
        FileProblems(located)
    }

    fn offset(&self, path: &str) -> usize {
        let mut around = path;
        loop {
            if let Some(offset) = self.offsets.get(around) {
                return *offset;
            }
            match around.rfind(['.', '[']).and_then(|end| around.get(..end)) {
                Some(shorter) => around = shorter,
                None => return 0,
            }
        }
    }
}

fn problem(text: &str, offset: usize, path: String, message: String) -> FileProblem {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
    FileProblem { path, message, line, column }
}

fn table_value(path: &str, table: &DeTable<'_>, offsets: &mut HashMap<String, usize>) -> Value {
    let mut fields = Map::new();
    for (name, value) in table {
        let at = if path.is_empty() { name.get_ref().to_string() } else { format!("{path}.{}", name.get_ref()) };
        offsets.insert(at.clone(), name.span().start);
        fields.insert(name.get_ref().to_string(), any_value(&at, value.get_ref(), offsets));
    }
    Value::Object(fields)
}

fn array_value(path: &str, array: &DeArray<'_>, offsets: &mut HashMap<String, usize>) -> Value {
    let elements = array.iter().enumerate().map(|(index, element)| {
        let at = format!("{path}[{index}]");
        offsets.insert(at.clone(), element.span().start);
        any_value(&at, element.get_ref(), offsets)
    });
    Value::Array(elements.collect())
}

fn any_value(path: &str, value: &DeValue<'_>, offsets: &mut HashMap<String, usize>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(integer) => integer_value(integer),
        DeValue::Float(float) => float_value(float),
        DeValue::Boolean(boolean) => Value::Bool(*boolean),
        // A time needs no quotes in TOML and is text in JSON.
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(array) => array_value(path, array, offsets),
        DeValue::Table(table) => table_value(path, table, offsets),
    }
}

fn integer_value(integer: &DeInteger<'_>) -> Value {
    match i64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) => Value::Number(number.into()),
        Err(_) => Value::String(integer.to_string()),
    }
}

/// JSON has no infinity; as a text it is refused wherever a number is expected.
fn float_value(float: &DeFloat<'_>) -> Value {
    let number = float.as_str().parse().ok().and_then(Number::from_f64);
    number.map_or_else(|| Value::String(float.as_str().to_owned()), Value::Number)
}
