//! What a table's log says: the files of a version, its columns, and how far each writer is.
//!
//! - `segment`: which entries and which checkpoint a version is made of.
//! - `checkpoint`: what a checkpoint says, in each of the protocol's forms.
//!
//! Every entry is read once, into a [`Commit`]; a checkpoint is read as if it were the commit that made all that it holds.

mod checkpoint;
mod segment;

use std::collections::BTreeMap;

use deltalake_core::kernel::{Add, Metadata, Protocol, Remove, Transaction};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Deserialize;

pub(crate) use self::segment::{AsOf, Segment, last_checkpoint};
use crate::TableError;

/// The folder of the log in a table.
pub(crate) const LOG_FOLDER: &str = "_delta_log";
/// The field of a commit's `commitInfo` that holds the identity of the attempt that made it.
pub(crate) const COMMIT_ID: &str = "freshetCommit";
/// Files of a log read at a time when a table is opened.
const READS_AT_A_TIME: usize = 16;
/// Digits of a version in a log's file names, by the Delta protocol.
const VERSION_DIGITS: usize = 20;

/// The name of the application whose `txn` version is the offset after the last one of a partition that is in.
pub(crate) fn application(topic: &str, partition: u32) -> String {
    format!("freshet:{topic}:{partition}")
}

/// The newest `txn` version of every application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Transactions(BTreeMap<String, i64>);

impl Transactions {
    /// The offset after the last one of a partition that is in; 0 where none is.
    pub(crate) fn next_offset(&self, topic: &str, partition: u32) -> u64 {
        self.0.get(&application(topic, partition)).map_or(0, |version| u64::try_from(*version).unwrap_or(0))
    }

    /// The same for every partition of a topic that has rows in.
    pub(crate) fn next_offsets(&self, topic: &str) -> BTreeMap<u32, u64> {
        let prefix = format!("freshet:{topic}:");
        self.0
            .range(prefix.clone()..)
            .take_while(|(application, _)| application.starts_with(&prefix))
            .filter_map(|(application, version)| {
                let partition = application.strip_prefix(&prefix)?.parse().ok()?;
                Some((partition, u64::try_from(*version).ok()?))
            })
            .collect()
    }

    /// Takes in what a commit says.
    pub(crate) fn apply(&mut self, transactions: impl IntoIterator<Item = Transaction>) {
        for Transaction { app_id, version, .. } in transactions {
            self.0.insert(app_id, version);
        }
    }
}

/// What one commit says.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    /// The attempt that made it, if it was one of ours.
    pub(crate) id: Option<String>,
    /// What it did, as Delta names it.
    pub(crate) operation: Option<String>,
    /// When it was made, in milliseconds.
    pub(crate) made_at: Option<i64>,
    /// Its `txn` actions.
    pub(crate) transactions: Vec<Transaction>,
    /// Files that the version has and the one before had not, or had with another deletion vector.
    pub(crate) added: Vec<Add>,
    /// Files that the version before had.
    pub(crate) removed: Vec<Remove>,
    /// The table's columns and properties, where they changed.
    pub(crate) metadata: Option<Metadata>,
    /// What it takes to read and write the table, where that changed.
    pub(crate) protocol: Option<Protocol>,
    /// Files that a checkpoint goes on in. A commit has none.
    pub(crate) sidecars: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogLine {
    txn: Option<Transaction>,
    commit_info: Option<CommitInfo>,
    add: Option<Add>,
    remove: Option<Remove>,
    meta_data: Option<Metadata>,
    protocol: Option<Protocol>,
    sidecar: Option<Sidecar>,
}

#[derive(Deserialize)]
struct Sidecar {
    path: String,
}

#[derive(Deserialize)]
struct CommitInfo {
    #[serde(rename = "freshetCommit")]
    id: Option<String>,
    /// Anything: what other engines say here is theirs.
    operation: Option<serde_json::Value>,
    timestamp: Option<i64>,
}

/// Where the entry of a version lies in a table.
pub(crate) fn entry_path(version: u64) -> Path {
    Path::from_iter([LOG_FOLDER, &format!("{version:0VERSION_DIGITS$}.json")])
}

impl Commit {
    /// Reads the commit that made a version; none: there is no such version.
    pub(crate) async fn read(files: &dyn ObjectStore, path: &str, version: u64) -> Result<Option<Self>, TableError> {
        let context = || format!("reading version {version} of table {path}");
        let entry = entry_path(version);
        let read = async {
            let answer = files.get(&entry).await?;
            let size = answer.meta.size;
            Ok::<_, object_store::Error>((answer.bytes().await?, size))
        };
        let bytes = match read.await {
            Ok((bytes, size)) if bytes.len() as u64 == size => bytes,
            // Cut off at the end of a line it would be an entry that lacks actions.
            Ok((bytes, size)) => {
                let source = format!("{} of {size} bytes came", bytes.len()).into();
                return Err(TableError::Unavailable { context: context(), source });
            }
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(TableError::from_files(context(), source)),
        };
        let parsed = Self::parse(&bytes);
        parsed.map(Some).map_err(|source| TableError::Corrupt { context: context(), source: source.into() })
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut commit = Self::default();
        commit.take(bytes)?;
        Ok(commit)
    }

    /// Takes in more actions, each of them a JSON object.
    fn take(&mut self, actions: &[u8]) -> Result<(), serde_json::Error> {
        for line in serde_json::Deserializer::from_slice(actions).into_iter::<LogLine>() {
            let LogLine { txn, commit_info, add, remove, meta_data, protocol, sidecar } = line?;
            self.transactions.extend(txn);
            self.added.extend(add);
            self.removed.extend(remove);
            self.metadata = meta_data.or(self.metadata.take());
            self.protocol = protocol.or(self.protocol.take());
            self.sidecars.extend(sidecar.map(|sidecar| sidecar.path));
            if let Some(CommitInfo { id, operation, timestamp }) = commit_info {
                self.id = id;
                self.operation = operation.and_then(|operation| operation.as_str().map(str::to_owned));
                self.made_at = timestamp;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_the_topic_alone() {
        let mut transactions = Transactions::default();
        let said = [("orders", 0, 7), ("orders", 12, 1), ("orders:eu", 3, 9), ("order", 1, 4)];
        transactions.apply(said.map(|(topic, partition, next)| Transaction::new(application(topic, partition), next)));
        transactions.apply([Transaction::new("spark-job", 5), Transaction::new(application("orders", 0), 8)]);
        assert_eq!(transactions.next_offsets("orders"), BTreeMap::from([(0, 8), (12, 1)]));
        assert_eq!(transactions.next_offset("orders", 12), 1);
        assert_eq!(transactions.next_offset("orders", 1), 0);
    }

    #[test]
    fn a_commit_says_who_made_it_and_what_it_changes() {
        let commit = Commit::parse(
            br#"{"commitInfo":{"operation":"MERGE","timestamp":7,"freshetCommit":"a1"}}
{"add":{"path":"a%20b.parquet","partitionValues":{},"size":3,"modificationTime":1,"dataChange":true,"stats":"{}"}}
{"remove":{"path":"x.parquet","dataChange":true}}
{"checkpointMetadata":{"version":3}}
{"txn":{"appId":"freshet:orders:3","version":42}}"#,
        );
        let commit = commit.unwrap();
        assert_eq!(commit.id.as_deref(), Some("a1"));
        assert_eq!(commit.made_at, Some(7));
        assert_eq!(commit.added[0].path, "a b.parquet");
        assert_eq!(commit.removed[0].path, "x.parquet");
        assert_eq!(commit.transactions, [Transaction::new("freshet:orders:3", 42)]);
    }
}
