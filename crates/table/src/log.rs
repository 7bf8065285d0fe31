//! What a table's log says of those who wrote it: the `txn` actions, and our own commits.
//!
//! The kernel answers for one application at a time and reads the log from the last checkpoint for each answer. A write
//! asks for every partition of a topic, so the actions are read once, beside the snapshot, and kept up with it.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use deltalake_core::kernel::{Add, Metadata, Protocol, Remove, Transaction};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

use crate::TableError;

/// The folder of the log in a table.
pub(crate) const LOG_FOLDER: &str = "_delta_log";
/// The field of a commit's `commitInfo` that holds the identity of the attempt that made it.
pub(crate) const COMMIT_ID: &str = "freshetCommit";
/// Log entries read at a time when a table is opened.
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

    /// Reads them all as of a version: from the last checkpoint, then commit by commit.
    pub(crate) async fn read(files: &dyn ObjectStore, path: &str, version: u64) -> Result<Self, TableError> {
        let unreachable = |source| TableError::from_files(format!("listing the log of table {path}"), source);
        let names: Vec<Path> = files
            .list(Some(&Path::from(LOG_FOLDER)))
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(unreachable)?;
        let checkpoint = Checkpoint::newest(&names, version);
        let mut transactions = Self::default();
        for part in checkpoint.iter().flat_map(|checkpoint| &checkpoint.parts) {
            transactions.read_checkpoint(files, path, part).await?;
        }
        let first = checkpoint.map_or(0, |checkpoint| checkpoint.version + 1);
        let commits: Vec<Commit> = stream::iter(first..=version)
            .map(|version| async move {
                let commit = Commit::read(files, path, version).await?;
                commit.ok_or_else(|| TableError::Corrupt {
                    context: format!("opening table {path}"),
                    source: format!("version {version} is missing from its log").into(),
                })
            })
            .buffered(READS_AT_A_TIME)
            .try_collect()
            .await?;
        for commit in commits {
            transactions.apply(commit.transactions);
        }
        Ok(transactions)
    }

    async fn read_checkpoint(&mut self, files: &dyn ObjectStore, path: &str, part: &Path) -> Result<(), TableError> {
        let context = || format!("reading {part} of table {path}");
        let bytes = async { files.get(part).await?.bytes().await };
        let bytes = bytes.await.map_err(|source| TableError::from_files(context(), source))?;
        let found = checkpointed(bytes).map_err(|source| TableError::Corrupt { context: context(), source })?;
        self.apply(found);
        Ok(())
    }
}

/// The `txn` actions in a part of a checkpoint.
fn checkpointed(part: Bytes) -> Result<Vec<Transaction>, Box<dyn std::error::Error + Send + Sync>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(part)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["txn.appId", "txn.version"]);
    let mut found = Vec::new();
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        let Some(actions) = batch.column_by_name("txn").and_then(|column| column.as_struct_opt()) else { continue };
        let applications = actions.column_by_name("appId").and_then(|column| column.as_string_opt::<i32>());
        let versions = actions.column_by_name("version").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(applications), Some(versions)) = (applications, versions) else {
            return Err("its txn column is not made of appId and version".into());
        };
        let rows = applications.iter().zip(versions).enumerate();
        found.extend(
            rows.filter(|(row, _)| actions.is_valid(*row))
                .filter_map(|(_, (application, version))| Some(Transaction::new(application?, version?))),
        );
    }
    Ok(found)
}

/// A checkpoint: the whole state of the table at a version.
#[derive(Debug, PartialEq, Eq)]
struct Checkpoint {
    version: u64,
    parts: Vec<Path>,
}

impl Checkpoint {
    /// The newest complete one that is not after `version`.
    fn newest(names: &[Path], version: u64) -> Option<Self> {
        let mut checkpoints: BTreeMap<(u64, usize), Vec<Path>> = BTreeMap::new();
        for name in names {
            if let Some((of_version, parts)) = name.filename().and_then(checkpoint_part)
                && of_version <= version
            {
                checkpoints.entry((of_version, parts)).or_default().push(name.clone());
            }
        }
        checkpoints
            .into_iter()
            .rev()
            .find(|((_, parts), found)| found.len() == *parts)
            .map(|((version, _), parts)| Self { version, parts })
    }
}

/// The version of a checkpoint's file and how many files the checkpoint has: `V.checkpoint.parquet` or
/// `V.checkpoint.I.N.parquet`. (The third form comes with a table feature that we don't enable.)
fn checkpoint_part(name: &str) -> Option<(u64, usize)> {
    let (version, rest) = name.split_once(".checkpoint.")?;
    let version = (version.len() == VERSION_DIGITS).then(|| version.parse().ok())??;
    if rest == "parquet" {
        return Some((version, 1));
    }
    let (part, parts) = rest.strip_suffix(".parquet")?.split_once('.')?;
    let (_, parts): (u64, usize) = (part.parse().ok()?, parts.parse().ok()?);
    Some((version, parts))
}

/// What one commit says.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    /// The attempt that made it, if it was one of ours.
    pub(crate) id: Option<String>,
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
}

#[derive(Deserialize)]
struct CommitInfo {
    #[serde(rename = "freshetCommit")]
    id: Option<String>,
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
        for line in serde_json::Deserializer::from_slice(bytes).into_iter::<LogLine>() {
            let LogLine { txn, commit_info, add, remove, meta_data, protocol } = line?;
            commit.transactions.extend(txn);
            commit.added.extend(add);
            commit.removed.extend(remove);
            commit.metadata = meta_data.or(commit.metadata);
            commit.protocol = protocol.or(commit.protocol);
            if let Some(CommitInfo { id, timestamp }) = commit_info {
                commit.id = id;
                commit.made_at = timestamp;
            }
        }
        Ok(commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Path> {
        names.iter().map(|name| Path::from(format!("_delta_log/{name}"))).collect()
    }

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
    fn the_newest_complete_checkpoint_is_taken() {
        let log = names(&[
            "00000000000000000099.checkpoint.parquet",
            "00000000000000000099.json",
            "00000000000000000199.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000299.checkpoint.parquet",
            "_last_checkpoint",
        ]);
        assert_eq!(Checkpoint::newest(&log, 250).map(|checkpoint| checkpoint.version), Some(99));
        assert_eq!(Checkpoint::newest(&log, 299).map(|checkpoint| checkpoint.version), Some(299));
        assert_eq!(Checkpoint::newest(&log, 98), None);
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
