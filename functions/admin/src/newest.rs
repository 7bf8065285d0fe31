//! The newest records of a stream, looked for from the queue's end backwards, within bounds.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use freshet_model::{QueuedRecord, RecordHeaders};
use freshet_queue::{Queue, QueueError, ReadLimit};
use futures::{StreamExt, stream};
use serde::Serialize;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// Most places of the queue that a search looks at: those of others' records too, which lie in the same partitions.
const MOST_LOOKED_AT: u64 = 10_000;
/// Most payload bytes that a search reads; with the partitions' least below, also what it holds at a time.
const MOST_READ_BYTES: usize = 32 << 20;
/// What a search may read of each partition at least: several records of the largest size.
const LEAST_READ_BYTES: usize = 8 << 20;
/// Most payload bytes of the records found. As texts in JSON they take at most twice that, unless they are control characters.
const MOST_FOUND_BYTES: usize = 2_500_000;
/// Most payload bytes of one page of a read.
const PAGE_BYTES: usize = 4 << 20;
/// How many places the first step back takes, and the longest: short at first, for records may be large.
const STEPS: (u64, u64) = (8, 1_000);
/// Partitions that are searched at once.
const CONCURRENCY: usize = 4;

/// Why a search went no further back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndedBy {
    /// The queue keeps nothing older.
    Beginning,
    /// As many records as were asked for are found.
    Limit,
    /// As many places of the queue were looked at as a search may.
    LookedAt,
    /// As many bytes were found or read as a search may.
    Bytes,
    /// The time for a search was over.
    Time,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Newest {
    /// The records, the newest first.
    pub(crate) records: Vec<QueuedRecord>,
    /// How many places of the queue were looked at.
    pub(crate) looked_at: u64,
    /// Why no more were: of several partitions, what cut the search shortest.
    pub(crate) ended_by: EndedBy,
}

/// What bounds the search of one partition.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Most records found.
    records: usize,
    looked_at: u64,
    read_bytes: usize,
    deadline: Instant,
}

/// The newest records in some partitions that are wanted.
///
/// # Errors
/// The queue can't be read. Being late is no error: then there are fewer records, and the end says so.
pub(crate) async fn newest(
    queue: &dyn Queue,
    partitions: &BTreeSet<u32>,
    limit: usize,
    deadline: Instant,
    is_wanted: &(dyn Fn(&RecordHeaders) -> bool + Sync),
) -> Result<Newest, QueueError> {
    let share = partitions.len().max(1);
    let bounds = Bounds {
        records: limit,
        looked_at: (MOST_LOOKED_AT / share as u64).max(limit as u64),
        read_bytes: (MOST_READ_BYTES / share).max(LEAST_READ_BYTES),
        deadline,
    };
    let searches: Vec<_> = partitions.iter().map(|partition| search(queue, *partition, bounds, is_wanted)).collect();
    let mut searches = stream::iter(searches).buffer_unordered(CONCURRENCY);
    let mut all = Newest { records: Vec::new(), looked_at: 0, ended_by: EndedBy::Beginning };
    while let Some(found) = searches.next().await {
        let found = found?;
        all.records.extend(found.records);
        all.looked_at += found.looked_at;
        all.ended_by = all.ended_by.max(found.ended_by);
        // Trimmed as they come, so that many partitions don't hold more than one may.
        trim(&mut all, limit);
    }
    Ok(all)
}

/// Leaves the newest, as many as were asked for and may be shown.
fn trim(all: &mut Newest, limit: usize) {
    all.records.sort_by_key(|queued| {
        let received_at = queued.record.headers.received_at;
        (Reverse(received_at), queued.position.partition, Reverse(queued.position.offset))
    });
    if all.records.len() > limit {
        all.records.truncate(limit);
        all.ended_by = all.ended_by.max(EndedBy::Limit);
    }
    let mut bytes = 0;
    let fitting = all.records.iter().take_while(|queued| {
        bytes += queued.record.payload.len();
        bytes <= MOST_FOUND_BYTES
    });
    let fitting = fitting.count();
    if fitting < all.records.len() {
        all.records.truncate(fitting);
        all.ended_by = all.ended_by.max(EndedBy::Bytes);
    }
}

/// Why a step back was not made.
enum Stopped {
    /// Within its bounds there was nothing more to do.
    Ended(EndedBy),
    /// The queue can't be read.
    Failed(QueueError),
}

impl From<QueueError> for Stopped {
    fn from(failed: QueueError) -> Self {
        Self::Failed(failed)
    }
}

impl From<Elapsed> for Stopped {
    fn from(_: Elapsed) -> Self {
        Self::Ended(EndedBy::Time)
    }
}

/// Searches one partition. Its records are newest first.
async fn search(
    queue: &dyn Queue,
    partition: u32,
    bounds: Bounds,
    is_wanted: &(dyn Fn(&RecordHeaders) -> bool + Sync),
) -> Result<Newest, QueueError> {
    let mut search = Search { queue, partition, bounds, is_wanted, records: Vec::new(), looked_at: 0, read_bytes: 0 };
    let ended_by = match search.run().await {
        Ok(ended_by) | Err(Stopped::Ended(ended_by)) => ended_by,
        Err(Stopped::Failed(failed)) => return Err(failed),
    };
    search.records.truncate(bounds.records);
    Ok(Newest { records: search.records, looked_at: search.looked_at, ended_by })
}

struct Search<'s> {
    queue: &'s dyn Queue,
    partition: u32,
    bounds: Bounds,
    is_wanted: &'s (dyn Fn(&RecordHeaders) -> bool + Sync),
    /// What was found so far, newest first.
    records: Vec<QueuedRecord>,
    looked_at: u64,
    read_bytes: usize,
}

impl Search<'_> {
    /// Steps back through the partition, each step longer than the one before.
    async fn run(&mut self) -> Result<EndedBy, Stopped> {
        let watermarks = timeout_at(self.bounds.deadline, self.queue.watermarks(self.partition)).await??;
        let (mut end, mut step) = (watermarks.high, STEPS.0);
        loop {
            let left = self.bounds.looked_at.saturating_sub(self.looked_at);
            if self.records.len() >= self.bounds.records {
                return Ok(EndedBy::Limit);
            }
            if payload_bytes(&self.records) > MOST_FOUND_BYTES {
                return Ok(EndedBy::Bytes);
            }
            if end <= watermarks.low {
                return Ok(EndedBy::Beginning);
            }
            if left == 0 {
                return Ok(EndedBy::LookedAt);
            }
            let start = end.saturating_sub(step.min(left)).max(watermarks.low);
            // Kept when it is whole only: the older part of a step alone would leave a gap before what was found.
            let found = self.read(start, end).await?;
            self.records.extend(found.into_iter().rev());
            self.looked_at += end - start;
            (end, step) = (start, (step * 2).min(STEPS.1));
        }
    }

    /// The wanted records between two offsets, the second one excluded, oldest first.
    async fn read(&mut self, start: u64, end: u64) -> Result<Vec<QueuedRecord>, Stopped> {
        let mut found = Vec::new();
        let mut from = start;
        while from < end {
            if self.read_bytes >= self.bounds.read_bytes {
                return Err(Stopped::Ended(EndedBy::Bytes));
            }
            let records = usize::try_from(end - from).unwrap_or(usize::MAX);
            let limit = ReadLimit { records, bytes: PAGE_BYTES, wait: Duration::ZERO };
            let page = timeout_at(self.bounds.deadline, self.queue.read(self.partition, from, limit)).await??;
            self.read_bytes += payload_bytes(&page);
            // Nothing means that there is nothing of ours from here to the end.
            from = page.last().map_or(end, |last| last.position.offset + 1);
            let is_wanted =
                |queued: &QueuedRecord| queued.position.offset < end && (self.is_wanted)(&queued.record.headers);
            found.extend(page.into_iter().filter(is_wanted));
        }
        Ok(found)
    }
}

fn payload_bytes(records: &[QueuedRecord]) -> usize {
    records.iter().map(|queued| queued.record.payload.len()).sum()
}
