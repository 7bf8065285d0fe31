//! Tables whose whole content is put in the place of what was there: the tables of databases that a SELECT makes.
//!
//! The new content's files are written first, and one commit then removes the old files and adds the new ones: readers see all of
//! the old content or all of the new. Killed before that commit, the old content stays, and the new files are nobody's; they are
//! removed once they are too old to belong to a writer that still works.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use delta_kernel::table_properties::DataSkippingNumIndexedCols;
use deltalake_core::DeltaTableError;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Add, MetadataExt as _, StructField, StructType};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tracing::warn;
use uuid::Uuid;

use crate::commit::{properties, writer_properties};
use crate::log::Commit;
use crate::snapshot::Snapshot;
use crate::spec::delta_fields;
use crate::table::wait_for_next_attempt;
use crate::{TableError, TableKind, Tables};

/// About the size of a data file, in bytes.
const FILE_BYTES: NonZeroU64 = NonZeroU64::MIN.saturating_add((64 << 20) - 1);
/// Columns of which files keep the least and greatest value, as Delta's default is.
const COLUMNS_WITH_STATISTICS: u64 = 32;
/// How long the files of content that was replaced stay for readers of it: no query lasts as long.
const REPLACED_FILES_STAY: Duration = Duration::from_hours(1);
/// How long files stay that no version names: they may be those of a writer that has not committed yet.
const STRAY_FILES_STAY: Duration = Duration::from_hours(24);

/// What came of replacing a table's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replacement {
    /// The version that holds the new content.
    pub version: u64,
    /// Its rows.
    pub rows: u64,
    /// Its bytes in files.
    pub bytes: u64,
}

/// Why a table's content was not replaced. What was there is still there.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError<E> {
    /// The rows ended in an error.
    #[error("the new rows can't be had")]
    Rows(#[source] E),
    /// They can't be written.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Tables {
    /// Puts `rows` in the place of whatever the table at a path holds, in one new version; made where there is none. The columns may be
    /// others than before. Metadata of the schema's fields is kept with the table.
    ///
    /// Of two that replace at the same time, the one that commits last stays, whole.
    ///
    /// # Errors
    /// The rows' own, [`TableError::NotOurs`] where the table is not one of replaced content, [`TableError::SchemaMismatch`] for a
    /// column that Delta has no type for, and what reading and writing the table fails with.
    pub async fn replace<E>(
        &self,
        path: &str,
        schema: SchemaRef,
        rows: impl Stream<Item = Result<RecordBatch, E>> + Send,
    ) -> Result<Replacement, ReplaceError<E>> {
        let columns = delta_fields(path, &schema)?;
        if let Some(table) = self.open(path).await? {
            table.newest().await?.check_is_replaced(path)?;
        }
        let files = self.log_store(path)?.object_store(None);
        let mut writing = Writing::new(path, files.clone(), schema);
        let mut rows = pin!(rows);
        let outcome = loop {
            match rows.next().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(ReplaceError::Rows(error)),
                Some(Ok(batch)) => {
                    if let Err(error) = writing.write(&batch).await {
                        break Err(error.into());
                    }
                }
            }
        };
        let (added, count) = writing.close().await?;
        let names: Vec<Path> = added.iter().map(|file| Path::from(file.path.as_str())).collect();
        let bytes = added.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum();
        let committed = match outcome {
            Ok(()) => self.commit_replacement(path, columns, added).await.map_err(ReplaceError::from),
            Err(error) => Err(error),
        };
        match committed {
            Ok(version) => {
                if let Err(error) = self.remove_replaced(path).await {
                    warn!(
                        table = path,
                        error = &error as &dyn std::error::Error,
                        "files of older content were not removed"
                    );
                }
                Ok(Replacement { version, rows: count, bytes })
            }
            Err(error) => {
                // Nobody names them. Those that can't be removed now are strays, and go later.
                remove(&*files, names).await;
                Err(error)
            }
        }
    }

    /// Commits files as a table's whole content.
    async fn commit_replacement(
        &self,
        path: &str,
        columns: Vec<StructField>,
        added: Vec<Add>,
    ) -> Result<u64, TableError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let commit_id = Uuid::new_v4().to_string();
            let table = self.open(path).await?;
            let base = match &table {
                Some(table) => Some(table.newest().await?),
                None => None,
            };
            let made = match &base {
                Some(base) => {
                    base.check_is_replaced(path)?;
                    replace(base, &columns, added.clone(), &commit_id).await
                }
                None => self.make(path, &columns, added.clone(), &commit_id).await,
            };
            let Err(failure) = made else {
                return Ok(base.map_or(0, |base| base.version() + 1));
            };
            let next = base.as_ref().map_or(0, |base| base.version() + 1);
            if let Some((version, _)) =
                Commit::look_for(&self.log_store(path)?.object_store(None), path, &commit_id, next).await?
            {
                warn!(table = path, version, error = %failure, "a commit took place although its answer says otherwise");
                return Ok(version);
            }
            // Whoever was first to make it, the next round replaces what is in it.
            if base.is_none() && self.open(path).await?.is_some() {
                continue;
            }
            wait_for_next_attempt(path, attempts, failure).await?;
        }
    }

    /// Makes the table, with its content in its first version.
    async fn make(
        &self,
        path: &str,
        columns: &[StructField],
        added: Vec<Add>,
        commit_id: &str,
    ) -> Result<(), DeltaTableError> {
        let log_store = self.log_store(path).map_err(|error| DeltaTableError::GenericError { source: error.into() })?;
        let made = CreateBuilder::new()
            .with_log_store(log_store)
            .with_columns(columns.to_vec())
            .with_configuration(TableKind::Replaced.properties())
            .with_raise_if_key_not_exists(false)
            .with_save_mode(SaveMode::ErrorIfExists)
            .with_actions(added.into_iter().map(Action::Add))
            .with_commit_properties(properties(Vec::new(), commit_id))
            .await;
        made.map(drop)
    }

    /// Removes the files of content that was replaced long ago, and those that were never committed.
    async fn remove_replaced(&self, path: &str) -> Result<(), TableError> {
        let Some(table) = self.open(path).await? else { return Ok(()) };
        let base = table.newest().await?;
        let log_store = base.table().log_store();
        let of_delta = |error| TableError::from_delta(format!("listing the files of table {path}"), error);
        let mut live: HashSet<String> = HashSet::new();
        for file in base.state().snapshot().try_log_data().map_err(of_delta)?.iter() {
            live.insert(file.path().to_string());
        }
        let replaced_since = milliseconds_before(REPLACED_FILES_STAY);
        let mut replaced = HashSet::new();
        let mut tombstones = base.state().all_tombstones(&*log_store);
        while let Some(tombstone) = tombstones.try_next().await.map_err(of_delta)? {
            if tombstone.deletion_timestamp().is_some_and(|at| at >= replaced_since) {
                live.insert(tombstone.path().to_string());
            } else {
                replaced.insert(tombstone.path().to_string());
            }
        }
        drop(tombstones);
        let files = log_store.object_store(None);
        let strays_since = milliseconds_before(STRAY_FILES_STAY);
        let mut gone = Vec::new();
        // Data files lie at the root, the log in a folder.
        let listed = files.list_with_delimiter(None).await;
        let of_files = |source| TableError::from_files(format!("listing the files of table {path}"), source);
        for object in listed.map_err(of_files)?.objects {
            let name = object.location.to_string();
            let is_stray = object.last_modified.timestamp_millis() < strays_since;
            if !live.contains(&name) && (replaced.contains(&name) || is_stray) {
                gone.push(object.location);
            }
        }
        remove(&*files, gone).await;
        Ok(())
    }
}

impl Snapshot {
    /// Refuses a table that is not one of replaced content.
    fn check_is_replaced(&self, path: &str) -> Result<(), TableError> {
        match self.kind() {
            Some(TableKind::Replaced) => Ok(()),
            _ => Err(TableError::NotOurs { path: path.to_owned() }),
        }
    }
}

/// The new content on its way to files.
struct Writing<'a> {
    path: &'a str,
    schema: SchemaRef,
    writer: DeltaWriter,
    rows: u64,
}

impl<'a> Writing<'a> {
    fn new(path: &'a str, files: std::sync::Arc<dyn ObjectStore>, schema: SchemaRef) -> Self {
        let statistics = DataSkippingNumIndexedCols::NumColumns(COLUMNS_WITH_STATISTICS);
        let properties = Some(writer_properties());
        let config =
            WriterConfig::new(schema.clone(), Vec::new(), properties, Some(FILE_BYTES), None, statistics, None);
        Self { path, schema, writer: DeltaWriter::new(files, config), rows: 0 }
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        // The same columns under the schema's own fields, which carry its metadata.
        let batch = RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec())
            .map_err(|error| self.failed(DeltaTableError::from(error)))?;
        self.rows += batch.num_rows() as u64;
        let written = self.writer.write(&batch).await;
        written.map_err(|error| self.failed(error))
    }

    async fn close(self) -> Result<(Vec<Add>, u64), TableError> {
        let path = self.path;
        let added = self.writer.close().await;
        Ok((added.map_err(|error| failed(path, error))?, self.rows))
    }

    fn failed(&self, error: DeltaTableError) -> TableError {
        failed(self.path, error)
    }
}

fn failed(path: &str, error: DeltaTableError) -> TableError {
    TableError::from_delta(format!("writing rows of table {path}"), error)
}

/// Replaces the content of a version in the next one.
async fn replace(
    base: &Snapshot,
    columns: &[StructField],
    added: Vec<Add>,
    commit_id: &str,
) -> Result<(), DeltaTableError> {
    let mut actions = Vec::new();
    let wanted = StructType::try_new(columns.to_vec())?;
    if *base.state().schema() != wanted {
        actions.push(Action::Metadata(base.state().metadata().clone().with_schema(&wanted)?));
    }
    actions.extend(base.state().snapshot().try_log_data()?.iter().map(|file| Action::Remove(file.remove_action(true))));
    actions.extend(added.into_iter().map(Action::Add));
    let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
    CommitBuilder::from(properties(Vec::new(), commit_id))
        .with_actions(actions)
        .build(Some(base.state()), base.table().log_store(), operation)
        .await?;
    Ok(())
}

/// Removes files; those that can't be are left.
async fn remove(files: &dyn ObjectStore, names: Vec<Path>) {
    for name in names {
        if let Err(error) = files.delete(&name).await {
            warn!(file = %name, error = &error as &dyn std::error::Error, "a file that nobody needs was not removed");
        }
    }
}

fn milliseconds_before(duration: Duration) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(duration);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
