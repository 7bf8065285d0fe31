//! One table: writing to it, and reading what is in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::{DeltaTable, DeltaTableError};
use jiff::Timestamp;
use object_store::ObjectStore;
use tokio::sync::Mutex;
use tracing::{debug, warn};

use crate::batch::null_key;
use crate::commit::{Attempt, Attempts, Change, UPSERT, as_commit, failed as commit_failed, strict_commit};
use crate::error::is_conflict;
use crate::file::DataFile;
use crate::incoming::{Fresh, conformed, fresh};
use crate::index::{Budget, KeyIndex, Source};
use crate::log::AsOf;
use crate::protocol::{check_writable, takes_deletion_vectors};
use crate::provider::{Provider, Reading};
use crate::snapshot::Snapshot;
use crate::spec::{DELETION_VECTORS, UpsertKind};
use crate::upsert::{NewFile, Place, Vectors};
use crate::{Slice, TableError, TableKind, TableSpec};

/// Attempts at one write. Against one other writer that never rests an attempt is lost about every other time; with so
/// many, giving up means that something else is wrong, and the batch is better off in the queue.
pub(crate) const MAX_ATTEMPTS: u32 = 32;
/// Longest wait before the second attempt; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// Longest wait before any attempt: no longer than a commit takes, since who waits longer than the winner's next commit
/// loses to that as well.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// An open table, shared by its writer and its readers. One write runs at a time; readers don't wait for it.
pub struct Table {
    pub(crate) path: String,
    pub(crate) log_store: LogStoreRef,
    pub(crate) files: Arc<dyn ObjectStore>,
    /// What the scans of a process share.
    reading: Arc<Reading>,
    /// The newest version that was seen.
    snapshot: Mutex<Snapshot>,
    /// Where the rows of keys are.
    pub(crate) index: Arc<KeyIndex>,
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
    /// Of these, rows that took their key out of the table.
    pub rows_deleted: usize,
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
    pub(crate) async fn open(
        path: &str,
        log_store: LogStoreRef,
        budget: Arc<Budget>,
        reading: Arc<Reading>,
    ) -> Result<Option<Self>, TableError> {
        let files = log_store.object_store(None);
        let Some(snapshot) = Snapshot::open(&*files, path, AsOf::Newest).await? else { return Ok(None) };
        let index = Arc::new(KeyIndex::open(path, snapshot.metadata().id(), budget));
        Ok(Some(Self {
            path: path.to_owned(),
            log_store,
            files,
            reading,
            snapshot: Mutex::new(snapshot),
            index,
            turn: Mutex::new(()),
        }))
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
        let received = slices.iter().map(|slice| slice.rows.num_rows()).sum();
        let mut outcome = WriteOutcome { rows_received: received, ..WriteOutcome::default() };
        let mut attempts = Attempts::default();
        // What each attempt would have done, for the one whose answer is lost.
        let mut attempted: HashMap<String, WriteOutcome> = HashMap::new();
        let mut put: Option<NewFile> = None;
        loop {
            let base = self.newest().await?;
            outcome.version = base.version();
            let kind = self.kind_to_write(&base)?;
            // For each attempt anew: the winner of a race may have added a column, or brought some of the rows in.
            let schema = base.schema();
            let conformed = conformed(&self.path, &schema, &slices)?;
            let fresh = fresh(&schema, topic, &conformed, base.transactions());
            let Some(fresh) = fresh.map_err(|error| TableError::of_rows(self.doing("preparing rows"), error))? else {
                outcome.attempts = attempts.count() + 1;
                return Ok(outcome);
            };
            outcome.rows_new = fresh.rows.num_rows();
            let work = match &kind {
                None => Box::pin(self.append(&base, fresh, put.take(), &mut outcome)).await?,
                Some(kind) => Box::pin(self.upsert(&base, kind, fresh, put.take(), &mut outcome)).await?,
            };
            let id = attempts.next();
            outcome.attempts = attempts.count();
            attempted.insert(id.clone(), outcome);
            let next = base.version() + 1;
            match attempts.make(&*self.files, &self.path, next, &work.change, &id).await? {
                Attempt::Made { version, id: made } => {
                    outcome = attempted.remove(&made).unwrap_or(outcome);
                    outcome = WriteOutcome { version, committed: true, attempts: attempts.count(), ..outcome };
                    if made == id && version == next {
                        self.show_own(&base, work, &id, kind.as_ref()).await?;
                    }
                    break;
                }
                Attempt::Taken => debug!(table = self.path, next, "another writer made the next version"),
                Attempt::Failed(failure) => {
                    let failure = TableError::from_files(self.doing("committing"), failure);
                    debug!(
                        table = self.path,
                        error = &failure as &dyn std::error::Error,
                        "a commit did not take place"
                    );
                    if attempts.count() >= MAX_ATTEMPTS {
                        return Err(failure);
                    }
                }
            }
            if attempts.count() >= MAX_ATTEMPTS {
                return Err(TableError::Conflict { path: self.path.clone(), attempts: attempts.count() });
            }
            put = work.new;
            wait(attempts.count()).await;
        }
        Box::pin(self.build_index_behind()).await;
        Ok(outcome)
    }

    /// Brings every record in once.
    async fn append(
        &self,
        base: &Snapshot,
        fresh: Fresh,
        before: Option<NewFile>,
        outcome: &mut WriteOutcome,
    ) -> Result<Work, TableError> {
        let place = self.place();
        let none = fresh.rows.slice(0, 0);
        let new = place.put_rows(base, &[], &fresh.rows, &none, before).await?;
        outcome.rows_written = fresh.rows.num_rows();
        let (added, known) = Vectors::default().files(new.as_ref());
        let change = Change {
            operation: "WRITE",
            metrics: vec![("numOutputRows", fresh.rows.num_rows() as u64)],
            added,
            transactions: fresh.transactions,
            ..Change::default()
        };
        Ok(Work { change, known, new })
    }

    /// Brings the newest record of each key in.
    async fn upsert(
        &self,
        base: &Snapshot,
        kind: &UpsertKind,
        fresh: Fresh,
        before: Option<NewFile>,
        outcome: &mut WriteOutcome,
    ) -> Result<Work, TableError> {
        if let Some((row, column)) = null_key(&fresh.rows, &kind.key) {
            let problem = format!("column {column} is a part of the key and is null in row {row}");
            return Err(TableError::BadSlice { path: self.path.clone(), problem });
        }
        let place = self.place();
        let (plan, transactions) = place.plan(base, &self.index, kind, fresh).await?;
        let tombstones = plan.deleted.tombstones(&kind.key, kind.order_by.as_deref());
        let tombstones = tombstones.map_err(|error| TableError::of_rows(self.doing("preparing rows"), error))?;
        let (held, deleted) = (plan.held.num_rows() as u64, tombstones.num_rows() as u64);
        let (new, vectors) = futures::try_join!(
            place.put_rows(base, &kind.key, &plan.held, &tombstones, before),
            place.put_vectors(&plan.dead, held, deleted, true),
        )?;
        outcome.rows_written = plan.held.num_rows();
        outcome.rows_deleted = tombstones.num_rows();
        outcome.rows_superseded = outcome.rows_new.saturating_sub(outcome.rows_written + outcome.rows_deleted);
        let (added, known) = vectors.files(new.as_ref());
        let updated = plan.updated as u64;
        let change = Change {
            operation: UPSERT,
            metrics: vec![
                ("numSourceRows", outcome.rows_new as u64),
                ("numTargetRowsInserted", (held + deleted).saturating_sub(updated)),
                ("numTargetRowsUpdated", updated),
                ("numTargetRowsDeleted", deleted),
            ],
            added,
            removed: vectors.removed,
            transactions,
            ..Change::default()
        };
        Ok(Work { change, known, new })
    }

    /// The key and order to write by; none: every record is kept.
    fn kind_to_write(&self, base: &Snapshot) -> Result<Option<UpsertKind>, TableError> {
        check_writable(&self.path, base.protocol(), base.metadata())?;
        match base.kind() {
            None | Some(TableKind::Replaced) => Err(TableError::NotOurs { path: self.path.clone() }),
            Some(TableKind::Append) => Ok(None),
            Some(kind) => {
                if !takes_deletion_vectors(base.protocol(), base.metadata()) {
                    return Err(TableError::Unsupported {
                        context: self.doing("writing"),
                        source: format!("{DELETION_VECTORS} was turned off: turn it on again").into(),
                    });
                }
                Ok(kind.upsert())
            }
        }
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place { path: &self.path, files: &self.files }
    }

    fn doing(&self, what: &str) -> String {
        format!("{what}: table {}", self.path)
    }

    /// Brings the key index up to the newest version: reads the keys of files that are not in it, and moves what doesn't fit in
    /// memory to its directory. What it can't take in is searched for in the files.
    ///
    /// # Errors
    /// The newest version or its files can't be read.
    pub async fn build_index(&self) -> Result<(), TableError> {
        match Source::new(self.newest().await?, self.files.clone()) {
            Some(source) => self.index.build(&source).await,
            None => Ok(()),
        }
    }

    /// Does the same beside what comes next, or before it, as it is set, if the index lacks something.
    async fn build_index_behind(&self) {
        let snapshot = self.snapshot.lock().await.clone();
        if !self.index.lacks(&snapshot) {
            return;
        }
        let Some(source) = Source::new(snapshot, self.files.clone()) else { return };
        let (index, path) = (self.index.clone(), self.path.clone());
        let build = async move {
            if let Err(error) = index.build_unless_building(&source).await {
                warn!(table = path, error = &error as &dyn std::error::Error, "the key index was not built");
            }
        };
        if self.index.waits_for_build() {
            build.await;
        } else {
            tokio::spawn(build);
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
        let version = snapshot.version();
        Ok((self.provider_of(snapshot), version))
    }

    /// The table as it was in a version.
    ///
    /// # Errors
    /// [`TableError::NoVersion`]: there is no such version, or it is no longer kept.
    pub async fn provider_at(&self, version: u64) -> Result<Arc<dyn TableProvider>, TableError> {
        Ok(self.provider_of(self.as_of(AsOf::Version(version)).await?))
    }

    /// The table as it was at a time, and which version that is.
    ///
    /// # Errors
    /// [`TableError::NoVersion`]: the version of that time is no longer kept.
    pub async fn provider_as_of(&self, time: Timestamp) -> Result<(Arc<dyn TableProvider>, u64), TableError> {
        let snapshot = self.as_of(AsOf::Time(time)).await?;
        let version = snapshot.version();
        Ok((self.provider_of(snapshot), version))
    }

    async fn as_of(&self, as_of: AsOf) -> Result<Snapshot, TableError> {
        let opened = Snapshot::open(&*self.files, &self.path, as_of).await?;
        opened.ok_or_else(|| TableError::Corrupt { context: self.doing("opening"), source: "its log is gone".into() })
    }

    pub(crate) fn provider_of(&self, snapshot: Snapshot) -> Arc<dyn TableProvider> {
        Arc::new(Provider::new(&self.path, snapshot, self.files.clone(), self.reading.clone()))
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
        let alive = snapshot.files().map(|file| Some(file.rows()?.saturating_sub(file.dead_count())));
        Ok(TableDetails {
            version: snapshot.version(),
            rows: alive.sum(),
            files: snapshot.file_count(),
            bytes: snapshot.files().map(|file| file.size()).sum(),
            last_commit_at: snapshot.made_at(),
            schema: snapshot.schema(),
            kind: snapshot.kind().cloned(),
        })
    }

    /// Refuses a spec that the table contradicts, after adding the columns that it only lacks.
    pub(crate) async fn fulfil(&self, spec: &TableSpec) -> Result<(), TableError> {
        let mut attempts = 0;
        loop {
            let base = self.newest().await?;
            let there = base.metadata().parse_schema();
            let there = there.map_err(|error| commit_failed(&self.path, error.into()))?;
            let missing = spec.missing_columns(&self.path, &there, base.kind())?;
            if missing.is_empty() {
                return Ok(());
            }
            attempts += 1;
            let _turn = self.turn.lock().await;
            let mut table = DeltaTable::new(self.log_store.clone());
            let loaded = table.load_version(base.version()).await;
            loaded.map_err(|error| commit_failed(&self.path, error))?;
            let added = table.add_columns().with_fields(missing).with_commit_properties(strict_commit()).await;
            // Whether it took place or not, the next round sees it in the newest version.
            if let Err(failure) = added {
                wait_for_next_attempt(&self.path, attempts, failure).await?;
            }
        }
    }

    /// The newest version, which becomes the one that is held.
    pub(crate) async fn newest(&self) -> Result<Snapshot, TableError> {
        let mut held = self.snapshot.lock().await;
        *held = Box::pin(held.newest(&*self.files, &self.path)).await?;
        Ok(held.clone())
    }

    /// Shows the version that a commit of ours has made on top of another one, and takes its rows into the index.
    async fn show_own(
        &self,
        base: &Snapshot,
        work: Work,
        id: &str,
        kind: Option<&UpsertKind>,
    ) -> Result<(), TableError> {
        let made = base.after(&self.path, as_commit(work.change, id), work.known)?;
        if let (Some(kind), Some(new)) = (kind, &work.new) {
            new.index(&self.index, &made, kind);
        }
        self.show(made).await;
        Ok(())
    }

    /// Shows a version to readers.
    pub(crate) async fn show(&self, made: Snapshot) {
        let mut held = self.snapshot.lock().await;
        if made.version() > held.version() {
            *held = made;
        }
    }
}

/// What an attempt is about to commit.
struct Work {
    change: Change,
    /// Files of it whose dead rows are known.
    known: Vec<DataFile>,
    /// The file that its rows were put into.
    new: Option<NewFile>,
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
        let failure = commit_failed(path, failure);
        if attempts >= MAX_ATTEMPTS || !failure.is_temporary() {
            return Err(failure);
        }
    }
    wait(attempts).await;
    Ok(())
}

/// Waits for a random time, longer with each attempt.
pub(crate) async fn wait(attempts: u32) {
    let longest = FIRST_WAIT.saturating_mul(1 << attempts.min(16)).min(LONGEST_WAIT);
    tokio::time::sleep(longest.mul_f64(rand::random())).await;
}
