//! A table as of one version, kept up with the log by its commits alone.
//!
//! It is read whole once, by the engine underneath, which knows every form of checkpoint. From there on the entry of each
//! next version is one GET: 404 means that there is none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::DeltaTable;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow as _;
use deltalake_core::kernel::{Metadata, Protocol};
use deltalake_core::logstore::LogStoreRef;
use jiff::Timestamp;
use object_store::ObjectStore;

use crate::file::DataFile;
use crate::log::{Commit, Transactions};
use crate::protocol::check_readable;
use crate::{TableError, TableKind};

/// A snapshot that was not compared with the log for so long is read anew: the entries that would lead on from it could have been
/// cleaned up, and the next one's 404 would then be taken for "there is none".
const AGE_UNTIL_REOPENED: Duration = Duration::from_mins(10);

/// A table as of one version. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    version: u64,
    protocol: Arc<Protocol>,
    metadata: Arc<Metadata>,
    schema: SchemaRef,
    kind: Option<TableKind>,
    files: Arc<BTreeMap<String, Arc<DataFile>>>,
    transactions: Arc<Transactions>,
    made_at: Option<i64>,
    /// When this was last known to be the newest version.
    compared_at: Instant,
    /// The newest version in which a file came back with fewer dead rows than it had, as a restore brings it.
    revived_at: Option<u64>,
}

impl Snapshot {
    /// Reads a version, the newest without one.
    pub(crate) async fn open(log_store: LogStoreRef, path: &str, version: Option<u64>) -> Result<Self, TableError> {
        let failed = |error| TableError::from_delta(format!("opening table {path}"), error);
        let compared_at = Instant::now();
        let mut table = DeltaTable::new(log_store);
        match version {
            None => table.load().await.map_err(failed)?,
            Some(version) => table.load_version(version).await.map_err(failed)?,
        }
        Self::of(&table, path, compared_at).await
    }

    /// Reads the version that was the newest at a time.
    pub(crate) async fn open_at(log_store: LogStoreRef, path: &str, time: Timestamp) -> Result<Self, TableError> {
        let failed = |error| TableError::from_delta(format!("opening table {path} as of {time}"), error);
        let mut table = DeltaTable::new(log_store);
        table.load().await.map_err(failed)?;
        let time = chrono_time(time).ok_or_else(|| TableError::Engine {
            context: format!("opening table {path}"),
            source: format!("{time} is out of range").into(),
        })?;
        table.load_with_datetime(time).await.map_err(failed)?;
        Self::of(&table, path, Instant::now()).await
    }

    async fn of(table: &DeltaTable, path: &str, compared_at: Instant) -> Result<Self, TableError> {
        let failed = |error| TableError::from_delta(format!("opening table {path}"), error);
        let state = table.snapshot().map_err(failed)?;
        let version = state.version();
        let mut files = BTreeMap::new();
        for view in state.snapshot().try_log_data().map_err(failed)?.iter() {
            #[allow(deprecated, reason = "what replaces it leaves out the tags")]
            let file = DataFile::new(view.add_action());
            files.insert(file.name().to_owned(), Arc::new(file));
        }
        let transactions = Transactions::read(&table.object_store(), path, version).await?;
        let protocol = state.protocol().clone();
        let metadata = state.metadata().clone();
        check_readable(path, &protocol, &metadata)?;
        Ok(Self {
            version,
            schema: schema_of(path, &metadata)?,
            kind: TableKind::from_properties(metadata.configuration()),
            protocol: Arc::new(protocol),
            metadata: Arc::new(metadata),
            files: Arc::new(files),
            transactions: Arc::new(transactions),
            made_at: state.version_timestamp(version),
            compared_at,
            revived_at: None,
        })
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(crate) fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// The table's columns, as its rows are read and written.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// What the table is kept as; none: not ours.
    pub(crate) fn kind(&self) -> Option<&TableKind> {
        self.kind.as_ref()
    }

    /// When the version was made, if the log still has its entry.
    pub(crate) fn made_at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.made_at?).ok()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<DataFile>> {
        self.files.values()
    }

    pub(crate) fn file_count(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn file(&self, name: &str) -> Option<&Arc<DataFile>> {
        self.files.get(name)
    }

    /// The same version with some of its files alone.
    pub(crate) fn restricted_to(&self, files: &[Arc<DataFile>]) -> Self {
        let files = files.iter().map(|file| (file.name().to_owned(), file.clone())).collect();
        Self { files: Arc::new(files), ..self.clone() }
    }

    pub(crate) fn revived_at(&self) -> Option<u64> {
        self.revived_at
    }

    /// The newest version; none: this one is.
    pub(crate) async fn newest(
        &self,
        log_store: &LogStoreRef,
        files: &dyn ObjectStore,
        path: &str,
    ) -> Result<Self, TableError> {
        if self.compared_at.elapsed() >= AGE_UNTIL_REOPENED {
            let newest = Self::open(log_store.clone(), path, None).await?;
            if newest.version == self.version && newest.metadata.id() == self.metadata.id() {
                // Nobody wrote: what is known of its files, and the index over them, still holds.
                return Ok(Self { compared_at: newest.compared_at, ..self.clone() });
            }
            // What happened meanwhile was not seen commit by commit.
            return Ok(Self { revived_at: Some(newest.version), ..newest });
        }
        let mut newest = self.clone();
        let mut compared_at = Instant::now();
        while let Some(commit) = Commit::read(files, path, newest.version + 1).await? {
            newest = newest.after(path, commit, Vec::new())?;
            compared_at = Instant::now();
        }
        newest.compared_at = compared_at;
        Ok(newest)
    }

    /// The next version, which a commit makes of this one. `known` are files of it whose dead rows are known.
    pub(crate) fn after(&self, path: &str, commit: Commit, known: Vec<DataFile>) -> Result<Self, TableError> {
        let mut next = self.clone();
        next.version += 1;
        next.made_at = commit.made_at;
        next.compared_at = Instant::now();
        if let Some(protocol) = commit.protocol {
            next.protocol = Arc::new(protocol);
        }
        if let Some(metadata) = commit.metadata {
            next.schema = schema_of(path, &metadata)?;
            next.kind = TableKind::from_properties(metadata.configuration());
            next.metadata = Arc::new(metadata);
        }
        check_readable(path, &next.protocol, &next.metadata)?;
        if !commit.transactions.is_empty() {
            let mut transactions = Transactions::clone(&self.transactions);
            transactions.apply(commit.transactions);
            next.transactions = Arc::new(transactions);
        }
        if commit.added.is_empty() && commit.removed.is_empty() {
            return Ok(next);
        }
        let mut files = BTreeMap::clone(&self.files);
        let mut removed = BTreeMap::new();
        for file in commit.removed {
            if let Some(before) = files.remove(&file.path) {
                removed.insert(file.path, before);
            }
        }
        let mut known: BTreeMap<String, DataFile> =
            known.into_iter().map(|file| (file.name().to_owned(), file)).collect();
        for add in commit.added {
            let file = known.remove(&add.path).unwrap_or_else(|| DataFile::new(add));
            let before = removed.get(file.name()).map_or(0, |before| before.dead_count());
            if file.dead_count() < before {
                next.revived_at = Some(next.version);
            }
            files.insert(file.name().to_owned(), Arc::new(file));
        }
        next.files = Arc::new(files);
        Ok(next)
    }
}

fn schema_of(path: &str, metadata: &Metadata) -> Result<SchemaRef, TableError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| TableError::Corrupt {
        context: format!("reading the columns of table {path}"),
        source,
    };
    let schema = metadata.parse_schema().map_err(|error| failed(error.into()))?;
    let schema: Schema = (&schema).try_into_arrow().map_err(|error: arrow::error::ArrowError| failed(error.into()))?;
    Ok(Arc::new(schema))
}

/// The type that the engine underneath takes times as.
fn chrono_time(time: Timestamp) -> Option<chrono::DateTime<chrono::Utc>> {
    chrono::DateTime::from_timestamp_micros(time.as_microsecond())
}
