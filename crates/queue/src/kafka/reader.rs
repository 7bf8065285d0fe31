//! Reading a partition from an offset.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freshet_model::QueuedRecord;
use futures::StreamExt as _;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::client::{Connection, LogContext, is_permanent, queue_error};
use super::{message, offset_number, partition_number};
use crate::{QueueError, ReadLimit};

/// Most reads at a time; each takes a client of librdkafka, with its threads and connections.
const MAX_READERS: usize = 8;
/// How long records that are there may take to arrive.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The clients that read, kept with their connections from one read to the next.
pub(super) struct Readers {
    topic: String,
    config: ClientConfig,
    idle: Mutex<Vec<Arc<StreamConsumer<LogContext>>>>,
    free: Semaphore,
}

/// What lies in a range of a partition.
pub(super) struct Page {
    pub(super) records: Vec<QueuedRecord>,
    /// The offset behind the last one that was looked at.
    pub(super) next: u64,
}

impl Readers {
    pub(super) fn new(connection: &Connection, topic: &str) -> Self {
        let mut config = connection.config();
        config
            // librdkafka wants a group for any assignment. It is never joined, and nothing is committed.
            .set("group.id", format!("freshet-reader-of-{topic}"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Where the offset has just been deleted.
            .set("auto.offset.reset", "earliest")
            // So that a gap at the end, as a foreign transaction leaves it, is known for the end.
            .set("enable.partition.eof", "true")
            // A client that is reused waits for its last fetch before it begins the next one, so a fetch mustn't wait.
            .set("fetch.wait.max.ms", "10")
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.max.messages.kbytes", "16384")
            .set("check.crcs", "true");
        Self { topic: topic.to_owned(), config, idle: Mutex::default(), free: Semaphore::new(MAX_READERS) }
    }

    /// Reads from an offset on, which is below `end`: up to the limit or `end`, past records of other producers.
    /// The high watermark is a good `end`.
    pub(super) async fn read(&self, partition: u32, from: u64, end: u64, limit: ReadLimit) -> Result<Page, QueueError> {
        let context = || format!("reading topic {}, partition {partition}, from offset {from}", self.topic);
        let lease = self.lease().await.map_err(|error| queue_error(context(), error))?;
        lease.assign(&self.topic, partition, from).map_err(|error| queue_error(context(), error))?;

        let mut page = Page { records: Vec::new(), next: from };
        let mut bytes = 0;
        let mut stream = lease.consumer.stream();
        let mut last_error = KafkaError::NoMessageReceived;
        let mut deadline = Instant::now() + ARRIVAL_TIMEOUT;
        while page.next < end && page.records.len() < limit.records {
            let Ok(Some(received)) = tokio::time::timeout_at(deadline, stream.next()).await else {
                return Err(queue_error(context(), last_error));
            };
            match received {
                Ok(message) => {
                    let Some(position) = message::position(&message) else { continue };
                    if position.partition != partition || position.offset < page.next {
                        continue;
                    }
                    if let Some(record) = message::record(&self.topic, position, &message) {
                        bytes += record.record.payload.len();
                        if bytes > limit.bytes && !page.records.is_empty() {
                            break;
                        }
                        page.records.push(record);
                    }
                    page.next = position.offset + 1;
                    deadline = Instant::now() + ARRIVAL_TIMEOUT;
                }
                Err(KafkaError::PartitionEOF(_)) => page.next = end,
                Err(error) if error.rdkafka_error_code().is_some_and(is_permanent) => {
                    return Err(queue_error(context(), error));
                }
                // librdkafka tries again by itself.
                Err(error) => last_error = error,
            }
            tokio::task::consume_budget().await;
        }
        Ok(page)
    }

    async fn lease(&self) -> Result<Lease<'_>, KafkaError> {
        let permit = self.free.acquire().await.map_err(|_| KafkaError::Canceled)?;
        let idle = self.idle().pop();
        let consumer = match idle {
            Some(consumer) => consumer,
            None => Arc::new(self.config.create_with_context(LogContext)?),
        };
        Ok(Lease { readers: self, consumer, _permit: permit })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<StreamConsumer<LogContext>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client in use; idle again when dropped, also when the read is given up half-way.
struct Lease<'a> {
    readers: &'a Readers,
    consumer: Arc<StreamConsumer<LogContext>>,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    fn assign(&self, topic: &str, partition: u32, from: u64) -> Result<(), KafkaError> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition_number(partition), Offset::Offset(offset_number(from)))?;
        self.consumer.assign(&assignment)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // Also drops what was fetched and not read.
        if self.consumer.unassign().is_ok() {
            self.readers.idle().push(Arc::clone(&self.consumer));
        }
    }
}
