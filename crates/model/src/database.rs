//! Databases: named sets of tables that queries run in.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::query::sql_text;
use crate::stream::description;
use crate::{Fields, Location, Problems, TableName, did_you_mean, read_object};

/// Most external tables of a database, and most tables made by SQL.
pub const MAX_TABLES_OF_DATABASE: usize = 100;

/// A named set of tables. A real-time table says itself which databases it shows in; the others are the database's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseDefinition {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Tables that others write, read where they lie. Their names and those of `tables` differ by more than case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<ExternalTable>,
    /// Tables that a SELECT over the database's other tables makes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<SqlTable>,
}

/// A table that others write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExternalTable {
    /// Its name in the database.
    pub name: TableName,
    /// Where its files lie.
    pub location: Location,
    /// What they are.
    pub format: ExternalFormat,
}

/// What the files of an external table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExternalFormat {
    /// A Delta table.
    Delta,
    /// Parquet files of one schema.
    Parquet,
    /// CSV files with a header.
    Csv,
}

impl ExternalFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Delta, Self::Parquet, Self::Csv];

    /// As in a definition: `delta`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }
}

impl fmt::Display for ExternalFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ExternalFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str);
            let hint = did_you_mean(text, names);
            format!("{text:?} is not a format of external tables; the formats are {}{hint}", names.join(", "))
        })
    }
}

impl Serialize for ExternalFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A table that a SELECT makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SqlTable {
    /// Its name in the database.
    pub name: TableName,
    /// One SELECT over the database's tables, without parameters.
    pub sql: String,
}

impl DatabaseDefinition {
    /// Reads a database from what stands at `path` of a document.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &str, value: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let definition = read_object(path, value, &mut problems).map(|mut fields| {
            let description = description(&mut fields);
            let mut names = Names::default();
            let external = elements(&mut fields, "external", |mut fields| {
                let name = names.read(&mut fields, "external", "Customer360");
                let location = fields.required("location", "s3://acme-batch/customer360");
                let format = fields.required("format", "delta");
                fields.finish();
                Some(ExternalTable { name: name?, location: location?, format: format? })
            });
            let tables = elements(&mut fields, "tables", |mut fields| {
                let name = names.read(&mut fields, "tables", "big_spenders");
                let sql = sql_text(&mut fields, "sql");
                fields.finish();
                Some(SqlTable { name: name?, sql: sql? })
            });
            fields.finish();
            Self { description, external, tables }
        });
        match definition {
            Some(definition) => problems.or(definition),
            None => Err(problems),
        }
    }
}

/// The elements of an array of tables; those that can't be read are noted and left out.
fn elements<T>(fields: &mut Fields<'_>, name: &'static str, mut read: impl FnMut(Fields<'_>) -> Option<T>) -> Vec<T> {
    let Some(elements) = fields.array(name) else { return Vec::new() };
    if elements.len() > MAX_TABLES_OF_DATABASE {
        let message = format!("expected at most {MAX_TABLES_OF_DATABASE} tables, found {}", elements.len());
        fields.problem(name, message);
        return Vec::new();
    }
    let path = fields.path_of(name);
    let read_one = |(at, element): (usize, &Value)| {
        read_object(&format!("{path}[{at}]"), element, fields.problems()).and_then(&mut read)
    };
    elements.iter().enumerate().filter_map(read_one).collect()
}

/// The names of a database's own tables so far, in lower case, and where each is used.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn read(&mut self, fields: &mut Fields<'_>, list: &str, example: &str) -> Option<TableName> {
        let name: TableName = fields.required("name", example)?;
        if let Some(first) = self.0.insert(name.as_str().to_ascii_lowercase(), format!("{list} {name}")) {
            fields.problem("name", format!("{name} is there already, in {first}; names differ by more than case"));
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let document = json!({
            "description": "the shop",
            "external": [{"name": "Customer360", "location": "s3://acme-batch/customer360/", "format": "delta"}],
            "tables": [{"name": "big_spenders", "sql": "SELECT email\nFROM orders"}],
        });
        let database = DatabaseDefinition::read("", &document).unwrap();
        let mut written = document.clone();
        written["external"][0]["location"] = json!("s3://acme-batch/customer360");
        assert_eq!(serde_json::to_value(&database).unwrap(), written);
        assert_eq!(DatabaseDefinition::read("", &written), Ok(database));
        assert_eq!(serde_json::to_value(DatabaseDefinition::default()).unwrap(), json!({}));
    }

    #[test]
    fn everything_wrong_is_reported_with_its_path() {
        let document = json!({
            "external": [
                {"name": "a", "location": "../x", "format": "parqet"},
                {"name": "b", "location": "x"},
                {"name": "A", "location": "x", "format": "csv", "header": true},
            ],
            "tables": [{"name": "B", "sql": "SELECT 1"}, {"name": "c_failed"}, {"name": "d", "sql": "  "}, 7],
        });
        let problems = DatabaseDefinition::read("databases.d", &document).unwrap_err();
        let expected = [
            ("databases.d.external[0].location", "is empty, . or .."),
            ("databases.d.external[0].format", "did you mean \"parquet\"?"),
            ("databases.d.external[1].format", "is missing; for example format = \"delta\""),
            ("databases.d.external[2].name", "A is there already, in external a"),
            ("databases.d.external[2].header", "unknown field"),
            ("databases.d.tables[0].name", "B is there already, in external b"),
            ("databases.d.tables[1].name", "not ending in _failed"),
            ("databases.d.tables[1].sql", "is missing"),
            ("databases.d.tables[2].sql", "is empty"),
            ("databases.d.tables[3]", "expected a table of fields"),
        ];
        let paths: Vec<&str> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, expected.map(|(path, _)| path), "{problems}");
        for (problem, (_, says)) in problems.0.iter().zip(expected) {
            assert!(problem.message.contains(says), "{}: {}", problem.path, problem.message);
        }
    }

    #[test]
    fn a_database_has_a_most_of_tables() {
        let tables: Vec<Value> =
            (0..=MAX_TABLES_OF_DATABASE).map(|at| json!({"name": format!("t{at}"), "sql": "SELECT 1"})).collect();
        let problems = DatabaseDefinition::read("", &json!({"tables": tables})).unwrap_err();
        assert_eq!(problems.to_string(), "tables: expected at most 100 tables, found 101");
        assert!(DatabaseDefinition::read("", &json!({"tables": tables[..MAX_TABLES_OF_DATABASE]})).is_ok());
    }
}
