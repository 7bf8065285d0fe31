//! What a checkpoint says: the whole state of a table at a version.
//!
//! The protocol has four forms: one Parquet file, several (`V.checkpoint.I.N.parquet`), and with the feature `v2Checkpoint`
//! one of Parquet or JSON under a name of its own, which may go on in sidecars.

use std::collections::BTreeMap;

use arrow_json::LineDelimitedWriter;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Commit, LOG_FOLDER, READS_AT_A_TIME, VERSION_DIGITS};
use crate::TableError;

/// The folder of sidecars in a log.
const SIDECARS: &str = "_sidecars";
/// What is read of a checkpoint in Parquet: neither its removed files, which no version has any more, nor statistics and partition values
/// in their second form.
const COLUMNS: [&str; 14] = [
    "txn",
    "metaData",
    "protocol",
    "sidecar",
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.modificationTime",
    "add.dataChange",
    "add.stats",
    "add.tags",
    "add.deletionVector",
    "add.baseRowId",
    "add.defaultRowCommitVersion",
];

/// A checkpoint, by its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) version: u64,
    parts: Vec<Path>,
}

/// What the name of a checkpoint's file says. Of several of one version, the one with the greatest is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CheckpointPart {
    version: u64,
    /// Of how many files it is one.
    parts: usize,
    /// The name of its own that a checkpoint of the third or fourth form has.
    name: String,
}

impl CheckpointPart {
    /// None: the file is no part of a checkpoint.
    pub(super) fn parse(file: &str) -> Option<Self> {
        let (version, rest) = file.split_once(".checkpoint.")?;
        let version = (version.len() == VERSION_DIGITS).then(|| version.parse().ok())??;
        if rest == "parquet" {
            return Some(Self { version, parts: 1, name: String::new() });
        }
        let name = rest.strip_suffix(".parquet").or_else(|| rest.strip_suffix(".json"))?;
        match name.split_once('.') {
            None => Some(Self { version, parts: 1, name: name.to_owned() }),
            Some((part, parts)) => {
                let (_, parts): (u64, usize) = (part.parse().ok()?, parts.parse().ok()?);
                Some(Self { version, parts, name: String::new() })
            }
        }
    }
}

impl Checkpoint {
    /// The complete ones of a log, by version.
    pub(super) fn complete(log: impl IntoIterator<Item = Path>) -> Vec<Self> {
        let mut found = BTreeMap::<CheckpointPart, Vec<Path>>::new();
        for file in log {
            if let Some(part) = file.filename().and_then(CheckpointPart::parse) {
                found.entry(part).or_default().push(file);
            }
        }
        let is_complete = |(part, files): &(CheckpointPart, Vec<Path>)| files.len() == part.parts;
        found.into_iter().filter(is_complete).map(|(part, parts)| Self { version: part.version, parts }).collect()
    }

    /// Reads it, as if one commit had made all that it holds.
    pub(super) async fn read(&self, files: &dyn ObjectStore, table: &str) -> Result<Commit, TableError> {
        let mut all = read_files(files, table, self.parts.clone()).await?;
        let sidecars = std::mem::take(&mut all.sidecars);
        let sidecars = sidecars.iter().map(|name| Path::from_iter([LOG_FOLDER, SIDECARS, name])).collect();
        let Commit { added, .. } = read_files(files, table, sidecars).await?;
        all.added.extend(added);
        Ok(all)
    }
}

async fn read_files(files: &dyn ObjectStore, table: &str, names: Vec<Path>) -> Result<Commit, TableError> {
    let mut read = stream::iter(names)
        .map(|name| async move {
            let context = || format!("reading {name} of table {table}");
            let bytes = async { files.get(&name).await?.bytes().await }.await;
            let bytes = bytes.map_err(|error| TableError::of_named_file(context(), error))?;
            Ok::<_, TableError>((context(), name.extension() == Some("json"), bytes))
        })
        .buffered(READS_AT_A_TIME);
    let mut all = Commit::default();
    while let Some((context, is_json, bytes)) = read.try_next().await? {
        let taken = if is_json { all.take(&bytes).map_err(Into::into) } else { take_parquet(&mut all, bytes) };
        taken.map_err(|source| TableError::Corrupt { context, source })?;
    }
    Ok(all)
}

/// Takes in the actions of a Parquet file. By way of JSON, so that both forms of an action are understood by one reading of it.
fn take_parquet(all: &mut Commit, file: Bytes) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let mut lines = Vec::new();
    for batch in builder.with_projection(mask).build()? {
        lines.clear();
        let mut writer = LineDelimitedWriter::new(&mut lines);
        writer.write(&batch?)?;
        writer.finish()?;
        all.take(&lines)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_counts_once_all_of_its_files_are_there() {
        let log = [
            "00000000000000000099.checkpoint.parquet",
            "00000000000000000099.json",
            "00000000000000000199.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000249.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000249.checkpoint.0000000002.0000000002.parquet",
            "00000000000000000299.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",
            "_last_checkpoint",
        ];
        let complete = Checkpoint::complete(log.map(|name| Path::from(format!("_delta_log/{name}"))));
        let complete: Vec<(u64, usize)> = complete.iter().map(|found| (found.version, found.parts.len())).collect();
        assert_eq!(complete, [(99, 1), (249, 2), (299, 1)]);
    }
}
