//! Profile indexes: the rows of a SELECT, kept to be looked up by key.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::query::sql_text;
use crate::stream::description;
use crate::{ColumnName, CronLine, Fields, IndexId, Problems, ResourceName, did_you_mean, read_object};

/// Most filter columns of an index.
pub const MAX_FILTERS: usize = 20;

/// The rows of a SELECT, kept to be looked up by key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexDefinition {
    /// Its id in the URLs of profiles; made when the index is first applied, and kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<IndexId>,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The database that its query runs in.
    pub database: ResourceName,
    /// One SELECT without parameters, a row a profile.
    pub query: String,
    /// The column of the query that identifies a profile.
    pub key: ColumnName,
    /// The columns of the query that profiles can be found by besides; they differ by more than case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<ColumnName>,
    /// When the query runs anew.
    pub refresh: Refresh,
}

/// When an index is made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Refresh {
    /// When a table that it reads has changed.
    #[default]
    Commit,
    /// On a schedule.
    Cron(CronLine),
    /// When someone asks for it.
    Manual,
}

impl FromStr for Refresh {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "commit" => Ok(Self::Commit),
            "manual" => Ok(Self::Manual),
            line if line.contains(char::is_whitespace) => line.parse().map(Self::Cron),
            other => {
                let hint = did_you_mean(other, ["commit", "manual"]);
                Err(format!(
                    "{other:?} is not a refresh: write \"commit\", \"manual\", or a cron line as \"30 2 * * *\"{hint}"
                ))
            }
        }
    }
}

impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit => f.write_str("commit"),
            Self::Cron(line) => line.fmt(f),
            Self::Manual => f.write_str("manual"),
        }
    }
}

impl Serialize for Refresh {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl IndexDefinition {
    /// Reads an index from what stands at `path` of a document.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &str, value: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let definition = read_object(path, value, &mut problems).and_then(|mut fields| {
            let id = fields.optional("id");
            let description = description(&mut fields);
            let database = fields.required("database", "retail");
            let query = sql_text(&mut fields, "query");
            let key = fields.required("key", "customer_id");
            let filters = filters(&mut fields);
            let refresh = fields.optional("refresh").unwrap_or_default();
            fields.finish();
            Some(Self { id, description, database: database?, query: query?, key: key?, filters, refresh })
        });
        match definition {
            Some(definition) => problems.or(definition),
            None => Err(problems),
        }
    }
}

fn filters(fields: &mut Fields<'_>) -> Vec<ColumnName> {
    let filters: Vec<ColumnName> = fields.list("filters").unwrap_or_default();
    if filters.len() > MAX_FILTERS {
        fields.problem("filters", format!("expected at most {MAX_FILTERS} columns, found {}", filters.len()));
        return Vec::new();
    }
    let path = fields.path_of("filters");
    for (at, name) in filters.iter().enumerate() {
        let is_same = |earlier: &&ColumnName| earlier.as_str().eq_ignore_ascii_case(name.as_str());
        if let Some(earlier) = filters.iter().take(at).find(is_same) {
            let message = format!("{earlier} is there already; filters differ by more than case");
            fields.problems().add(format!("{path}[{at}]"), message);
        }
    }
    filters
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn buyers() -> Value {
        json!({
            "id": "recent", "description": "who bought lately", "database": "retail",
            "query": "SELECT customer_id, email FROM customers", "key": "customer_id", "filters": ["email"],
            "refresh": "30 2 * * *",
        })
    }

    #[test]
    fn what_is_written_is_read_again() {
        let index = IndexDefinition::read("", &buyers()).unwrap();
        assert_eq!(serde_json::to_value(&index).unwrap(), buyers());
        let mut plain = buyers();
        for field in ["id", "description", "filters", "refresh"] {
            plain.as_object_mut().unwrap().remove(field);
        }
        let index = IndexDefinition::read("", &plain).unwrap();
        assert_eq!(index.refresh, Refresh::Commit);
        assert_eq!(IndexDefinition::read("", &serde_json::to_value(&index).unwrap()), Ok(index));
    }

    #[rstest]
    #[case::id("id", json!("a b"), "id", "is not a profile index id")]
    #[case::database("database", Value::Null, "database", "is missing")]
    #[case::query("query", json!(" \n"), "query", "is empty")]
    #[case::key("key", json!("customer id"), "key", "is not a column name")]
    #[case::filter_twice("filters", json!(["email", "city", "Email"]), "filters[2]", "email is there already")]
    #[case::many_filters("filters", json!((0..21).map(|at| format!("f{at}")).collect::<Vec<_>>()), "filters", "at most 20 columns, found 21")]
    #[case::refresh("refresh", json!("comit"), "refresh", "did you mean \"commit\"?")]
    #[case::cron("refresh", json!("* * * *"), "refresh", "has 4 fields")]
    #[case::unknown("limit", json!(5), "limit", "unknown field")]
    fn what_is_wrong_is_reported_with_its_path(
        #[case] field: &str,
        #[case] value: Value,
        #[case] path: &str,
        #[case] says: &str,
    ) {
        let mut document = buyers();
        document[field] = value;
        let problems = IndexDefinition::read("indexes.buyers", &document).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert_eq!(problems.0[0].path, format!("indexes.buyers.{path}"));
        assert!(problems.0[0].message.contains(says), "{problems}");
    }
}
