//! What a table asks of those who read and write it, and whether this engine can do that.
//!
//! What isn't known is refused by name: a feature that is passed over is a table that is misread.

use deltalake_core::kernel::{DataType, Metadata, PrimitiveType, Protocol, StructType};
use serde_json::json;

use crate::{TableError, TableKind};

/// Features of readers that this engine's own reading honours. (Vacuums follow `vacuumProtocolCheck` by being refused where a feature is
/// unknown.)
const READ: [&str; 4] = ["deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"];
/// Features of writers that this engine's writing honours, of tables of ours.
const WRITTEN: [&str; 6] =
    ["deletionVectors", "appendOnly", "invariants", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"];
/// The version of readers that brought column mapping, and the last without a list of features.
const LAST_READER_WITHOUT_FEATURES: i32 = 2;
/// The last version of writers that asks only for append-only tables and invariants, and the last without a list of features.
const PLAIN_WRITER: i32 = 2;
const LAST_WRITER_WITHOUT_FEATURES: i32 = 6;

/// What a new table of ours asks.
pub(crate) fn protocol_of(columns: &StructType, kind: &TableKind) -> Result<Protocol, serde_json::Error> {
    let mut features = Vec::new();
    if matches!(kind, TableKind::Upsert { .. }) {
        features.push("deletionVectors");
    }
    if columns.fields().any(|field| has_time_without_zone(field.data_type())) {
        features.push("timestampNtz");
    }
    serde_json::from_value(if features.is_empty() {
        json!({ "minReaderVersion": 1, "minWriterVersion": 2 })
    } else {
        json!({ "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features })
    })
}

fn has_time_without_zone(data_type: &DataType) -> bool {
    match data_type {
        DataType::Primitive(primitive) => *primitive == PrimitiveType::TimestampNtz,
        DataType::Array(array) => has_time_without_zone(array.element_type()),
        DataType::Map(map) => has_time_without_zone(map.key_type()) || has_time_without_zone(map.value_type()),
        DataType::Struct(fields) => fields.fields().any(|field| has_time_without_zone(field.data_type())),
        DataType::Variant(_) => false,
    }
}

/// Refuses a table that has features which would be misread.
pub(crate) fn check_readable(path: &str, protocol: &Protocol, metadata: &Metadata) -> Result<(), TableError> {
    let mut unknown: Vec<String> = Vec::new();
    if protocol.min_reader_version() > LAST_READER_WITHOUT_FEATURES {
        let features = protocol.reader_features().unwrap_or_default();
        unknown.extend(features.iter().map(ToString::to_string).filter(|name| !READ.contains(&name.as_str())));
    }
    let mapping = metadata.configuration().get("delta.columnMapping.mode");
    if mapping.is_some_and(|mode| mode != "none") && !unknown.iter().any(|name| name == "columnMapping") {
        unknown.push("columnMapping".to_owned());
    } else {
        // The feature may be there without being used.
        unknown.retain(|name| name != "columnMapping" || mapping.is_some_and(|mode| mode != "none"));
    }
    refuse(path, "reading", &unknown)
}

/// Refuses a table that has features which writing would violate.
pub(crate) fn check_writable(path: &str, protocol: &Protocol, metadata: &Metadata) -> Result<(), TableError> {
    let mut unknown: Vec<String> = Vec::new();
    let version = protocol.min_writer_version();
    if version > LAST_WRITER_WITHOUT_FEATURES {
        let features = protocol.writer_features().unwrap_or_default();
        unknown.extend(features.iter().map(ToString::to_string).filter(|name| !WRITTEN.contains(&name.as_str())));
    } else if version > PLAIN_WRITER {
        // These versions allow what is in use only if the table's properties or columns say so.
        unknown.extend(metadata.configuration().keys().filter(|key| key.starts_with("delta.constraints.")).cloned());
    }
    let is_set = |key: &str| metadata.configuration().get(key).is_some_and(|value| value == "true");
    let properties = ["delta.appendOnly", "delta.enableChangeDataFeed", "delta.enableRowTracking"];
    unknown.extend(properties.into_iter().filter(|key| is_set(key)).map(str::to_owned));
    if metadata_has_invariants(metadata) {
        unknown.push("invariants".to_owned());
    }
    if !metadata.partition_columns().is_empty() {
        unknown.push("partition columns".to_owned());
    }
    refuse(path, "writing to", &unknown)
}

/// Whether deletion vectors may be put into a table.
pub(crate) fn takes_deletion_vectors(protocol: &Protocol, metadata: &Metadata) -> bool {
    let has = protocol.writer_features().unwrap_or_default().iter().any(|name| name.to_string() == "deletionVectors");
    has && metadata.configuration().get("delta.enableDeletionVectors").is_some_and(|value| value == "true")
}

fn metadata_has_invariants(metadata: &Metadata) -> bool {
    metadata.parse_schema().is_ok_and(|schema| {
        schema.fields().any(|field| {
            let keys = ["delta.invariants", "delta.generationExpression", "delta.identity.start"];
            keys.iter().any(|key| field.metadata.contains_key(*key))
        })
    })
}

fn refuse(path: &str, doing: &str, features: &[String]) -> Result<(), TableError> {
    if features.is_empty() {
        return Ok(());
    }
    Err(TableError::Unsupported { context: format!("{doing} table {path}"), source: features.join(", ").into() })
}
