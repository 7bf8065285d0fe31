//! A member of a group of consumers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use freshet_model::QueuedRecord;
use futures::StreamExt as _;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::client::{Connection, REQUEST_TIMEOUT, blocking, log, log_error, queue_error};
use super::{message, offset_number, partition_number};
use crate::limits::check_group;
use crate::{Consumer, PartitionBatch, QueueError, ReadLimit};

/// How long a poll that has something waits for more: fetches of several partitions come one after the other.
const GATHER_TIME: Duration = Duration::from_millis(5);
/// How long leaving the group may take; the group finds out by itself after the session's 10 s.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A member of a group.
///
/// Rebalances happen inside of `poll`, so between two polls the member's partitions are its own, unless it takes longer
/// than the group waits.
pub(super) struct KafkaConsumer {
    topic: String,
    group: String,
    /// Always there until the consumer is dropped.
    client: Option<Arc<StreamConsumer<GroupContext>>>,
    context: GroupContext,
    /// What was received and not yet returned: kept here, so that a poll that is given up half-way loses nothing.
    gathered: Gathered,
}

/// Which partitions are this member's, kept up by librdkafka's rebalances.
#[derive(Clone, Default)]
struct GroupContext {
    assignment: Arc<Mutex<Assignment>>,
}

#[derive(Default)]
struct Assignment {
    /// The partitions and the number of the rebalance that brought each. A partition that was lost and came back
    /// begins at its committed offset again, which a new number tells.
    partitions: HashMap<i32, u64>,
    rebalances: u64,
}

impl GroupContext {
    fn assignment(&self) -> MutexGuard<'_, Assignment> {
        self.assignment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rebalance_of(&self, partition: i32) -> Option<u64> {
        self.assignment().partitions.get(&partition).copied()
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut assignment = self.assignment();
        assignment.rebalances += 1;
        let number = assignment.rebalances;
        match rebalance {
            Rebalance::Assign(list) => {
                assignment.partitions.extend(list.elements().iter().map(|element| (element.partition(), number)));
            }
            Rebalance::Revoke(list) => {
                for element in list.elements() {
                    assignment.partitions.remove(&element.partition());
                }
            }
            Rebalance::Error(error) => tracing::warn!(error = %error, "a rebalance failed"),
        }
        tracing::info!(partitions = assignment.partitions.len(), "the group of consumers was rebalanced");
    }
}

/// Records on their way out of a poll.
#[derive(Default)]
struct Gathered {
    batches: BTreeMap<u32, Batch>,
    records: usize,
    bytes: usize,
    /// A record that was one too many.
    held_back: Option<(u64, QueuedRecord)>,
}

struct Batch {
    rebalance: u64,
    records: Vec<QueuedRecord>,
}

impl Gathered {
    /// Takes a record that came after a rebalance; false once the limit is reached.
    fn add(&mut self, rebalance: u64, record: QueuedRecord, limit: ReadLimit) -> bool {
        let bytes = self.bytes + record.record.payload.len();
        if self.records > 0 && (bytes > limit.bytes || self.records >= limit.records) {
            self.held_back = Some((rebalance, record));
            return false;
        }
        let batch =
            self.batches.entry(record.position.partition).or_insert_with(|| Batch { rebalance, records: Vec::new() });
        if batch.rebalance != rebalance {
            *batch = Batch { rebalance, records: Vec::new() };
        }
        batch.records.push(record);
        self.records += 1;
        self.bytes = bytes;
        self.records < limit.records && self.bytes < limit.bytes
    }

    /// Everything of the partitions that are still this member's.
    fn take(&mut self, context: &GroupContext) -> Vec<PartitionBatch> {
        self.records = 0;
        self.bytes = 0;
        let batches = std::mem::take(&mut self.batches).into_iter();
        batches
            .filter(|(partition, batch)| context.rebalance_of(partition_number(*partition)) == Some(batch.rebalance))
            .map(|(partition, batch)| PartitionBatch { partition, records: batch.records })
            .collect()
    }

    fn forget(&mut self, partition: u32) {
        if let Some(batch) = self.batches.remove(&partition) {
            let bytes = batch.records.iter().map(|record| record.record.payload.len()).sum();
            self.records = self.records.saturating_sub(batch.records.len());
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        self.held_back.take_if(|(_, record)| record.position.partition == partition);
    }
}

impl KafkaConsumer {
    pub(super) fn join(connection: &Connection, topic: &str, group: &str) -> Result<Self, QueueError> {
        check_group(group)?;
        let context = GroupContext::default();
        let joining = |error| queue_error(format!("joining group {group} of topic {topic}"), error);
        let client: StreamConsumer<GroupContext> = connection
            .config()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            // Partitions that stay are consumed on while others move.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "3000")
            .set("max.poll.interval.ms", "300000")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.max.messages.kbytes", "4096")
            .set("check.crcs", "true")
            .create_with_context(context.clone())
            .map_err(joining)?;
        client.subscribe(&[topic]).map_err(joining)?;
        let (topic, group) = (topic.to_owned(), group.to_owned());
        Ok(Self { topic, group, client: Some(Arc::new(client)), context, gathered: Gathered::default() })
    }

    fn client(&self) -> Result<Arc<StreamConsumer<GroupContext>>, QueueError> {
        self.client.clone().ok_or_else(|| QueueError::Unavailable {
            context: format!("consuming topic {} as group {}", self.topic, self.group),
            source: "the consumer was closed".into(),
        })
    }

    /// The record of a message, with the rebalance that it came after.
    fn receive(&self, message: &BorrowedMessage<'_>) -> Option<(u64, QueuedRecord)> {
        let rebalance = self.context.rebalance_of(message.partition())?;
        let record = message::record(&self.topic, message::position(message)?, message)?;
        Some((rebalance, record))
    }

    fn one_partition(&self, partition: u32, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition_number(partition), offset)?;
        Ok(list)
    }
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn poll(&mut self, limit: ReadLimit) -> Result<Vec<PartitionBatch>, QueueError> {
        if limit.records == 0 {
            return Ok(Vec::new());
        }
        let client = self.client()?;
        let mut stream = client.stream();
        let deadline = limit.deadline();
        let mut gather_until = deadline;
        if let Some((rebalance, record)) = self.gathered.held_back.take() {
            self.gathered.add(rebalance, record, limit);
        }
        if self.gathered.records > 0 {
            gather_until = deadline.min(Instant::now() + GATHER_TIME);
        }
        while self.gathered.held_back.is_none() {
            let Ok(Some(received)) = tokio::time::timeout_at(gather_until, stream.next()).await else { break };
            match received {
                Ok(message) => {
                    if let Some((rebalance, record)) = self.receive(&message) {
                        if self.gathered.records == 0 {
                            gather_until = deadline.min(Instant::now() + GATHER_TIME);
                        }
                        if !self.gathered.add(rebalance, record, limit) {
                            break;
                        }
                    }
                }
                // It comes back into the group with the next poll.
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PollExceeded) => {}
                Err(error) if self.gathered.records == 0 => {
                    return Err(queue_error(format!("consuming topic {} as group {}", self.topic, self.group), error));
                }
                Err(_) => break,
            }
            tokio::task::consume_budget().await;
        }
        Ok(self.gathered.take(&self.context))
    }

    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), QueueError> {
        if self.context.rebalance_of(partition_number(partition)).is_none() {
            return Ok(());
        }
        let context = || format!("committing offset {next_offset} of topic {}, partition {partition}", self.topic);
        let client = self.client()?;
        let offsets = self.one_partition(partition, Offset::Offset(offset_number(next_offset)));
        blocking(context, move || match client.commit(&offsets?, CommitMode::Sync) {
            Err(error) if error.rdkafka_error_code().is_some_and(tells_of_a_lost_partition) => Ok(()),
            result => result,
        })
        .await
    }

    async fn rewind(&mut self, partition: u32) -> Result<(), QueueError> {
        let number = partition_number(partition);
        if self.context.rebalance_of(number).is_none() {
            return Ok(());
        }
        self.gathered.forget(partition);
        let context = || format!("rewinding topic {}, partition {partition}", self.topic);
        let client = self.client()?;
        let wanted = self.one_partition(partition, Offset::Invalid);
        let topic = self.topic.clone();
        blocking(context, move || {
            let committed = client.committed_offsets(wanted?, REQUEST_TIMEOUT)?;
            let offset = match committed.find_partition(&topic, number).map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => Offset::Offset(offset),
                _ => Offset::Beginning,
            };
            client.seek(&topic, number, offset, REQUEST_TIMEOUT)
        })
        .await
    }

    async fn close(mut self: Box<Self>) -> Result<(), QueueError> {
        let context = || format!("leaving group {} of topic {}", self.group, self.topic);
        let client = self.client.take();
        // Dropping the client leaves the group, and waits for that.
        let left = blocking(context, move || {
            drop(client);
            Ok(())
        });
        match tokio::time::timeout(CLOSE_TIMEOUT, left).await {
            Ok(result) => result,
            Err(late) => Err(QueueError::Unavailable { context: context(), source: late.into() }),
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Leaving the group waits for the brokers, which a task must not. Without a thread, it waits all the same.
            let _ = std::thread::Builder::new().name("queue-leave".to_owned()).spawn(move || drop(client));
        }
    }
}

/// Another member has the partition, or will get it. Its records come again, there.
fn tells_of_a_lost_partition(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::AssignmentLost
            | RDKafkaErrorCode::RebalanceInProgress
    )
}
