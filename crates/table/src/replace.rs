//! Tables whose whole content is put in the place of what was there: the tables of databases that a SELECT makes.
//!
//! The new content's files are written first, and one commit then removes the old files and adds the new ones: readers see all of
//! the old content or all of the new. Killed before that commit, the old content stays, and the new files are nobody's; they are
//! removed once they are too old to belong to a writer that still works.

use std::pin::pin;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::{Add, MetadataExt as _, StructField, StructType};
use futures::{Stream, StreamExt};
use tracing::warn;

use crate::commit::{Attempt, Attempts, Change};
use crate::data_file::{FileWriter, writer_properties};
use crate::maintain::{remove, vacuum};
use crate::protocol::protocol_of;
use crate::snapshot::Snapshot;
use crate::spec::delta_fields;
use crate::table::{MAX_ATTEMPTS, wait};
use crate::tables::created;
use crate::{TableError, TableKind, Tables};

/// Bytes of rows in memory that make a data file: about 64 MB of it.
const FILE_BYTES: usize = 256 << 20;
/// How long the files of content that was replaced stay for readers of it: no query lasts as long.
pub(crate) const REPLACED_FILES_STAY: Duration = Duration::from_hours(1);

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
        let properties = writer_properties(&schema, &[], 0, 0);
        let mut writing = FileWriter::new(path, files.clone(), schema, properties, Some(FILE_BYTES));
        let mut count = 0;
        let mut rows = pin!(rows);
        let outcome = loop {
            match rows.next().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(ReplaceError::Rows(error)),
                Some(Ok(batch)) => {
                    count += batch.num_rows() as u64;
                    if let Err(error) = writing.write(&batch).await {
                        break Err(error.into());
                    }
                }
            }
        };
        if let Err(error) = outcome {
            // There was no attempt to commit: nobody names them.
            remove(&*files, writing.put_so_far()).await;
            return Err(error);
        }
        let added = writing.close().await?;
        let bytes = added.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum();
        // If this fails the files are left to the vacuum: an attempt may have taken place, or still take place, whatever its answer was.
        let version = self.commit_replacement(path, columns, added).await?;
        if let Err(error) = self.remove_replaced(path).await {
            warn!(table = path, error = &error as &dyn std::error::Error, "files of older content were not removed");
        }
        Ok(Replacement { version, rows: count, bytes })
    }

    /// Commits files as a table's whole content.
    async fn commit_replacement(
        &self,
        path: &str,
        columns: Vec<StructField>,
        added: Vec<Add>,
    ) -> Result<u64, TableError> {
        let mut attempts = Attempts::default();
        loop {
            let table = self.open(path).await?;
            let (change, next) = match &table {
                Some(table) => {
                    let base = table.newest().await?;
                    base.check_is_replaced(path)?;
                    (replacing(path, &base, &columns, added.clone())?, base.version() + 1)
                }
                None => (Change { added: added.clone(), ..created(path, &columns, &TableKind::Replaced)? }, 0),
            };
            let files = self.log_store(path)?.object_store(None);
            let id = attempts.next();
            match attempts.make(&*files, path, next, &change, &id).await? {
                Attempt::Made { version, .. } => return Ok(version),
                Attempt::Taken if attempts.count() >= MAX_ATTEMPTS => {
                    return Err(TableError::Conflict { path: path.to_owned(), attempts: attempts.count() });
                }
                Attempt::Failed(error) if attempts.count() >= MAX_ATTEMPTS => {
                    return Err(TableError::from_files(format!("committing: table {path}"), error));
                }
                Attempt::Taken | Attempt::Failed(_) => wait(attempts.count()).await,
            }
        }
    }

    /// Removes the files of content that was replaced long ago, and those that were never committed.
    async fn remove_replaced(&self, path: &str) -> Result<(), TableError> {
        let Some(table) = self.open(path).await? else { return Ok(()) };
        let snapshot = table.newest().await?;
        vacuum(&table.place(), &snapshot, REPLACED_FILES_STAY).await.map(drop)
    }
}

/// Puts files in the place of all those of a version.
fn replacing(path: &str, base: &Snapshot, columns: &[StructField], added: Vec<Add>) -> Result<Change, TableError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        TableError::of_rows(format!("replacing the rows of table {path}"), error)
    };
    let wanted = StructType::try_new(columns.to_vec()).map_err(|error| failed(error.into()))?;
    let there = base.metadata().parse_schema().map_err(|error| failed(error.into()))?;
    let mut change = Change { operation: "WRITE", added, ..Change::default() };
    if there != wanted {
        let metadata = base.metadata().clone().with_schema(&wanted).map_err(|error| failed(error.into()))?;
        let protocol = protocol_of(&wanted, &TableKind::Replaced).map_err(|error| failed(error.into()))?;
        change.metadata = Some(metadata);
        change.protocol = (protocol.min_reader_version() > base.protocol().min_reader_version()).then_some(protocol);
    }
    change.removed = base.files().map(|file| file.removed(true)).collect();
    Ok(change)
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
