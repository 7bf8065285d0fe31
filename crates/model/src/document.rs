//! Reading a definition out of a JSON document, and everything that is wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

use crate::did_you_mean;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: `tables.orders.columns[2].type`; empty for the document itself.
    #[serde(rename = "field")]
    pub path: String,
    /// What is wrong there, and what would be right.
    pub message: String,
}

/// Everything that is wrong with a document, in the order in which it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

/// Most problems that are reported for one document: after these a reader has enough to do.
const MAX_PROBLEMS: usize = 100;

impl Problems {
    /// One problem alone.
    #[must_use]
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Problem { path: path.into(), message: message.into() }])
    }

    /// Adds a problem; beyond 100 they are dropped.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(Problem { path: path.into(), message: message.into() });
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok(value)` if nothing is wrong.
    ///
    /// # Errors
    /// These problems.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            let colon = if problem.path.is_empty() { "" } else { ": " };
            write!(f, "{separator}{}{colon}{}", problem.path, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The fields of one object of a document, taken one by one. Whatever is wrong is noted with its path and reading goes on,
/// so that one pass reports everything. [`Fields::finish`] refuses what was not asked for.
#[derive(Debug)]
pub struct Fields<'p> {
    path: String,
    rest: BTreeMap<String, Value>,
    asked: Vec<&'static str>,
    problems: &'p mut Problems,
}

/// The fields of `value`, which must be an object; notes the problem where it is not.
pub fn read_object<'p>(path: &str, value: &Value, problems: &'p mut Problems) -> Option<Fields<'p>> {
    if let Value::Object(map) = value {
        let rest = map.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Some(Fields { path: path.to_owned(), rest, asked: Vec::new(), problems })
    } else {
        problems.add(path, format!("expected a table of fields, found {}", kind_of(value)));
        None
    }
}

impl Fields<'_> {
    /// The path of a field of this object.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Notes a problem with a field of this object.
    pub fn problem(&mut self, name: &str, message: impl Into<String>) {
        let path = self.path_of(name);
        self.problems.add(path, message);
    }

    /// The problems noted so far, to hand on to a part of the document.
    pub fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// A field as it stands, if it is there and not null.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked.push(name);
        self.rest.remove(name).filter(|value| !value.is_null())
    }

    /// A text field parsed into its type; absent is `None`.
    pub fn optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Option<T> {
        let value = self.take(name)?;
        let path = self.path_of(name);
        parse_text(&path, &value, self.problems)
    }

    /// A text field parsed into its type; absent is a problem.
    pub fn required<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str, example: &str) -> Option<T> {
        if self.rest.get(name).is_none_or(Value::is_null) {
            self.take(name);
            self.problem(name, format!("is missing; for example {name} = {example:?}"));
            return None;
        }
        self.optional(name)
    }

    /// A boolean field; absent is `None`.
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            other => {
                self.problem(name, format!("expected true or false, found {}", kind_of(&other)));
                None
            }
        }
    }

    /// A whole number field within bounds, both included; absent is `None`.
    pub fn integer(&mut self, name: &'static str, least: u32, most: u32) -> Option<u32> {
        let value = self.take(name)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let within = number.filter(|number| (least..=most).contains(number));
        if within.is_none() {
            self.problem(name, format!("expected a whole number from {least} to {most}, found {}", shown(&value)));
        }
        within
    }

    /// A field that is an array of texts, each parsed into its type; absent is `None`. Elements that don't parse are
    /// noted and left out.
    pub fn list<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Option<Vec<T>> {
        let elements = self.array(name)?;
        let path = self.path_of(name);
        let parsed = elements
            .iter()
            .enumerate()
            .filter_map(|(at, element)| parse_text(&format!("{path}[{at}]"), element, self.problems))
            .collect();
        Some(parsed)
    }

    /// A field that is an array of anything; absent is `None`.
    pub fn array(&mut self, name: &'static str) -> Option<Vec<Value>> {
        match self.take(name)? {
            Value::Array(elements) => Some(elements),
            other => {
                self.problem(name, format!("expected an array, found {}", kind_of(&other)));
                None
            }
        }
    }

    /// Refuses every field that was not asked for, with the nearest that would have been right.
    pub fn finish(self) {
        let Self { path, rest, asked, problems } = self;
        for name in rest.keys() {
            let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let hint = did_you_mean(name, asked.iter().copied());
            let known = if hint.is_empty() { format!("; the fields here are {}", asked.join(", ")) } else { hint };
            problems.add(full, format!("unknown field{known}"));
        }
    }
}

fn parse_text<T: FromStr<Err: fmt::Display>>(path: &str, value: &Value, problems: &mut Problems) -> Option<T> {
    let Value::String(text) = value else {
        problems.add(path, format!("expected a text, found {}", kind_of(value)));
        return None;
    };
    match text.parse() {
        Ok(parsed) => Some(parsed),
        Err(refusal) => {
            problems.add(path, refusal.to_string());
            None
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table of fields",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => kind_of(other).to_owned(),
    }
}
