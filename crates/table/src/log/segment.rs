//! Which part of a log a version is made of: a checkpoint, and the entries after it.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::Deserialize;

use super::checkpoint::Checkpoint;
use super::{Commit, LOG_FOLDER, READS_AT_A_TIME, VERSION_DIGITS};
use crate::TableError;

/// Which version of a table is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AsOf {
    Newest,
    Version(u64),
    /// The one that was the newest then.
    Time(Timestamp),
}

impl std::fmt::Display for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newest => f.write_str("the newest version"),
            Self::Version(version) => write!(f, "version {version}"),
            Self::Time(time) => write!(f, "the version of {time}"),
        }
    }
}

/// What a version is read from.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) version: u64,
    checkpoint: Option<Checkpoint>,
}

impl Segment {
    /// Looks for a version; none: there is no log.
    ///
    /// The log is listed from the last checkpoint on, since a table that is written every second has many thousand entries within its
    /// retention; for an older version it is listed whole.
    pub(crate) async fn find(files: &dyn ObjectStore, table: &str, as_of: AsOf) -> Result<Option<Self>, TableError> {
        if !matches!(as_of, AsOf::Time(_))
            && let Some(last) = last_checkpoint(files, table).await?
            && let Some(found) = Listed::read(files, table, Some(last)).await?.segment(as_of)
        {
            return Ok(Some(found));
        }
        let listed = Listed::read(files, table, None).await?;
        if listed.is_empty() {
            return Ok(None);
        }
        let missing = || match (as_of, listed.first_readable(), listed.newest()) {
            (AsOf::Version(_) | AsOf::Time(_), Some(first), Some(newest)) => {
                TableError::NoVersion { path: table.to_owned(), asked: as_of.to_string(), first, newest }
            }
            _ => TableError::Corrupt {
                context: format!("opening table {table}"),
                source: "its log has a gap that no checkpoint stands for".into(),
            },
        };
        listed.segment(as_of).map(Some).ok_or_else(missing)
    }

    /// Reads what it says: the checkpoint as one commit, and the commits after it, in their order.
    pub(crate) async fn read(&self, files: &dyn ObjectStore, table: &str) -> Result<Vec<Commit>, TableError> {
        let first = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.version + 1);
        let entries = stream::iter(first..=self.version)
            .map(|version| async move {
                let commit = Commit::read(files, table, version).await?;
                commit.ok_or_else(|| TableError::Corrupt {
                    context: format!("opening table {table}"),
                    source: format!("version {version} is missing from its log").into(),
                })
            })
            .buffered(READS_AT_A_TIME)
            .try_collect::<Vec<Commit>>();
        let Some(checkpoint) = &self.checkpoint else { return entries.await };
        let (mut commits, entries) = futures::try_join!(
            async {
                let mut whole = checkpoint.read(files, table).await?;
                if checkpoint.version == self.version {
                    // The entry may be gone: then nobody knows when the version was made.
                    whole.made_at = Commit::read(files, table, self.version).await?.and_then(|commit| commit.made_at);
                }
                Ok(vec![whole])
            },
            entries
        )?;
        commits.extend(entries);
        Ok(commits)
    }
}

#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
}

/// The version of the last checkpoint, as a hint.
pub(crate) async fn last_checkpoint(files: &dyn ObjectStore, table: &str) -> Result<Option<u64>, TableError> {
    let name = Path::from_iter([LOG_FOLDER, "_last_checkpoint"]);
    match async { files.get(&name).await?.bytes().await }.await {
        // What can't be read says that there is none.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok().map(|LastCheckpoint { version }| version)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(TableError::from_files(format!("reading {name} of table {table}"), error)),
    }
}

/// What is in a log, or in its newer part.
#[derive(Debug, Default)]
struct Listed {
    /// When the entry of each version was put.
    entries: BTreeMap<u64, Timestamp>,
    /// By version.
    checkpoints: Vec<Checkpoint>,
}

impl Listed {
    async fn read(files: &dyn ObjectStore, table: &str, from: Option<u64>) -> Result<Self, TableError> {
        let folder = Path::from(LOG_FOLDER);
        let objects = match from {
            // Every name of a version's files begins with this, and comes after it.
            Some(version) => {
                files.list_with_offset(Some(&folder), &folder.clone().join(format!("{version:0VERSION_DIGITS$}")))
            }
            None => files.list(Some(&folder)),
        };
        let failed = |source| TableError::from_files(format!("listing the log of table {table}"), source);
        let objects: Vec<ObjectMeta> = objects.try_collect().await.map_err(failed)?;
        let entry = |object: &ObjectMeta| {
            let put_at = Timestamp::from_microsecond(object.last_modified.timestamp_micros());
            Some((version_of_entry(object.location.filename()?)?, put_at.unwrap_or(Timestamp::MAX)))
        };
        let entries = objects.iter().filter_map(entry).collect();
        let checkpoints = Checkpoint::complete(objects.into_iter().map(|object| object.location));
        Ok(Self { entries, checkpoints })
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.checkpoints.is_empty()
    }

    fn newest(&self) -> Option<u64> {
        let checkpoint = self.checkpoints.last().map(|checkpoint| checkpoint.version);
        self.entries.keys().next_back().copied().max(checkpoint)
    }

    /// The least version that can be read.
    fn first_readable(&self) -> Option<u64> {
        match self.entries.keys().next() {
            Some(0) => Some(0),
            _ => self.checkpoints.first().map(|checkpoint| checkpoint.version),
        }
    }

    /// What a version is read from; none: it is not there, or no longer.
    fn segment(&self, as_of: AsOf) -> Option<Segment> {
        let newest = self.newest()?;
        let version = match as_of {
            AsOf::Newest => newest,
            AsOf::Version(version) => version,
            AsOf::Time(time) => {
                // Clocks differ: a version is no older than those before it.
                let made_until = |(version, put_at): (&u64, &Timestamp)| (*put_at <= time).then_some(*version);
                self.entries.iter().filter_map(made_until).next_back()?
            }
        };
        if version > newest {
            return None;
        }
        let checkpoint = self.checkpoints.iter().rfind(|checkpoint| checkpoint.version <= version).cloned();
        let first = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.version + 1);
        let held = self.entries.range(first..).map(|(version, _)| *version).take_while(|held| *held <= version);
        held.eq(first..=version).then_some(Segment { version, checkpoint })
    }
}

/// The version that a log's entry made; none: it is no entry.
fn version_of_entry(name: &str) -> Option<u64> {
    let version = name.strip_suffix(".json")?;
    (version.len() == VERSION_DIGITS).then(|| version.parse().ok())?
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn listed(entries: impl IntoIterator<Item = u64>, checkpoints: &[u64]) -> Listed {
        let at = |version: u64| Timestamp::from_second(i64::try_from(version).unwrap() * 10).unwrap();
        let name = |version: &u64| Path::from(format!("_delta_log/{version:020}.checkpoint.parquet"));
        Listed {
            entries: entries.into_iter().map(|version| (version, at(version))).collect(),
            checkpoints: Checkpoint::complete(checkpoints.iter().map(name)),
        }
    }

    #[rstest]
    #[case::newest(AsOf::Newest, Some((12, Some(10))))]
    #[case::before_the_checkpoint(AsOf::Version(9), Some((9, Some(5))))]
    #[case::of_the_checkpoint(AsOf::Version(10), Some((10, Some(10))))]
    #[case::cleaned_up(AsOf::Version(4), None)]
    #[case::not_yet(AsOf::Version(13), None)]
    #[case::at_a_time(AsOf::Time(Timestamp::from_second(119).unwrap()), Some((11, Some(10))))]
    #[case::later_than_all(AsOf::Time(Timestamp::from_second(9_000).unwrap()), Some((12, Some(10))))]
    #[case::before_all(AsOf::Time(Timestamp::from_second(59).unwrap()), None)]
    fn a_version_is_a_checkpoint_and_what_came_after_it(
        #[case] as_of: AsOf,
        #[case] expected: Option<(u64, Option<u64>)>,
    ) {
        let found = listed(6..=12, &[5, 10]).segment(as_of);
        let found = found.map(|found| (found.version, found.checkpoint.map(|checkpoint| checkpoint.version)));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_log_with_a_gap_is_not_read_over_it() {
        let with_gap = listed([6, 7, 9, 10], &[5]);
        assert!(with_gap.segment(AsOf::Newest).is_none());
        assert!(with_gap.segment(AsOf::Version(7)).is_some());
        assert_eq!(with_gap.first_readable(), Some(5));
        assert_eq!(listed(0..3, &[]).first_readable(), Some(0));
    }
}
