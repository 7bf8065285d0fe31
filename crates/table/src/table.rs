//! One table: writing to it, and reading what is in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use deltalake_core::DeltaTableError;
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::operations::optimize::Metrics;
use deltalake_core::table::state::DeltaTableState;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::commit::{Committed, commit, strict_commit};
use crate::compact::compact;
use crate::error::is_conflict;
use crate::incoming::{conformed, fresh};
use crate::log::Commit;
use crate::snapshot::Snapshot;
use crate::{Slice, TableError, TableKind, TableSpec};

/// Attempts at one write. Against one other writer that never rests an attempt is lost about every other time; with so
/// many, giving up means that something else is wrong, and the batch is better off in the queue.
const MAX_ATTEMPTS: u32 = 32;
/// Longest wait before the second attempt; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// Longest wait before any attempt: no longer than a commit takes, since who waits longer than the winner's next commit
/// loses to that as well.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// An open table, shared by its writer and its readers. One write runs at a time; readers don't wait for it.
pub struct Table {
    path: String,
    session: SessionState,
    /// The newest version that was seen.
    snapshot: Mutex<Snapshot>,
    /// Held by who writes: two writes of one process would only race each other.
    turn: Mutex<()>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteOutcome {
    /// The table's version with all of it in.
    pub version: u64,
    /// How often it was tried: 1 without races and failures.
    pub attempts: u32,
    /// Whether a commit was made. Without one everything was in already, or there were no rows.
    pub committed: bool,
    /// Rows in the slices.
    pub rows_received: usize,
    /// Of these, rows whose offsets were not yet in.
    pub rows_new: usize,
    /// Of these, rows that the table now holds: inserted, or in the place of an older one.
    pub rows_written: usize,
    /// New rows that a newer record of their key, in the batch or in the table, made needless.
    pub rows_superseded: usize,
}

/// A table in figures.
#[derive(Debug, Clone)]
pub struct TableDetails {
    /// Its newest version.
    pub version: u64,
    /// Its rows; none: a file says nothing of its own.
    pub rows: Option<u64>,
    /// Its data files.
    pub files: usize,
    /// What they take up.
    pub bytes: u64,
    /// When the newest version was made, if the log still has its entry.
    pub last_commit_at: Option<Timestamp>,
    /// Its columns.
    pub schema: SchemaRef,
    /// What it holds of the records; none: it is not ours.
    pub kind: Option<TableKind>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Table {
    pub(crate) async fn open(path: &str, log_store: LogStoreRef, session: SessionState) -> Result<Self, TableError> {
        let snapshot = Mutex::new(Snapshot::open(log_store, path).await?);
        Ok(Self { path: path.to_owned(), session, snapshot, turn: Mutex::new(()) })
    }

    /// Writes what of the slices is not yet in, exactly once per topic, partition and offset. The order of the slices, and
    /// overlaps between them, make no difference. A slice may begin after what is in: that nothing is left out is the
    /// caller's to see to.
    ///
    /// Slices whose rows are all in, or are all superseded, still move the table's offsets on; a delivery without any
    /// rows makes no commit.
    ///
    /// # Errors
    /// [`TableError::Conflict`] and [`TableError::Unavailable`] leave the table as it was or with all of it in, and the
    /// same call finds out which. The others need a change first.
    pub async fn write(&self, topic: &str, slices: Vec<Slice>) -> Result<WriteOutcome, TableError> {
        let _turn = self.turn.lock().await;
        let mut outcome = WriteOutcome {
            rows_received: slices.iter().map(|slice| slice.rows.num_rows()).sum(),
            ..WriteOutcome::default()
        };
        let mut base = self.newest().await?;
        let kind = base.kind().filter(|kind| *kind != TableKind::Replaced);
        let kind = kind.ok_or_else(|| TableError::NotOurs { path: self.path.clone() })?;
        loop {
            outcome.attempts += 1;
            outcome.version = base.version();
            // For each attempt anew: the winner of a race may have added a column.
            let schema = base.schema();
            let conformed = conformed(&self.path, &schema, &slices)?;
            let fresh = fresh(&schema, topic, &conformed, base.transactions());
            let Some(fresh) = fresh.map_err(|error| self.failed("preparing rows", error.into()))? else {
                return Ok(outcome);
            };
            let rows_new = fresh.rows.num_rows();
            let transactions = fresh.transactions.clone();
            let commit_id = Uuid::new_v4().to_string();
            let failure = match commit(&base, &self.session, &kind, fresh, &commit_id).await {
                Ok(Committed { state, rows_written }) => {
                    outcome.version = state.version();
                    let made = base.after_own_commit(state, transactions);
                    self.show(made.clone()).await;
                    self.compact_if_crowded(&made).await;
                    return Ok(outcome.with_commit(rows_new, rows_written));
                }
                Err(failure) => failure,
            };
            // The commit may have taken place all the same: its answer was lost, or the store repeated it on its own and
            // met itself, or what comes after a commit failed.
            let files = base.table().object_store();
            if let Some((version, made)) = Commit::look_for(&files, &self.path, &commit_id, base.version() + 1).await? {
                warn!(table = %self.path, version, error = %failure, "a commit took place although its answer says otherwise");
                outcome.version = version;
                return Ok(outcome.with_commit(rows_new, made.rows_merged.unwrap_or(rows_new)));
            }
            wait_for_next_attempt(&self.path, outcome.attempts, failure).await?;
            base = self.newest().await?;
        }
    }

    /// For each partition of a topic that has rows in, the offset after the last one that is in.
    ///
    /// # Errors
    /// The newest version can't be read.
    pub async fn next_offsets(&self, topic: &str) -> Result<BTreeMap<u32, u64>, TableError> {
        Ok(self.newest().await?.transactions().next_offsets(topic))
    }

    /// The newest version with all its columns, for a query. It stays at that version.
    ///
    /// # Errors
    /// The newest version can't be read.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, TableError> {
        Ok(self.versioned_provider().await?.0)
    }

    /// The same, and the number of that version.
    ///
    /// # Errors
    /// The newest version can't be read.
    pub async fn versioned_provider(&self) -> Result<(Arc<dyn TableProvider>, u64), TableError> {
        let snapshot = self.newest().await?;
        let provider = snapshot.table().table_provider().await;
        Ok((provider.map_err(|error| self.failed("opening for a query", error.into()))?, snapshot.version()))
    }

    /// The number of the newest version.
    ///
    /// # Errors
    /// The newest version can't be read.
    pub async fn version(&self) -> Result<u64, TableError> {
        Ok(self.newest().await?.version())
    }

    /// The newest version in figures.
    ///
    /// # Errors
    /// The newest version can't be read.
    pub async fn details(&self) -> Result<TableDetails, TableError> {
        let snapshot = self.newest().await?;
        let log = snapshot.state().snapshot().try_log_data().map_err(|error| self.failed("reading the log", error))?;
        let mut details = TableDetails {
            version: snapshot.version(),
            rows: Some(0),
            files: 0,
            bytes: 0,
            last_commit_at: commit_time(snapshot.state()),
            schema: snapshot.schema(),
            kind: snapshot.kind(),
        };
        for file in log.iter() {
            details.files += 1;
            details.bytes += u64::try_from(file.size()).unwrap_or(0);
            let deleted = file.deletion_vector_descriptor().map_or(0, |deleted| deleted.cardinality);
            let rows = file.num_records().map(|rows| (rows as u64).saturating_sub(u64::try_from(deleted).unwrap_or(0)));
            details.rows = details.rows.zip(rows).map(|(all, rows)| all + rows);
        }
        Ok(details)
    }

    /// Refuses a spec that the table contradicts, after adding the columns that it only lacks.
    pub(crate) async fn fulfil(&self, spec: &TableSpec) -> Result<(), TableError> {
        let mut attempts = 0;
        loop {
            let base = self.newest().await?;
            let missing = spec.missing_columns(&self.path, &base.state().schema(), base.kind().as_ref())?;
            if missing.is_empty() {
                return Ok(());
            }
            attempts += 1;
            let _turn = self.turn.lock().await;
            let added =
                base.table().clone().add_columns().with_fields(missing).with_commit_properties(strict_commit()).await;
            // Whether it took place or not, the next round sees it in the newest version.
            if let Err(failure) = added {
                wait_for_next_attempt(&self.path, attempts, failure).await?;
            }
        }
    }

    /// The newest version, which becomes the one that is held.
    pub(crate) async fn newest(&self) -> Result<Snapshot, TableError> {
        let mut held = self.snapshot.lock().await;
        if let Some(newer) = held.newest(&self.path).await? {
            *held = newer;
        }
        Ok(held.clone())
    }

    /// Shows a version of our own making to readers.
    async fn show(&self, made: Snapshot) {
        let mut held = self.snapshot.lock().await;
        if made.version() > held.version() {
            *held = made;
        }
    }

    /// Puts small files together once there are many: every merge and every query opens each of them.
    ///
    /// Nothing depends on it, so a failure is only noted, and the next write tries it again.
    async fn compact_if_crowded(&self, base: &Snapshot) {
        match compact(base, &self.session).await {
            Ok(None) => {}
            Ok(Some(Metrics { num_files_removed, num_files_added, .. })) => {
                info!(table = %self.path, base = base.version(), num_files_removed, num_files_added, "put small files together");
            }
            Err(error) if is_conflict(&error) => {
                debug!(table = %self.path, %error, "small files were not put together: another writer was first");
            }
            Err(error) => warn!(table = %self.path, %error, "small files were not put together"),
        }
    }

    fn failed(&self, doing: &str, error: DeltaTableError) -> TableError {
        TableError::from_delta(format!("{doing}: table {}", self.path), error)
    }
}

impl WriteOutcome {
    fn with_commit(self, rows_new: usize, rows_written: usize) -> Self {
        Self { committed: true, rows_new, rows_written, rows_superseded: rows_new.saturating_sub(rows_written), ..self }
    }
}

/// Waits for a random time that grows, or gives up.
pub(crate) async fn wait_for_next_attempt(
    path: &str,
    attempts: u32,
    failure: DeltaTableError,
) -> Result<(), TableError> {
    let conflict = is_conflict(&failure);
    if attempts >= MAX_ATTEMPTS && conflict {
        return Err(TableError::Conflict { path: path.to_owned(), attempts });
    }
    debug!(table = path, attempts, conflict, error = %failure, "a commit did not take place");
    if !conflict {
        let failure = TableError::from_delta(format!("committing: table {path}"), failure);
        if attempts >= MAX_ATTEMPTS || !failure.is_temporary() {
            return Err(failure);
        }
    }
    let longest = FIRST_WAIT.saturating_mul(1 << attempts.min(16)).min(LONGEST_WAIT);
    tokio::time::sleep(longest.mul_f64(rand::random())).await;
    Ok(())
}

fn commit_time(state: &DeltaTableState) -> Option<Timestamp> {
    Timestamp::from_millisecond(state.version_timestamp(state.version())?).ok()
}
