//! How far the tables have followed a partition of the queue.

use std::collections::BTreeMap;

use bytes::Bytes;
use freshet_queue::Queue;
use freshet_store::{Condition, Key, Store, StoreError, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::WriteError;

/// One table that follows a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinedTable {
    /// Records received before this are not for it; none: all are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub start_at: Option<Timestamp>,
    /// Fields of its records that no column names, so far.
    pub ignored_fields: u64,
}

/// How far the tables have followed a partition. One item in the store holds all of it, so that a table can't join while a
/// batch that left it out moves on: one of the two loses the compare-and-swap and looks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Every record below this offset is in every table of `joined` that it is for.
    pub next_offset: u64,
    /// The tables that follow, by `tenant/table`.
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
pub async fn load(store: &dyn Store, queue: &dyn Queue, partition: u32) -> Result<Loaded, WriteError> {
    let item =
        store.get(&key(queue.topic(), partition)).await.map_err(|source| WriteError::Progress { partition, source })?;
    if let Some(item) = item {
        let progress =
            serde_json::from_slice(&item.value).map_err(|source| WriteError::ProgressFormat { partition, source })?;
        return Ok(Loaded { progress, version: Some(item.version) });
    }
    let next_offset = queue.watermarks(partition).await?.low;
    Ok(Loaded { progress: Progress { next_offset, joined: BTreeMap::new() }, version: None })
}

/// Moves a partition's progress on from what was loaded. `false`: someone else has moved it since; load again.
///
/// # Errors
/// The store can't be written.
pub async fn advance(
    store: &dyn Store,
    topic: &str,
    partition: u32,
    loaded: &Loaded,
    progress: &Progress,
) -> Result<bool, WriteError> {
    let value = serde_json::to_vec(progress).map_err(|source| WriteError::ProgressFormat { partition, source })?;
    let condition = loaded.version.map_or(Condition::Absent, Condition::Is);
    match store.put(&key(topic, partition), Bytes::from(value), condition).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(source) => Err(WriteError::Progress { partition, source }),
    }
}

/// How many fields of a table's records no column names, over all partitions.
///
/// # Errors
/// The store can't be read.
pub async fn ignored_fields(store: &dyn Store, topic: &str, table: &str) -> Result<u64, StoreError> {
    let query = freshet_store::Query::prefix(format!("writer/{topic}"), "");
    let items = freshet_store::query_all(store, query).await?;
    let counts = items
        .iter()
        .filter_map(|item| serde_json::from_slice::<Progress>(&item.value).ok())
        .filter_map(|progress| progress.joined.get(table).map(|joined| joined.ignored_fields));
    Ok(counts.sum())
}
