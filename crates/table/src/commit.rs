//! Making the next version: one conditional PUT of an entry of the log.

use std::collections::HashSet;

use bytes::Bytes;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::kernel::{Action, Add, Metadata, Protocol, Remove, Transaction};
use object_store::{ObjectStore, PutMode, PutOptions};
use serde_json::{Map, Value, json};
use tracing::warn;
use uuid::Uuid;

use crate::TableError;
use crate::file::now_in_milliseconds;
use crate::log::{COMMIT_ID, Commit, entry_path};

/// The operation that brings the newest record of keys in.
pub(crate) const UPSERT: &str = "MERGE";

/// What a version changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// The operation, as Delta names it: `MERGE`, `WRITE`, `OPTIMIZE`.
    pub(crate) operation: &'static str,
    /// What of it is worth knowing, in numbers.
    pub(crate) metrics: Vec<(&'static str, u64)>,
    pub(crate) added: Vec<Add>,
    pub(crate) removed: Vec<Remove>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) transactions: Vec<Transaction>,
}

/// What became of an attempt to make a version.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It was made, by this attempt or by an earlier one of the same change.
    Made {
        version: u64,
        /// The attempt that made it.
        id: String,
    },
    /// Another writer made that version.
    Taken,
    /// Nothing was made so far. The answer to the attempt may have been lost, and it may still take place: the change keeps the
    /// identities of all its attempts.
    Failed(object_store::Error),
}

/// The attempts at one change. Each has an identity that its entry carries, by which it is recognized if its answer was lost.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    ids: HashSet<String>,
}

impl Attempts {
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.ids.len()).unwrap_or(u32::MAX)
    }

    /// The identity of a next attempt.
    pub(crate) fn next(&mut self) -> String {
        let id = Uuid::new_v4().to_string();
        self.ids.insert(id.clone());
        id
    }

    /// Tries to make `version`. Whatever goes wrong, the log is read back before anything is said.
    pub(crate) async fn make(
        &self,
        files: &dyn ObjectStore,
        path: &str,
        version: u64,
        change: &Change,
        id: &str,
    ) -> Result<Attempt, TableError> {
        let entry =
            entry(change, id).map_err(|error| TableError::of_rows(format!("committing: table {path}"), error))?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = files.put_opts(&entry_path(version), entry.into(), options).await;
        let Err(failure) = put else { return Ok(Attempt::Made { version, id: id.to_owned() }) };
        // A store repeats a request by itself, and may meet what it made the first time.
        let mut next = version;
        while let Some(commit) = Commit::read(files, path, next).await? {
            if let Some(id) = commit.id.filter(|id| self.ids.contains(id)) {
                warn!(table = path, version = next, error = %failure, "a commit took place although its answer says otherwise");
                return Ok(Attempt::Made { version: next, id });
            }
            next += 1;
        }
        Ok(if next > version { Attempt::Taken } else { Attempt::Failed(failure) })
    }
}

/// The entry of the log, a line an action.
fn entry(change: &Change, id: &str) -> Result<Bytes, serde_json::Error> {
    let metrics: Map<String, Value> =
        change.metrics.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let info = json!({ "commitInfo": {
        "timestamp": now_in_milliseconds(),
        "operation": change.operation,
        "operationParameters": {},
        "operationMetrics": metrics,
        "engineInfo": concat!("freshet/", env!("CARGO_PKG_VERSION")),
        "isBlindAppend": change.removed.is_empty() && change.operation == "WRITE",
        COMMIT_ID: id,
    }});
    let mut lines = serde_json::to_vec(&info)?;
    let Change { added, removed, protocol, metadata, transactions, .. } = change;
    let actions = protocol.iter().cloned().map(Action::Protocol);
    let actions = actions.chain(metadata.iter().cloned().map(Action::Metadata));
    let actions = actions.chain(transactions.iter().cloned().map(Action::Txn));
    let actions = actions.chain(removed.iter().cloned().map(Action::Remove));
    for action in actions.chain(added.iter().cloned().map(Action::Add)) {
        lines.push(b'\n');
        serde_json::to_writer(&mut lines, &action)?;
    }
    Ok(lines.into())
}

/// The change as the commit that it is once it was made.
pub(crate) fn as_commit(change: Change, id: &str) -> Commit {
    Commit {
        id: Some(id.to_owned()),
        operation: Some(change.operation.to_owned()),
        made_at: Some(now_in_milliseconds()),
        transactions: change.transactions,
        added: change.added,
        removed: change.removed,
        metadata: change.metadata,
        protocol: change.protocol,
        sidecars: Vec::new(),
    }
}

/// A commit of the engine underneath that fails unless the next version is the one after the snapshot that it is based on.
///
/// With retries it would rebase by its own rules, and those let an upsert pass a compaction that moved its rows.
/// Cleaning the log up is left to maintenance, since it lists the whole log.
pub(crate) fn strict_commit() -> CommitProperties {
    CommitProperties::default().with_max_retries(0).with_cleanup_expired_logs(Some(false))
}

pub(crate) fn failed(path: &str, error: DeltaTableError) -> TableError {
    TableError::from_delta(format!("committing: table {path}"), error)
}
