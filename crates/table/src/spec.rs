//! What a table must be, and how a Delta table says that it is.

use std::collections::HashMap;

use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{StructField, StructType};
use freshet_model::system;

use crate::TableError;

/// Table properties that hold the kind of a table. A table without them is not ours.
const MODE_PROPERTY: &str = "freshet.mode";
const KEY_PROPERTY: &str = "freshet.key";
const ORDER_PROPERTY: &str = "freshet.orderBy";
/// A table that replaces rows doesn't have it.
const MERGE_PROPERTY: &str = "freshet.merge";
/// Commits from checkpoint to checkpoint: opening a table reads at most so many entries of its log.
const CHECKPOINT_INTERVAL: &str = "100";

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
        /// What becomes of a row when a newer record of its key comes.
        merge: Merge,
    },
    /// Every record once.
    Append,
    /// What [`Tables::replace`](crate::Tables::replace) put there last: no records.
    Replaced,
}

/// What becomes of a row when a newer record of its key comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Merge {
    /// The newest record takes the row's place.
    #[default]
    Replace,
    /// Each column has the value of the newest record that has the field.
    Patch,
}

impl Merge {
    fn from_property(property: Option<&str>) -> Option<Self> {
        match property {
            None | Some("replace") => Some(Self::Replace),
            Some("patch") => Some(Self::Patch),
            Some(_) => None,
        }
    }
}

impl TableKind {
    /// Reads the kind from a table's properties; none: not ours.
    pub(crate) fn from_properties(properties: &HashMap<String, String>) -> Option<Self> {
        match properties.get(MODE_PROPERTY)?.as_str() {
            "append" => Some(Self::Append),
            "replaced" => Some(Self::Replaced),
            "upsert" => {
                let key = properties.get(KEY_PROPERTY)?.split(',').map(str::to_owned).collect();
                let merge = Merge::from_property(properties.get(MERGE_PROPERTY).map(String::as_str))?;
                Some(Self::Upsert { key, order_by: properties.get(ORDER_PROPERTY).cloned(), merge })
            }
            _ => None,
        }
    }

    /// The properties of a new table of this kind. Names of columns hold no comma.
    pub(crate) fn properties(&self) -> Vec<(String, Option<String>)> {
        let mut properties = vec![("delta.checkpointInterval", CHECKPOINT_INTERVAL.to_owned())];
        match self {
            Self::Append => properties.push((MODE_PROPERTY, "append".to_owned())),
            Self::Replaced => properties.push((MODE_PROPERTY, "replaced".to_owned())),
            Self::Upsert { key, order_by, merge } => {
                properties.push((MODE_PROPERTY, "upsert".to_owned()));
                properties.push((KEY_PROPERTY, key.join(",")));
                properties.extend(order_by.iter().map(|order_by| (ORDER_PROPERTY, order_by.clone())));
                if *merge == Merge::Patch {
                    properties.push((MERGE_PROPERTY, "patch".to_owned()));
                }
            }
        }
        properties.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect()
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

    /// Its columns as Delta has them.
    pub(crate) fn delta_fields(&self, path: &str) -> Result<Vec<StructField>, TableError> {
        delta_fields(path, &self.schema)
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
        for (wanted, field) in wanted_fields.iter().zip(self.schema.fields()) {
            match table.field(wanted.name()) {
                None if field.is_nullable() => missing.push(wanted.clone()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn upsert(merge: Merge) -> TableKind {
        TableKind::Upsert { key: vec!["id".to_owned(), "line".to_owned()], order_by: None, merge }
    }

    fn written(kind: &TableKind) -> HashMap<String, String> {
        kind.properties().into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    #[test]
    fn a_kind_is_read_from_its_properties() {
        for kind in [TableKind::Append, TableKind::Replaced, upsert(Merge::Replace), upsert(Merge::Patch)] {
            assert_eq!(TableKind::from_properties(&written(&kind)), Some(kind));
        }
    }

    #[test]
    fn only_a_table_that_patches_says_how_it_merges() {
        assert_eq!(written(&upsert(Merge::Replace)).get(MERGE_PROPERTY), None);
        let mut properties = written(&upsert(Merge::Patch));
        assert_eq!(properties.get(MERGE_PROPERTY).map(String::as_str), Some("patch"));
        properties.insert(MERGE_PROPERTY.to_owned(), "of a later version".to_owned());
        assert_eq!(TableKind::from_properties(&properties), None);
    }
}
