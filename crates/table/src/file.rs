//! One data file of a version.

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use deltalake_core::kernel::{Add, DeletionVectorDescriptor, Remove};
use object_store::ObjectStore;
use object_store::path::Path;
use roaring::RoaringTreemap;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::parquet_file::TOMBSTONES;
use crate::statistics::bounds;
use crate::{TableError, deletion};

/// A data file as a version has it: with the rows that are dead in that version.
#[derive(Debug)]
pub(crate) struct DataFile {
    add: Add,
    rows: Option<u64>,
    dead: OnceCell<Arc<RoaringTreemap>>,
    bounds: OnceLock<(SchemaRef, Arc<Statistics>)>,
}

/// What statistics hold, as we write them, that are bounds and no more.
const LOOSE: &str = r#""tightBounds":false"#;

#[derive(Deserialize)]
struct Counted {
    #[serde(rename = "numRecords")]
    rows: Option<u64>,
}

impl DataFile {
    pub(crate) fn new(add: Add) -> Self {
        let rows = add.stats.as_deref().and_then(|stats| serde_json::from_str::<Counted>(stats).ok()?.rows);
        let dead = match add.deletion_vector {
            None => OnceCell::new_with(Some(Arc::default())),
            Some(_) => OnceCell::new(),
        };
        Self { add, rows, dead, bounds: OnceLock::new() }
    }

    /// The same, with a vector that is known because it was just written.
    pub(crate) fn with_dead_rows(add: Add, dead: Arc<RoaringTreemap>) -> Self {
        Self { dead: OnceCell::new_with(Some(dead)), ..Self::new(add) }
    }

    /// The same for a reader to whom these rows are dead, the dead ones among them.
    pub(crate) fn without(&self, rows: RoaringTreemap) -> Self {
        Self { dead: OnceCell::new_with(Some(Arc::new(rows))), ..Self::new(self.add.clone()) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.add.path
    }

    pub(crate) fn add(&self) -> &Add {
        &self.add
    }

    pub(crate) fn location(&self) -> Path {
        // A partition's folder may have percent signs in its name, as they are.
        Path::parse(&self.add.path).unwrap_or_else(|_| Path::from(self.add.path.as_str()))
    }

    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.add.size).unwrap_or(0)
    }

    /// Rows in the file, dead ones too. None: the log doesn't say.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// Rows of it that are dead.
    pub(crate) fn dead_count(&self) -> u64 {
        match self.known_dead() {
            Some(dead) => dead.len(),
            None => self.vector().map_or(0, |vector| u64::try_from(vector.cardinality).unwrap_or(0)),
        }
    }

    /// Rows of it, the last ones, that are tombstones. A hint, which another engine may lose: the file itself says it for sure.
    pub(crate) fn tombstones(&self) -> u64 {
        let said = self.add.tags.as_ref().and_then(|tags| tags.get(TOMBSTONES)?.as_deref()?.parse().ok());
        said.unwrap_or(0)
    }

    pub(crate) fn vector(&self) -> Option<&DeletionVectorDescriptor> {
        self.add.deletion_vector.as_ref()
    }

    /// Which rows are dead. Read once.
    pub(crate) async fn dead(&self, files: &dyn ObjectStore, table: &str) -> Result<Arc<RoaringTreemap>, TableError> {
        let read = async {
            match self.vector() {
                None => Ok(Arc::default()),
                Some(vector) => deletion::read(files, table, vector).await.map(Arc::new),
            }
        };
        self.dead.get_or_try_init(|| read).await.cloned()
    }

    /// Which rows are dead, if that was read before.
    pub(crate) fn known_dead(&self) -> Option<&Arc<RoaringTreemap>> {
        self.dead.get()
    }

    /// What the log says of its columns, as those of a schema ([`bounds`]). Worked out once for the table's schema, since every query asks
    /// it of every file.
    pub(crate) fn bounds(&self, schema: &SchemaRef) -> Arc<Statistics> {
        let (of, known) = self.bounds.get_or_init(|| (schema.clone(), Arc::new(bounds(self, schema))));
        // Columns can be added, or put in another order, while the file stays.
        if Arc::ptr_eq(of, schema) { known.clone() } else { Arc::new(bounds(self, schema)) }
    }

    /// The action that takes it out of the next version.
    pub(crate) fn removed(&self, data_change: bool) -> Remove {
        let Add { path, size, partition_values, tags, deletion_vector, .. } = self.add.clone();
        Remove {
            path,
            data_change,
            deletion_timestamp: Some(now_in_milliseconds()),
            extended_file_metadata: Some(true),
            partition_values: Some(partition_values),
            size: Some(size),
            tags,
            deletion_vector,
            base_row_id: None,
            default_row_commit_version: None,
        }
    }

    /// The same file with another vector, as an action of the next version.
    pub(crate) fn with_vector(&self, vector: DeletionVectorDescriptor, data_change: bool) -> Add {
        let mut add = self.add.clone();
        add.deletion_vector = Some(vector);
        add.stats = add.stats.as_deref().map(loosened);
        add.data_change = data_change;
        add
    }
}

/// Statistics that no longer hold for the rows that are left: the least value may be a dead row's.
pub(crate) fn loosened(stats: &str) -> String {
    // Every write that meets a file asks for it.
    if stats.contains(LOOSE) {
        return stats.to_owned();
    }
    let Ok(serde_json::Value::Object(mut parsed)) = serde_json::from_str(stats) else { return stats.to_owned() };
    parsed.insert("tightBounds".to_owned(), false.into());
    serde_json::Value::Object(parsed).to_string()
}

pub(crate) fn now_in_milliseconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
