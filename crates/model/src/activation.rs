//! Activations: the result of a saved query, sent somewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::stream::description;
use crate::{ColumnName, Fields, Location, Problems, ResourceName, SecretName, WebhookUrl, did_you_mean, read_object};

/// Most rows of a webhook's batch.
pub const MAX_BATCH_ROWS: u32 = 10_000;
/// Rows of a webhook's batch where the definition doesn't say.
pub const DEFAULT_BATCH_ROWS: u32 = 500;

/// The result of a saved query, sent somewhere whenever the activation is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActivationDefinition {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The saved query, which has no parameters.
    pub query: ResourceName,
    /// How much of its result is sent.
    pub send: SendMode,
    /// Of changes, and there alone: the column of the result that says which row is which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<ColumnName>,
    /// Where it is sent.
    pub destination: Destination,
}

/// How much of a result is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SendMode {
    /// All of it.
    #[default]
    All,
    /// The rows that are new or different since the last time, and the keys of those that have gone.
    Changes,
}

/// Where a result is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum Destination {
    /// To files, with a manifest.
    Files {
        /// The folder of all deliveries; a path without a scheme is one among the tenant's own output files.
        location: Location,
        /// What the files are.
        format: FileFormat,
        /// Whether they are compressed besides.
        #[serde(skip_serializing_if = "Option::is_none")]
        compression: Option<FileCompression>,
    },
    /// To an endpoint of HTTP, in signed batches.
    Webhook {
        /// The endpoint.
        url: WebhookUrl,
        /// The name of the secret that signs; never the secret.
        secret: SecretName,
        /// Most rows of a batch.
        batch: u32,
    },
}

/// Texts of an enumeration in a definition.
macro_rules! words {
    ($name:ident, $what:literal, $($variant:ident => $word:literal),+) => {
        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As in a definition.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| {
                    let names = [$($word),+];
                    format!("{text:?} is not {}; write {}{}", $what, names.join(" or "), did_you_mean(text, names))
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

/// What the files of a delivery are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// A row of names, then the rows.
    Csv,
    /// A JSON object a line.
    NdJson,
    /// Parquet, compressed inside.
    Parquet,
}

/// How the files of a delivery are compressed besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileCompression {
    /// With gzip.
    Gzip,
}

words!(SendMode, "how much is sent", All => "all", Changes => "changes");
words!(FileFormat, "a format of files", Csv => "csv", NdJson => "ndjson", Parquet => "parquet");
words!(FileCompression, "a compression", Gzip => "gzip");

impl ActivationDefinition {
    /// Reads an activation from what stands at `path` of a document.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &str, value: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let definition = read_object(path, value, &mut problems).and_then(|mut fields| {
            let description = description(&mut fields);
            let query = fields.required("query", "suppressions");
            let send: SendMode = fields.optional("send").unwrap_or_default();
            let key: Option<ColumnName> = match send {
                SendMode::Changes => fields.required("key", "customer_id"),
                SendMode::All => fields.optional("key"),
            };
            if send == SendMode::All && key.is_some() {
                fields.problem("key", "is of use to send = \"changes\" alone; leave it out, or send changes");
            }
            let destination = destination(&mut fields);
            fields.finish();
            Some(Self { description, query: query?, send, key, destination: destination? })
        });
        match definition {
            Some(definition) => problems.or(definition),
            None => Err(problems),
        }
    }
}

fn destination(fields: &mut Fields<'_>) -> Option<Destination> {
    let Some(value) = fields.take("destination") else {
        let example = "{ type = \"files\", location = \"suppressions\", format = \"csv\" }";
        fields.problem("destination", format!("is missing; for example destination = {example}"));
        return None;
    };
    let path = fields.path_of("destination");
    let mut fields = read_object(&path, &value, fields.problems())?;
    let destination_type: String = fields.required("type", "files")?;
    let destination = match destination_type.as_str() {
        "files" => {
            let location = fields.required("location", "s3://acme-out/suppressions");
            let format = fields.required("format", "csv");
            let compression = fields.optional("compression");
            if format == Some(FileFormat::Parquet) && compression.is_some() {
                fields.problem("compression", "leave it out: Parquet files are compressed inside");
            }
            (|| Some(Destination::Files { location: location?, format: format?, compression }))()
        }
        "webhook" => {
            let url = fields.required("url", "https://hooks.example.com/x");
            let secret = fields.required("secret", "WINBACK_SECRET");
            let batch = fields.integer("batch", 1, MAX_BATCH_ROWS).unwrap_or(DEFAULT_BATCH_ROWS);
            (|| Some(Destination::Webhook { url: url?, secret: secret?, batch }))()
        }
        other => {
            let hint = did_you_mean(other, ["files", "webhook"]);
            fields.problem("type", format!("{other:?} is not a type of destination; write files or webhook{hint}"));
            return None;
        }
    };
    fields.finish();
    destination
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({"query": "q", "send": "all", "destination": {"type": "files", "location": "out", "format": "csv", "compression": "gzip"}}))]
    #[case(json!({"query": "q", "send": "changes", "key": "id", "destination": {"type": "webhook", "url": "https://hooks.example.com/x", "secret": "WINBACK_SECRET", "batch": 100}}))]
    fn what_is_written_is_read_again(#[case] document: Value) {
        let activation = ActivationDefinition::read("", &document).unwrap();
        assert_eq!(serde_json::to_value(&activation).unwrap(), document);
    }

    #[rstest]
    #[case::no_key(json!({"query": "q", "send": "changes", "destination": {"type": "files", "location": "o", "format": "csv"}}), "a.key", "is missing")]
    #[case::key_of_all(json!({"query": "q", "key": "id", "destination": {"type": "files", "location": "o", "format": "csv"}}), "a.key", "changes")]
    #[case::send(json!({"query": "q", "send": "change", "destination": {"type": "files", "location": "o", "format": "csv"}}), "a.send", "did you mean \"changes\"?")]
    #[case::no_destination(json!({"query": "q"}), "a.destination", "is missing")]
    #[case::destination_type(json!({"query": "q", "destination": {"type": "file"}}), "a.destination.type", "did you mean \"files\"?")]
    #[case::gzip_of_parquet(json!({"query": "q", "destination": {"type": "files", "location": "o", "format": "parquet", "compression": "gzip"}}), "a.destination.compression", "compressed inside")]
    #[case::plain_http(json!({"query": "q", "destination": {"type": "webhook", "url": "http://example.com", "secret": "S"}}), "a.destination.url", "https://")]
    #[case::secret(json!({"query": "q", "destination": {"type": "webhook", "url": "https://example.com", "secret": "s3cr3t!"}}), "a.destination.secret", "is not a name of a secret")]
    #[case::batch(json!({"query": "q", "destination": {"type": "webhook", "url": "https://example.com", "secret": "S", "batch": 0}}), "a.destination.batch", "from 1 to 10000")]
    fn what_is_wrong_is_reported_with_its_path(#[case] document: Value, #[case] path: &str, #[case] says: &str) {
        let problems = ActivationDefinition::read("a", &document).unwrap_err();
        assert_eq!(problems.0[0].path, path, "{problems}");
        assert!(problems.0[0].message.contains(says), "{problems}");
    }
}
