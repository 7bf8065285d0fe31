//! How far the tables have followed a partition of the queue: kept in the store by the writer, shown by admin.

use std::collections::BTreeMap;

use bytes::Bytes;
use freshet_store::{Condition, Key, Store, StoreError, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Queue, QueueError};

/// Why a partition's progress can't be known or moved.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// The store can't be read or written.
    #[error("the progress of partition {partition} can't be kept")]
    Store {
        /// The partition.
        partition: u32,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// What is stored is not a progress.
    #[error("the progress of partition {partition} can't be understood")]
    Format {
        /// The partition.
        partition: u32,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The queue can't say where the partition begins.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl ProgressError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.is_temporary(),
            Self::Format { .. } => false,
            Self::Queue(source) => source.is_temporary(),
        }
    }
}

/// One table that follows, or has followed, a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinedTable {
    /// Records received before this are not for it; none: all are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub start_at: Option<Timestamp>,
    /// Fields of its records that no column names, so far.
    pub ignored_fields: u64,
    /// Whether it has stopped following: it is inactive, or could not be written. It catches up before it follows again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub left: bool,
}

/// How far the tables have followed a partition. One item in the store holds all of it, so that a table can't join while a
/// batch that left it out moves on: one of the two loses the compare-and-swap and looks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Every record below this offset is in every table of `joined` that it is for and that has not left.
    pub next_offset: u64,
    /// The tables that follow or have followed, by `tenant/table`.
    pub joined: BTreeMap<String, JoinedTable>,
}

/// A progress as it was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The progress.
    pub progress: Progress,
    /// The version to compare with; none: there is no item yet.
    version: Option<Version>,
}

fn key(topic: &str, partition: u32) -> Key {
    Key::new(format!("writer/{topic}"), format!("{partition:06}"))
}

/// Reads a partition's progress. A partition that no one has followed yet begins at the queue's low watermark.
///
/// # Errors
/// The store or the queue can't be read, or the item is not a progress.
pub async fn load(store: &dyn Store, queue: &dyn Queue, partition: u32) -> Result<Loaded, ProgressError> {
    let item =
        store.get(&key(queue.topic(), partition)).await.map_err(|source| ProgressError::Store { partition, source })?;
    if let Some(item) = item {
        let progress =
            serde_json::from_slice(&item.value).map_err(|source| ProgressError::Format { partition, source })?;
        return Ok(Loaded { progress, version: Some(item.version) });
    }
    let next_offset = queue.watermarks(partition).await?.low;
    Ok(Loaded { progress: Progress { next_offset, joined: BTreeMap::new() }, version: None })
}

/// Moves a partition's progress on from what was loaded, and returns it as it is now. None: someone else has moved it since; load
/// again.
///
/// # Errors
/// The store can't be written.
pub async fn advance(
    store: &dyn Store,
    topic: &str,
    partition: u32,
    loaded: &Loaded,
    progress: Progress,
) -> Result<Option<Loaded>, ProgressError> {
    let value = serde_json::to_vec(&progress).map_err(|source| ProgressError::Format { partition, source })?;
    let condition = loaded.version.map_or(Condition::Absent, Condition::Is);
    match store.put(&key(topic, partition), Bytes::from(value), condition).await {
        Ok(version) => Ok(Some(Loaded { progress, version: Some(version) })),
        Err(StoreError::Conflict { .. }) => Ok(None),
        Err(source) => Err(ProgressError::Store { partition, source }),
    }
}
