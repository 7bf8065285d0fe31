//! Databases: named sets of tables that queries run in.

use serde::Serialize;
use serde_json::Value;

use crate::stream::description;
use crate::{Problems, read_object};

/// A named set of tables; a table says itself which databases it shows in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseDefinition {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
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
            fields.finish();
            Self { description }
        });
        match definition {
            Some(definition) => problems.or(definition),
            None => Err(problems),
        }
    }
}
