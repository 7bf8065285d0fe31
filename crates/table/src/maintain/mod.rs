//! What keeps a table fast and small, on a schedule and never in the path of a write: compaction, checkpoints, and removing what no
//! version needs any more.

mod choice;
mod compact;
mod vacuum;

use std::time::Duration;

use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use tracing::info;

pub use self::compact::Compacted;
pub use self::vacuum::Vacuumed;
pub(crate) use self::vacuum::{remove, vacuum};
use crate::file::now_in_milliseconds;
use crate::log::last_checkpoint;
use crate::replace::REPLACED_FILES_STAY;
use crate::{Table, TableError, TableKind};

/// How a table is maintained.
#[derive(Debug, Clone, Copy)]
pub struct Maintenance {
    /// How long a version stays readable after a newer one has come.
    pub retention: Duration,
    /// How long a deletion keeps an older late record out.
    pub tombstone_retention: Duration,
    /// Files of about one size, whose keys overlap, at which they are put together.
    pub files: usize,
    /// Dead rows of a hundred in a file, from which on it is written again.
    pub dead_percent: u64,
    /// Versions since the last checkpoint, from which on there is another one.
    pub checkpoint_after: u64,
}

impl Default for Maintenance {
    fn default() -> Self {
        let week = Duration::from_hours(7 * 24);
        Self { retention: week, tombstone_retention: week, files: 16, dead_percent: 15, checkpoint_after: 50 }
    }
}

/// What maintaining a table did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Files that were put together.
    pub compacted: Compacted,
    /// The version of a checkpoint that was written.
    pub checkpoint: Option<u64>,
    /// Entries of the log that were removed.
    pub log_entries_removed: usize,
    /// Files that were removed.
    pub vacuumed: Vacuumed,
}

impl Table {
    /// Puts files together, writes a checkpoint, and removes log entries and files that no version within the retention needs.
    /// Writers and readers go on meanwhile.
    ///
    /// # Errors
    /// The table's files or log can't be read or written. What was done until then stays done.
    pub async fn maintain(&self, maintenance: &Maintenance) -> Result<MaintenanceReport, TableError> {
        let optimized = self.optimize(maintenance).await?;
        let snapshot = self.newest().await?;
        let log_entries_removed = self.clean_log(snapshot.version(), maintenance.retention).await?;
        // Content that is replaced as a whole would pile up.
        let retention = match snapshot.kind() {
            Some(TableKind::Replaced) => maintenance.retention.min(REPLACED_FILES_STAY),
            _ => maintenance.retention,
        };
        let vacuumed = vacuum(&self.place(), &snapshot, retention).await?;
        if log_entries_removed + vacuumed.files > 0 {
            info!(table = %self.path, log_entries_removed, files_removed = vacuumed.files, "cleaned a table up");
        }
        Ok(MaintenanceReport { log_entries_removed, vacuumed, ..optimized })
    }

    /// Puts files together and writes a checkpoint, if there is need for it. Cheap where there is none: it asks for the next version.
    ///
    /// # Errors
    /// As [`Self::maintain`].
    pub async fn optimize(&self, maintenance: &Maintenance) -> Result<MaintenanceReport, TableError> {
        let compacted = self.compact(maintenance).await?;
        let checkpoint = self.checkpoint(maintenance.checkpoint_after).await?;
        if compacted != Compacted::default() || checkpoint.is_some() {
            let Compacted { files_removed, files_added, rows, .. } = compacted;
            info!(table = %self.path, files_removed, files_added, rows, checkpoint, "optimized a table");
        }
        Ok(MaintenanceReport { compacted, checkpoint, ..MaintenanceReport::default() })
    }

    async fn checkpoint(&self, after: u64) -> Result<Option<u64>, TableError> {
        let failed = |error| TableError::from_delta(format!("writing a checkpoint of table {}", self.path), error);
        let version = self.newest().await?.version();
        let last = last_checkpoint(&*self.files, &self.path).await?;
        if version < last.unwrap_or(0) + after {
            return Ok(None);
        }
        let mut table = DeltaTable::new(self.log_store.clone());
        table.load_version(version).await.map_err(failed)?;
        create_checkpoint(&table, None).await.map_err(failed)?;
        Ok(Some(version))
    }

    /// Removes entries of the log that are older than the retention and that a checkpoint stands for.
    async fn clean_log(&self, version: u64, retention: Duration) -> Result<usize, TableError> {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let cutoff = now_in_milliseconds().saturating_sub(retention);
        let removed = cleanup_expired_logs_for(version, &*self.log_store, cutoff, None).await;
        removed.map_err(|error| TableError::from_delta(format!("cleaning up the log of table {}", self.path), error))
    }
}
