//! The consumer of the embedded queue: it has all partitions, for there is one process.

use std::sync::Arc;

use async_trait::async_trait;
use redb::ReadableDatabase;
use tokio::sync::oneshot;

use super::storage::COMMITTED;
use super::writer::Write;
use super::{EmbeddedQueue, Shared, blocking, read_partition};
use crate::limits::{check_group, check_partition, refused};
use crate::{Consumer, PartitionBatch, QueueError, ReadLimit};

/// The one member of a group.
pub(super) struct EmbeddedConsumer {
    queue: Arc<EmbeddedQueue>,
    group: Arc<str>,
    partitions: Vec<Progress>,
    /// The partition that is served first by the next poll.
    first: u32,
}

/// How far a partition is consumed.
#[derive(Debug, Clone, Copy)]
struct Progress {
    next: u64,
    committed: u64,
}

impl EmbeddedConsumer {
    pub(super) async fn join(queue: Arc<EmbeddedQueue>, group: &str) -> Result<Self, QueueError> {
        check_group(group)?;
        let group: Arc<str> = Arc::from(group);
        if !queue.shared.members().insert(Arc::clone(&group)) {
            return Err(refused(format!(
                "group {group} has a consumer already, and it has all partitions: close it first"
            )));
        }
        // From here on, dropping the consumer leaves the group.
        let mut consumer = Self { queue, group, partitions: Vec::new(), first: 0 };
        let (shared, group) = (Arc::clone(&consumer.queue.shared), Arc::clone(&consumer.group));
        consumer.partitions = blocking(move || load_progress(&shared, &group)).await?;
        Ok(consumer)
    }

    /// The partitions with something to read and from where, the one whose turn it is first.
    fn ready(&self) -> Vec<(u32, u64)> {
        let partitions = self.queue.shared.partitions;
        let in_turn = (self.first..partitions).chain(0..self.first.min(partitions));
        in_turn
            .filter_map(|partition| {
                let progress = usize::try_from(partition).ok().and_then(|at| self.partitions.get(at))?;
                let watermarks = self.queue.shared.watermarks(partition);
                let from = progress.next.max(watermarks.low);
                (from < watermarks.high).then_some((partition, from))
            })
            .collect()
    }

    fn progress(&mut self, partition: u32) -> Option<&mut Progress> {
        usize::try_from(partition).ok().and_then(|at| self.partitions.get_mut(at))
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn poll(&mut self, limit: ReadLimit) -> Result<Vec<PartitionBatch>, QueueError> {
        if limit.records == 0 {
            return Ok(Vec::new());
        }
        let deadline = limit.deadline();
        let mut appends = self.queue.shared.appends();
        loop {
            appends.mark_unchanged();
            let ready = self.ready();
            if !ready.is_empty() {
                let shared = Arc::clone(&self.queue.shared);
                let batches = blocking(move || read_in_turn(&shared, &ready, limit)).await?;
                for batch in &batches {
                    let last = batch.records.last().map(|record| record.position.offset);
                    if let (Some(last), Some(progress)) = (last, self.progress(batch.partition)) {
                        progress.next = last + 1;
                    }
                }
                if let Some(last) = batches.last() {
                    self.first = last.partition + 1;
                    return Ok(batches);
                }
            }
            if tokio::time::timeout_at(deadline, appends.changed()).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), QueueError> {
        check_partition(&self.queue.shared.topic, partition, self.queue.shared.partitions)?;
        let (reply, done) = oneshot::channel();
        let group = Arc::clone(&self.group);
        self.queue.write(Write::Commit { group, partition, next_offset, reply }, done).await?;
        if let Some(progress) = self.progress(partition) {
            progress.committed = next_offset;
        }
        Ok(())
    }

    async fn rewind(&mut self, partition: u32) -> Result<(), QueueError> {
        check_partition(&self.queue.shared.topic, partition, self.queue.shared.partitions)?;
        if let Some(progress) = self.progress(partition) {
            progress.next = progress.committed;
        }
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), QueueError> {
        Ok(())
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.queue.shared.members().remove(&self.group);
    }
}

fn load_progress(shared: &Shared, group: &str) -> Result<Vec<Progress>, QueueError> {
    let progress = shared.storage.run("reading the offsets of a group", |opened| {
        let committed = opened.database.begin_read()?.open_table(COMMITTED)?;
        (0..shared.partitions)
            .map(|partition| {
                let committed = committed.get((group, partition))?.map_or(0, |offset| offset.value());
                Ok(Progress { next: committed, committed })
            })
            .collect()
    })?;
    Ok(progress)
}

/// Reads one partition after the other until the limit is reached.
fn read_in_turn(shared: &Shared, ready: &[(u32, u64)], limit: ReadLimit) -> Result<Vec<PartitionBatch>, QueueError> {
    let mut left = limit;
    let mut batches = Vec::new();
    for (partition, from) in ready {
        if left.records == 0 || (left.bytes == 0 && !batches.is_empty()) {
            break;
        }
        let records = read_partition(shared, *partition, *from, left, batches.is_empty())?;
        left.records = left.records.saturating_sub(records.len());
        left.bytes = left.bytes.saturating_sub(records.iter().map(|record| record.record.payload.len()).sum());
        if !records.is_empty() {
            batches.push(PartitionBatch { partition: *partition, records });
        }
    }
    Ok(batches)
}
