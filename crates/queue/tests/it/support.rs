//! Queues to test, and records to put into them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_model::{PayloadFormat, QueuedRecord, Record, RecordHeaders, RequestId, StreamId, TenantId};
use freshet_queue::{
    EmbeddedQueue, EmbeddedSettings, KafkaQueue, KafkaSettings, Queue, ReadLimit, Shard, TopicCreation,
};
use freshet_testkit::{Kafka, random_name};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

/// Longer than anything should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const NO_WAIT: ReadLimit = ReadLimit { records: 100_000, bytes: usize::MAX, wait: Duration::ZERO };
pub(crate) const LONG_WAIT: ReadLimit = ReadLimit { wait: PATIENCE, ..NO_WAIT };

/// Which implementation is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Kafka,
}

/// A topic that outlives the queues that are opened on it.
pub(crate) struct Topic {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) partitions: u32,
    pub(crate) directory: TempDir,
}

impl Topic {
    pub(crate) fn new(kind: Kind, partitions: u32) -> Self {
        Self { kind, name: random_name("queue"), partitions, directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Queue> {
        match self.kind {
            Kind::Embedded => Arc::new(EmbeddedQueue::open(self.embedded_settings()).await.unwrap()),
            Kind::Kafka => {
                let settings = kafka_settings(Kafka::shared().await.unwrap(), &self.name, self.partitions);
                Arc::new(KafkaQueue::connect(settings).await.unwrap())
            }
        }
    }

    pub(crate) fn embedded_settings(&self) -> EmbeddedSettings {
        EmbeddedSettings {
            path: self.directory.path().join("queue.redb"),
            topic: self.name.clone(),
            partitions: self.partitions,
            retention: Duration::MAX,
            clock: Arc::new(Timestamp::now),
        }
    }
}

pub(crate) fn kafka_settings(kafka: &Kafka, topic: &str, partitions: u32) -> KafkaSettings {
    KafkaSettings {
        bootstrap_servers: kafka.bootstrap_servers(),
        topic: topic.to_owned(),
        create_topic: Some(TopicCreation { partitions, replication: 1 }),
        properties: BTreeMap::new(),
    }
}

pub(crate) fn shard(number: u32) -> Shard {
    Shard { tenant: TenantId::parse("acme").unwrap(), stream: StreamId::parse("is-2hzqsgX1E").unwrap(), shard: number }
}

/// The shard whose records lie in a partition.
pub(crate) fn shard_in(partition: u32, partitions: u32) -> Shard {
    (0..partitions).map(shard).find(|shard| shard.partition(partitions) == partition).unwrap()
}

/// A whole microsecond of today, so that Kafka neither refuses nor deletes it.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

pub(crate) fn later(time: Timestamp, microseconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_micros(microseconds)).unwrap()
}

pub(crate) fn record(payload: impl Into<Bytes>, received_at: Timestamp) -> Record {
    let Shard { tenant, stream, .. } = shard(0);
    let request_id = RequestId::parse("r-1").unwrap();
    let headers = RecordHeaders { tenant, stream, received_at, request_id, index: 3, format: PayloadFormat::Json };
    Record { headers, payload: payload.into() }
}

pub(crate) fn records(payloads: impl IntoIterator<Item = impl ToString>) -> Vec<Record> {
    let at = now();
    payloads.into_iter().map(|payload| record(payload.to_string(), at)).collect()
}

pub(crate) fn payload(queued: &QueuedRecord) -> &str {
    std::str::from_utf8(&queued.record.payload).unwrap()
}

/// Everything that a partition holds from an offset on.
pub(crate) async fn read_all(queue: &dyn Queue, partition: u32, from: u64) -> Vec<QueuedRecord> {
    let mut all: Vec<QueuedRecord> = Vec::new();
    loop {
        let next = all.last().map_or(from, |last| last.position.offset + 1);
        let page = queue.read(partition, next, NO_WAIT).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}
