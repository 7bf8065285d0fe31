//! A table as of one version, kept up with the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::Transaction;
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::table::state::DeltaTableState;

use crate::log::{Commit, Transactions};
use crate::{TableError, TableKind};

/// After so many versions a snapshot is read anew, from the checkpoint that has been written since: one that is only
/// moved on slows down (28 to 132 ms an upsert over 1,000 commits).
const VERSIONS_UNTIL_REOPENED: u64 = 100;
/// A snapshot as old as this is read anew: the log entries that would lead on from it could have been cleaned up.
const AGE_UNTIL_REOPENED: Duration = Duration::from_mins(10);

/// A table as of one version. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Snapshot {
    table: DeltaTable,
    state: DeltaTableState,
    transactions: Arc<Transactions>,
    opened_version: u64,
    opened_at: Instant,
}

impl Snapshot {
    /// Reads the newest version.
    pub(crate) async fn open(log_store: LogStoreRef, path: &str) -> Result<Self, TableError> {
        let context = || format!("opening table {path}");
        let mut table = DeltaTable::new(log_store);
        table.load().await.map_err(|error| TableError::from_delta(context(), error))?;
        let state = table.snapshot().map_err(|error| TableError::from_delta(context(), error))?.clone();
        let opened_version = state.version();
        let transactions = Transactions::read(&table.object_store(), path, opened_version).await?;
        Ok(Self { table, state, transactions: Arc::new(transactions), opened_version, opened_at: Instant::now() })
    }

    pub(crate) fn version(&self) -> u64 {
        self.state.version()
    }

    pub(crate) fn table(&self) -> &DeltaTable {
        &self.table
    }

    pub(crate) fn state(&self) -> &DeltaTableState {
        &self.state
    }

    pub(crate) fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// The table's columns, as its rows are read and written.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.state.snapshot().arrow_schema()
    }

    /// What the table is kept as; none: not ours.
    pub(crate) fn kind(&self) -> Option<TableKind> {
        TableKind::from_properties(self.state.metadata().configuration())
    }

    /// The same table at the version that a commit of ours has made on top of this one.
    pub(crate) fn after_own_commit(&self, state: DeltaTableState, said: Vec<Transaction>) -> Self {
        let mut transactions = Transactions::clone(&self.transactions);
        transactions.apply(said);
        let mut table = self.table.clone();
        table.state = Some(state.clone());
        Self { table, state, transactions: Arc::new(transactions), ..*self }
    }

    /// The newest version; none: this one is.
    pub(crate) async fn newest(&self, path: &str) -> Result<Option<Self>, TableError> {
        let files = self.table.object_store();
        let mut transactions = Transactions::clone(&self.transactions);
        let mut version = self.version();
        while let Some(commit) = Commit::read(&files, path, version + 1).await? {
            transactions.apply(commit.transactions);
            version += 1;
        }
        let worn =
            version - self.opened_version >= VERSIONS_UNTIL_REOPENED || self.opened_at.elapsed() >= AGE_UNTIL_REOPENED;
        if worn {
            return Ok(Some(Self::open(self.table.log_store(), path).await?));
        }
        if version == self.version() {
            return Ok(None);
        }
        let mut table = self.table.clone();
        let context = || format!("reading version {version} of table {path}");
        table.update_incremental(Some(version)).await.map_err(|error| TableError::from_delta(context(), error))?;
        let state = table.snapshot().map_err(|error| TableError::from_delta(context(), error))?.clone();
        Ok(Some(Self { table, state, transactions: Arc::new(transactions), ..*self }))
    }
}
