//! Asking SQL over HTTP, and reading the answer without changing a digit.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::Client;
use crate::error::CommandError;

/// An answer. Its cells are kept as the JSON texts that came: a number read into a double would lose digits of a decimal.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Answer {
    /// The columns.
    pub(crate) columns: Vec<Column>,
    /// The rows, a cell a column.
    pub(crate) rows: Vec<Vec<Box<RawValue>>>,
    /// Whether there are more rows than asked for.
    pub(crate) truncated: bool,
}

/// A column of an answer.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Its type, as `decimal(18,2)`.
    #[serde(rename = "type")]
    pub(crate) column_type: String,
}

impl Answer {
    /// Asks. The body is that of `POST /query/v0/sql`.
    ///
    /// # Errors
    /// The server doesn't answer, refuses the query, or answers something else.
    pub(crate) async fn of(client: &Client, body: &Value) -> Result<Self, CommandError> {
        client.json(Method::POST, "/query/v0/sql", Some(body)).await
    }

    /// The rows as people read them.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Vec<String>> {
        self.rows.iter().map(|row| row.iter().map(|cell| text_of(cell)).collect())
    }

    /// The header and which columns are numbers, to be aligned to the right.
    #[must_use]
    pub(crate) fn header(&self) -> (Vec<&str>, Vec<usize>) {
        let names = self.columns.iter().map(|column| column.name.as_str()).collect();
        let numbers = self.columns.iter().enumerate().filter(|(_, column)| is_number(&column.column_type));
        (names, numbers.map(|(at, _)| at).collect())
    }
}

fn is_number(column_type: &str) -> bool {
    matches!(column_type, "integer" | "double") || column_type.starts_with("decimal")
}

/// A cell as people read it: texts without quotes, null as nothing.
pub(crate) fn text_of(cell: &RawValue) -> String {
    match cell.get() {
        "null" => String::new(),
        quoted if quoted.starts_with('"') => serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned()),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_digit_is_lost() {
        let text = r#"{"columns":[{"name":"a","type":"decimal(18,2)"}],"rows":[[12.50],["9007199254740993"],[null]],"truncated":false}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        let texts: Vec<Vec<String>> = answer.texts().collect();
        assert_eq!(texts, [["12.50"], ["9007199254740993"], [""]]);
    }
}
