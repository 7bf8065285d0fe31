//! The durable log of records, between ingest and the tables.
//!
//! One trait, [`Queue`], with two implementations that pass one conformance suite: [`KafkaQueue`] (any broker that speaks
//! Kafka's protocol) and [`EmbeddedQueue`] (a file in one process).
//!
//! Promises: when [`Queue::append`] returns, every record of the call is durable (acknowledged by all in-sync
//! replicas; synced to disk) at the positions returned; records of one call to one shard lie in one partition in the
//! order given; offsets of a partition grow and are never used again; what was not acknowledged may still be there
//! (a lost answer), so readers may see a record twice, never miss one. What other producers have put into a Kafka topic
//! stops nobody: a record without our [headers](decode_headers) is logged and passed over, which leaves a gap in the offsets.
//!
//! Data goes: [`freshet_model::Record`]s of one [`Shard`] → a partition chosen by [`Shard::partition`] →
//! [`freshet_model::QueuedRecord`]s, read by offset ([`Queue::read`]) or as one of a group of consumers ([`Queue::consumer`]).

mod embedded;
mod error;
mod headers;
mod kafka;
mod limits;
pub mod progress;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use freshet_model::{Position, QueuedRecord, Record, StreamId, TenantId};
use jiff::Timestamp;
use tokio::time::Instant;

pub use embedded::{EmbeddedQueue, EmbeddedSettings};
pub use error::QueueError;
pub use headers::{decode_headers, encode_headers};
pub use kafka::{KafkaQueue, KafkaSettings, TopicCreation};
pub use limits::{MAX_PARTITIONS, MAX_PAYLOAD_BYTES};

/// One of the ordered sequences of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shard {
    /// The owner of the stream.
    pub tenant: TenantId,
    /// The stream.
    pub stream: StreamId,
    /// Which of the stream's shards, from 0.
    pub shard: u32,
}

impl Shard {
    /// The partition of this shard's records: (hash of the stream + shard) mod partitions, so that a stream's shards lie in
    /// different partitions as long as there are enough. The hash is FNV-1a of `tenant/stream`, which must
    /// never change: it decides where a stream's records keep their order.
    #[must_use]
    pub fn partition(&self, partitions: u32) -> u32 {
        let bytes = self.tenant.as_str().bytes().chain([b'/']).chain(self.stream.as_str().bytes());
        let hash = fnv1a(bytes);
        let slot = hash.wrapping_add(u64::from(self.shard)) % u64::from(partitions.max(1));
        u32::try_from(slot).unwrap_or(0)
    }
}

/// The 64-bit FNV-1a hash: the same in every version and on every machine, which Rust's own hashers don't promise.
pub fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The bounds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset that is still kept.
    pub low: u64,
    /// The offset that the next record will get.
    pub high: u64,
}

/// How much one read may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Most records.
    pub records: usize,
    /// Most payload bytes; one record is returned even if it alone is larger.
    pub bytes: usize,
    /// How long to wait for a first record where none is there yet. Zero returns at once what is there.
    pub wait: Duration,
}

/// More than any caller means; keeps an endless wait from overflowing the clock.
const LONGEST_WAIT: Duration = Duration::from_hours(365 * 24);

impl ReadLimit {
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.wait.min(LONGEST_WAIT)
    }
}

/// What a consumer received from one partition: records in the order of their offsets, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionBatch {
    /// The partition.
    pub partition: u32,
    /// Its records, contiguous as far as the queue has them.
    pub records: Vec<QueuedRecord>,
}

/// The durable log of records.
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug + 'static {
    /// The topic's name: half of the identity under which tables remember offsets.
    fn topic(&self) -> &str;

    /// The number of partitions, at least 1. It does not change while a queue is open.
    fn partitions(&self) -> u32;

    /// Appends records to a shard and returns their positions, in the order given, once all are durable.
    /// On an error some may have been appended.
    async fn append(&self, shard: &Shard, records: Vec<Record>) -> Result<Vec<Position>, QueueError>;

    /// Reads a partition's records from an offset on, in order. An offset below the low watermark begins at the low
    /// watermark; at or above the high watermark it waits as the limit says and may return nothing. So nothing means
    /// that there is nothing of ours from the offset to the high watermark.
    async fn read(&self, partition: u32, offset: u64, limit: ReadLimit) -> Result<Vec<QueuedRecord>, QueueError>;

    /// The bounds of a partition now.
    async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError>;

    /// The first offset whose record was received at `time` or later; the high watermark where there is none.
    async fn offset_at(&self, partition: u32, time: Timestamp) -> Result<u64, QueueError>;

    /// Joins a group of consumers: every partition is consumed by one member at a time, from the offset last committed
    /// by the group, or the low watermark.
    async fn consumer(self: Arc<Self>, group: &str) -> Result<Box<dyn Consumer>, QueueError>;

    /// Whether the queue can be reached.
    async fn ping(&self) -> Result<(), QueueError>;
}

/// One member of a group of consumers. Delivery is at least once: after a crash or a rebalance, records that were not
/// committed come again, perhaps to another member.
#[async_trait]
pub trait Consumer: Send {
    /// The next records of this member's partitions, one batch a partition; empty after `limit.wait` without any.
    /// The limit holds for all batches together.
    async fn poll(&mut self, limit: ReadLimit) -> Result<Vec<PartitionBatch>, QueueError>;

    /// Remembers for the group that everything of the partition below `next_offset` is done. Committing for a
    /// partition that has gone to another member since does nothing.
    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), QueueError>;

    /// Goes back: the next [`Consumer::poll`] delivers the partition's records again from its last committed offset.
    async fn rewind(&mut self, partition: u32) -> Result<(), QueueError>;

    /// Leaves the group, so that other members take over at once.
    async fn close(self: Box<Self>) -> Result<(), QueueError>;
}
