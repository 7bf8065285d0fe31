//! Saved queries: a SELECT over a database, kept under a name.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::stream::description;
use crate::{ColumnType, Fields, ParameterName, Problems, ResourceName, read_object};

/// Most parameters of a saved query.
pub const MAX_PARAMETERS: usize = 100;

/// A SELECT over a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueryDefinition {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The database that it runs in.
    pub database: ResourceName,
    /// One SELECT, with `$name` where a parameter's value goes.
    pub sql: String,
    /// Its parameters and their types; no `json`, which SQL takes as a string.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<ParameterName, ColumnType>,
}

impl QueryDefinition {
    /// Reads a saved query from what stands at `path` of a document.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &str, value: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let definition = read_object(path, value, &mut problems).and_then(|mut fields| {
            let description = description(&mut fields);
            let database = fields.required("database", "retail");
            let sql = sql_text(&mut fields, "sql");
            let parameters = parameters(&mut fields);
            fields.finish();
            Some(Self { description, database: database?, sql: sql?, parameters })
        });
        match definition {
            Some(definition) => problems.or(definition),
            None => Err(problems),
        }
    }
}

/// The text of a SELECT, which is needed.
pub(crate) fn sql_text(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let text: String = fields.required(name, "SELECT * FROM orders")?;
    if text.trim().is_empty() {
        fields.problem(name, format!("is empty; for example {name} = \"SELECT * FROM orders\""));
        return None;
    }
    Some(text)
}

fn parameters(fields: &mut Fields<'_>) -> BTreeMap<ParameterName, ColumnType> {
    let Some(value) = fields.take("parameters") else { return BTreeMap::new() };
    let Value::Object(types) = value else {
        fields.problem("parameters", "expected types by name, as parameters = { email = \"string\" }");
        return BTreeMap::new();
    };
    if types.len() > MAX_PARAMETERS {
        fields.problem("parameters", format!("expected at most {MAX_PARAMETERS} parameters, found {}", types.len()));
        return BTreeMap::new();
    }
    let path = fields.path_of("parameters");
    let mut parameters = BTreeMap::new();
    for (name, value) in &types {
        let at = format!("{path}.{name}");
        match parameter(name, value) {
            Ok((name, column_type)) => {
                parameters.insert(name, column_type);
            }
            Err(message) => fields.problems().add(at, message),
        }
    }
    parameters
}

fn parameter(name: &str, value: &Value) -> Result<(ParameterName, ColumnType), String> {
    let name = ParameterName::parse(name).map_err(|refusal| refusal.to_string())?;
    let text = value.as_str().ok_or_else(|| format!("expected a type as text, as {name} = \"string\""))?;
    match text.parse()? {
        ColumnType::Json => Err("a parameter can't be json; write string, and give it the JSON's text".to_owned()),
        column_type => Ok((name, column_type)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let document = json!({
            "description": "a customer's orders", "database": "retail",
            "sql": "SELECT * FROM orders WHERE email = $email AND total > $least",
            "parameters": {"email": "string", "least": "decimal(18,2)"},
        });
        let query = QueryDefinition::read("", &document).unwrap();
        assert_eq!(serde_json::to_value(&query).unwrap(), document);
        let plain = json!({"database": "retail", "sql": "SELECT 1"});
        assert_eq!(serde_json::to_value(QueryDefinition::read("", &plain).unwrap()).unwrap(), plain);
    }

    #[test]
    fn everything_wrong_is_reported_with_its_path() {
        let document = json!({
            "database": "re tail", "sql": "", "limit": 5,
            "parameters": {"1st": "string", "at": "timestmp", "body": "json", "least": 5},
        });
        let problems = QueryDefinition::read("queries.q", &document).unwrap_err();
        let expected = [
            ("queries.q.database", "is not a name"),
            ("queries.q.sql", "is empty"),
            ("queries.q.parameters.1st", "is not a parameter name"),
            ("queries.q.parameters.at", "did you mean \"timestamp\"?"),
            ("queries.q.parameters.body", "write string"),
            ("queries.q.parameters.least", "expected a type as text"),
            ("queries.q.limit", "unknown field"),
        ];
        let paths: Vec<&str> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, expected.map(|(path, _)| path), "{problems}");
        for (problem, (_, says)) in problems.0.iter().zip(expected) {
            assert!(problem.message.contains(says), "{}: {}", problem.path, problem.message);
        }
    }

    #[test]
    fn a_query_has_a_most_of_parameters() {
        let types: serde_json::Map<String, Value> =
            (0..=MAX_PARAMETERS).map(|at| (format!("p{at}"), json!("string"))).collect();
        let problems =
            QueryDefinition::read("", &json!({"database": "d", "sql": "SELECT 1", "parameters": types})).unwrap_err();
        assert_eq!(problems.to_string(), "parameters: expected at most 100 parameters, found 101");
    }
}
