//! What has changed in a table since a version: which keys, and the rows that these have now, read from nothing but the files that commits
//! since have added.
//!
//! A commit of ours that changes rows adds one data file, and the key of each row that it changes stands there: as the row that it is from
//! then on, or as the tombstone of one that is gone. So the keys of all rows of these files, dead ones too, are all keys that have changed.
//! Where one of these keys has a row now, it lies in one of these files or, where files were put together since, in what they were put
//! into, which is new as well. The rows of other keys that lie there beside it are left out.
//!
//! That holds for our own commits. Other engines take rows out of files without a word of their keys, and bring files back: what they did is
//! told by nothing but the whole table.
//!
//! - `added`: what the log says that commits have added, and whether they are of those that it holds for.
//! - `keys`: the keys of files, and the set of those that have changed.

mod added;
mod keys;

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::catalog::TableProvider;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use roaring::RoaringTreemap;

use self::added::Added;
use self::keys::{FileKeys, KeySet};
use crate::file::DataFile;
use crate::log::Commit;
use crate::snapshot::Snapshot;
use crate::{Table, TableError, TableKind};

/// Entries of the log read at a time.
const ENTRIES_AT_A_TIME: usize = 16;
/// Files whose keys are read at a time.
const FILES_AT_A_TIME: usize = 8;

/// A table as of one version, whatever is written to it meanwhile.
#[derive(Debug, Clone)]
pub struct VersionedTable {
    table: Arc<Table>,
    snapshot: Snapshot,
}

/// What changed between two versions.
#[derive(Debug)]
pub struct Changes {
    /// Each key that may have another row, or none any more, once, in any order, with the type that its column has in the table.
    pub keys: ArrayRef,
    /// The rows that these keys have in the newer version, and no others.
    pub rows: Arc<dyn TableProvider>,
    /// How many commits lie between the versions.
    pub commits: u64,
    /// How many data files were read for the keys; the rows are in some of these.
    pub files: u64,
}

/// Changes, or why they can't be told.
#[derive(Debug)]
pub enum Since {
    /// These.
    Changes(Changes),
    /// Anything may have changed.
    Untold(Untold),
}

/// Why it can't be told what has changed since a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untold {
    /// No single column says whose row a row is.
    #[error("the table has no key of one column")]
    NoKey,
    /// The version is not one of this table's history, or is one of another table.
    #[error("the table's history is not the one that had the version")]
    OtherHistory,
    /// The log has lost entries.
    #[error("the log no longer has each version since")]
    CleanedUp,
    /// More commits than are gone through.
    #[error("there were more commits since than are gone through")]
    ManyCommits,
    /// A commit is none of those that leave the keys of what they change.
    #[error("a commit since does not say which keys it changed, as those of other engines")]
    Traceless,
    /// The table's columns or properties, or what it takes to read it, are others.
    #[error("the table's columns or properties have changed since")]
    Altered,
    /// A file that a commit added has been removed.
    #[error("a file that was added since has been removed")]
    Vacuumed,
    /// More keys than are held in memory.
    #[error("more keys have changed since than are held in memory")]
    ManyKeys,
}

/// How much is gone through to tell what has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeLimits {
    /// Most commits. Each costs some three requests, several at a time.
    pub commits: u64,
    /// Most keys.
    pub keys: usize,
    /// Most bytes of these.
    pub key_bytes: usize,
}

impl Default for ChangeLimits {
    fn default() -> Self {
        Self { commits: 10_000, keys: 1_000_000, key_bytes: 64 << 20 }
    }
}

/// Why telling what has changed ended early.
enum Stop {
    Untold(Untold),
    Failed(TableError),
}

impl From<Untold> for Stop {
    fn from(untold: Untold) -> Self {
        Self::Untold(untold)
    }
}

impl From<TableError> for Stop {
    fn from(error: TableError) -> Self {
        Self::Failed(error)
    }
}

impl Table {
    /// The newest version.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn newest_version(self: &Arc<Self>) -> Result<VersionedTable, TableError> {
        Ok(VersionedTable { table: Arc::clone(self), snapshot: self.newest().await? })
    }
}

impl VersionedTable {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.snapshot.version()
    }

    /// Its rows with all its columns, for a query.
    #[must_use]
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        self.table.provider_of(self.snapshot.clone())
    }

    /// The column of the key, where the table holds one row for each value of one column.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self.snapshot.kind() {
            Some(TableKind::Upsert { key, .. }) if key.len() == 1 => key.first().map(String::as_str),
            _ => None,
        }
    }

    /// The identity of the commit that made it. None: another engine made it, or the log no longer has its entry.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn made_by(&self) -> Result<Option<String>, TableError> {
        Ok(self.commit(self.number()).await?.and_then(|commit| commit.id))
    }

    /// What has changed since an earlier version, which a commit of the identity `made_by` made.
    ///
    /// # Errors
    /// The log or files can't be read.
    pub async fn changes_since(&self, version: u64, made_by: &str, limits: ChangeLimits) -> Result<Since, TableError> {
        match self.tell(version, made_by, limits).await {
            Ok(changes) => Ok(Since::Changes(changes)),
            Err(Stop::Untold(untold)) => Ok(Since::Untold(untold)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn tell(&self, version: u64, made_by: &str, limits: ChangeLimits) -> Result<Changes, Stop> {
        let key = self.key().ok_or(Untold::NoKey)?;
        let commits = self.number().checked_sub(version).ok_or(Untold::OtherHistory)?;
        if commits > limits.commits {
            return Err(Untold::ManyCommits.into());
        }
        // Where it is the same commit, all that came before it is the same: who made a version made it on top of the one before.
        let made = self.commit(version).await?.ok_or(Untold::CleanedUp)?;
        if made.id.as_deref() != Some(made_by) {
            return Err(Untold::OtherHistory.into());
        }
        let added = self.added_since(version, limits).await?;
        let of_files = FileKeys::new(&self.table, &self.snapshot, key);
        let keys = changed_keys(&of_files, added.changed(), limits).await?;

        let (changed, moved) = self.new_files(&added);
        // All rows of those that were added for the rows that changed are of keys that did.
        let mut files = changed;
        let mut read = added.changed().len();
        // Where no key has changed, none of theirs has.
        let moved = if keys.is_empty() { Vec::new() } else { moved };
        for file in moved {
            let dead = file.dead(&*self.table.files, &self.table.path).await?;
            read += 1;
            files.extend(with_keys(&of_files, &file, &dead, &keys).await?);
        }
        Ok(Changes {
            keys: of_files.array(keys)?,
            rows: self.table.provider_of(self.snapshot.restricted_to(&files)),
            commits,
            files: read as u64,
        })
    }

    /// The files that commits since a version have added.
    async fn added_since(&self, version: u64, limits: ChangeLimits) -> Result<Added, Stop> {
        let mut added = Added::default();
        let entries = (version + 1..=self.number()).map(|version| self.commit(version).boxed());
        let mut entries = stream::iter(entries).buffered(ENTRIES_AT_A_TIME);
        while let Some(commit) = entries.try_next().await? {
            added.take(commit.ok_or(Untold::CleanedUp)?, limits)?;
        }
        Ok(added)
    }

    /// The files of this version that commits have added, as far as they have rows: for keys that changed, and others.
    fn new_files(&self, added: &Added) -> (Vec<Arc<DataFile>>, Vec<Arc<DataFile>>) {
        let has_rows = |file: &&Arc<DataFile>| file.rows() != Some(file.dead_count());
        let new = self.snapshot.files().filter(|file| added.has(file.name())).filter(has_rows).cloned();
        new.partition(|file| added.has_changed(file.name()))
    }

    async fn commit(&self, version: u64) -> Result<Option<Commit>, TableError> {
        Commit::read(&*self.table.files, &self.table.path, version).await
    }
}

/// The keys of all rows of some files, dead ones too.
async fn changed_keys(of_files: &FileKeys, files: &[Arc<DataFile>], limits: ChangeLimits) -> Result<KeySet, Stop> {
    let mut changed = KeySet::new(limits);
    let stretches = stream::iter(files.to_vec()).map(|file| of_files.read(file));
    let mut stretches = stretches.flatten_unordered(FILES_AT_A_TIME);
    while let Some(stretch) = stretches.next().await {
        // It was added in a version that the newest may have nothing of any more.
        let stretch = stretch.map_err(|error| {
            if error.is_of_missing_file() { Stop::Untold(Untold::Vacuumed) } else { Stop::Failed(error) }
        })?;
        for row in 0..stretch.keys.len() {
            changed.insert(stretch.keys.get(row).ok_or(Untold::Traceless)?)?;
        }
    }
    Ok(changed)
}

/// A file with those of its live rows alone that have one of some keys. None: none has.
async fn with_keys(
    of_files: &FileKeys,
    file: &Arc<DataFile>,
    dead: &RoaringTreemap,
    keys: &KeySet,
) -> Result<Option<Arc<DataFile>>, TableError> {
    let mut left_out = dead.clone();
    let mut rows = 0;
    let mut stretches = of_files.read(Arc::clone(file));
    while let Some(stretch) = stretches.try_next().await? {
        rows += stretch.positions.len() as u64;
        for (row, position) in stretch.positions.iter().enumerate() {
            if !stretch.keys.get(row).is_some_and(|key| keys.contains(key)) {
                left_out.insert(*position);
            }
        }
    }
    Ok((left_out.len() < rows).then(|| Arc::new(file.without(left_out))))
}
