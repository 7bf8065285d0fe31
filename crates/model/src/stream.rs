//! Streams: endpoints that records are posted to.

use serde::Serialize;
use serde_json::Value;

use crate::{PayloadFormat, Problems, StreamId, read_object};

/// Most shards of a stream: one partition each would be the most that can help.
const MAX_SHARDS: u32 = 256;
/// Most records a second that a stream may ask for.
const MAX_RATE: u32 = 10_000_000;
/// Longest description, in bytes.
pub(crate) const MAX_DESCRIPTION: usize = 4_096;

/// An endpoint that records are posted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamDefinition {
    /// Its endpoint's id; made when the stream is first applied, and kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<StreamId>,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its payloads are.
    pub format: PayloadFormat,
    /// Into how many ordered sequences its records are spread; 1 keeps them all in order.
    pub shards: u32,
    /// Most records a second; none: the tenant's own limit holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u32>,
}

impl StreamDefinition {
    /// Reads a stream from what stands at `path` of a document.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &str, value: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let definition = read_object(path, value, &mut problems).map(|mut fields| {
            let id = fields.optional("id");
            let description = description(&mut fields);
            let format = fields.optional("format").unwrap_or(PayloadFormat::Json);
            let shards = fields.integer("shards", 1, MAX_SHARDS).unwrap_or(1);
            let rate_limit = fields.integer("rate_limit", 1, MAX_RATE);
            fields.finish();
            Self { id, description, format, shards, rate_limit }
        });
        match definition {
            Some(definition) => problems.or(definition),
            None => Err(problems),
        }
    }
}

/// The `description` of any resource.
pub(crate) fn description(fields: &mut crate::Fields<'_>) -> String {
    let description: String = fields.optional("description").unwrap_or_default();
    if description.len() > MAX_DESCRIPTION {
        fields.problem("description", "longer than 4,096 bytes");
    }
    description
}
