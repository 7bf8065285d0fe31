//! What a table must be, and how a Delta table says that it is.

use std::collections::HashMap;

use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{DataType, StructField, StructType};
use freshet_model::system;

use crate::TableError;

/// Table properties that hold the kind of a table. A table without them is not ours.
const MODE_PROPERTY: &str = "freshet.mode";
const KEY_PROPERTY: &str = "freshet.key";
const ORDER_PROPERTY: &str = "freshet.orderBy";
const MERGE_PROPERTY: &str = "freshet.merge";
/// Commits from checkpoint to checkpoint: opening a table reads at most so many entries of its log.
const CHECKPOINT_INTERVAL: &str = "100";

/// The property that lets rows be deleted without their file being written again.
pub(crate) const DELETION_VECTORS: &str = "delta.enableDeletionVectors";

/// What a table must be.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Its columns. They need `received_at`, `_partition` and `_offset`, which order the records. Whether a column may be
    /// null is not written to the table: rows are checked before they come here.
    pub schema: SchemaRef,
    /// What it holds of the records.
    pub kind: TableKind,
}

/// What a table holds of the records that it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKind {
    /// For each key the newest record.
    Upsert {
        /// The columns of the key, at least one.
        key: Vec<String>,
        /// The column that says which record is newer, before `received_at`, `_partition` and `_offset`.
        order_by: Option<String>,
        /// What the newest record does to the row of its key.
        merge: Merge,
    },
    /// Every record once.
    Append,
    /// What [`Tables::replace`](crate::Tables::replace) put there last: no records.
    Replaced,
}

/// What an upsert goes by.
#[derive(Debug, Clone)]
pub(crate) struct UpsertKind {
    pub(crate) key: Vec<String>,
    pub(crate) order_by: Option<String>,
    pub(crate) merge: Merge,
}

/// What a newer record of a key does to the row that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Merge {
    /// It takes its place.
    #[default]
    Replace,
    /// Fields that it lacks stay as they are. Each field keeps an order of its own.
    Patch,
}

impl TableKind {
    /// What an upsert goes by; none: the table has no key.
    pub(crate) fn upsert(&self) -> Option<UpsertKind> {
        match self {
            Self::Upsert { key, order_by, merge } => {
                Some(UpsertKind { key: key.clone(), order_by: order_by.clone(), merge: *merge })
            }
            Self::Append | Self::Replaced => None,
        }
    }

    /// Reads the kind from a table's properties; none: not ours.
    pub(crate) fn from_properties(properties: &HashMap<String, String>) -> Option<Self> {
        match properties.get(MODE_PROPERTY)?.as_str() {
            "append" => Some(Self::Append),
            "replaced" => Some(Self::Replaced),
            "upsert" => {
                let key = properties.get(KEY_PROPERTY)?.split(',').map(str::to_owned).collect();
                let merge = match properties.get(MERGE_PROPERTY).map(String::as_str) {
                    None => Merge::Replace,
                    Some("patch") => Merge::Patch,
                    Some(_) => return None,
                };
                Some(Self::Upsert { key, order_by: properties.get(ORDER_PROPERTY).cloned(), merge })
            }
            _ => None,
        }
    }

    /// The properties of a new table of this kind. Names of columns hold no comma.
    pub(crate) fn properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = vec![("delta.checkpointInterval", CHECKPOINT_INTERVAL.to_owned())];
        match self {
            Self::Append => properties.push((MODE_PROPERTY, "append".to_owned())),
            Self::Replaced => properties.push((MODE_PROPERTY, "replaced".to_owned())),
            Self::Upsert { key, order_by, merge } => {
                properties.push((DELETION_VECTORS, "true".to_owned()));
                properties.push((MODE_PROPERTY, "upsert".to_owned()));
                if *merge == Merge::Patch {
                    properties.push((MERGE_PROPERTY, "patch".to_owned()));
                }
                properties.push((KEY_PROPERTY, key.join(",")));
                properties.extend(order_by.iter().map(|order_by| (ORDER_PROPERTY, order_by.clone())));
            }
        }
        properties
    }
}

impl TableSpec {
    /// Refuses a spec whose key or order names no column.
    pub(crate) fn check(&self, path: &str) -> Result<(), TableError> {
        let mut needed: Vec<&str> = vec![system::RECEIVED_AT, system::PARTITION, system::OFFSET];
        if let TableKind::Upsert { key, order_by, .. } = &self.kind {
            if key.is_empty() {
                return Err(mismatch(path, "", "an upsert needs a key".to_owned()));
            }
            needed.extend(key.iter().chain(order_by).map(String::as_str));
        } else {
            needed.clear();
        }
        let missing = needed.into_iter().find(|name| self.schema.column_with_name(name).is_none());
        missing.map_or(Ok(()), |name| {
            Err(mismatch(path, name, format!("there is no column {name} to order or tell records by")))
        })
    }

    /// Its columns as Delta has them, with the one that is the engine's own.
    pub(crate) fn delta_fields(&self, path: &str) -> Result<Vec<StructField>, TableError> {
        let mut fields = delta_fields(path, &self.schema)?;
        if matches!(self.kind, TableKind::Upsert { merge: Merge::Patch, .. }) {
            fields.push(StructField::nullable(system::FIELD_ORDERS, DataType::STRING));
        }
        Ok(fields)
    }

    /// The columns that an existing table lacks, if nothing else differs. Columns that only the table has are fine: another
    /// process, whose definition is newer, has added them.
    pub(crate) fn missing_columns(
        &self,
        path: &str,
        table: &StructType,
        table_kind: Option<&TableKind>,
    ) -> Result<Vec<StructField>, TableError> {
        let Some(table_kind) = table_kind else { return Err(TableError::NotOurs { path: path.to_owned() }) };
        if *table_kind != self.kind {
            let problem = format!("it is kept as {table_kind:?} and asked for as {:?}", self.kind);
            return Err(mismatch(path, "", problem));
        }
        let mut missing = Vec::new();
        let wanted_fields = self.delta_fields(path)?;
        for wanted in &wanted_fields {
            let may_be_null = self.schema.field_with_name(wanted.name()).is_ok_and(Field::is_nullable);
            match table.field(wanted.name()) {
                None if may_be_null => missing.push(wanted.clone()),
                None => {
                    let problem = format!(
                        "column {} is new and may not be null, which the rows that are there would be",
                        wanted.name()
                    );
                    return Err(mismatch(path, wanted.name(), problem));
                }
                Some(there) if there.data_type() == wanted.data_type() => {}
                Some(there) => {
                    let (name, there, wanted) = (wanted.name(), there.data_type(), wanted.data_type());
                    return Err(mismatch(path, name, format!("column {name} is {there} and asked for as {wanted}")));
                }
            }
        }
        Ok(missing)
    }
}

/// A schema's columns as Delta has them, with their metadata; all may be null.
pub(crate) fn delta_fields(path: &str, schema: &Schema) -> Result<Vec<StructField>, TableError> {
    let converted: StructType = schema.try_into_kernel().map_err(|error: arrow::error::ArrowError| {
        mismatch(path, "", format!("delta has no type for a column: {error}"))
    })?;
    let nullable = |field: &StructField| {
        StructField::nullable(field.name(), field.data_type().clone()).with_metadata(field.metadata.clone())
    };
    Ok(converted.fields().map(nullable).collect())
}

fn mismatch(path: &str, column: &str, problem: String) -> TableError {
    TableError::SchemaMismatch { path: path.to_owned(), column: column.to_owned(), problem }
}
