//! The queue on Kafka, through librdkafka.

mod client;
mod consumer;
mod message;
mod reader;
mod topic;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use freshet_model::{Position, QueuedRecord, Record};
use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::{Delivery, DeliveryFuture};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::limits::{check_partition, check_partitions, check_payloads, check_topic, refused};
use crate::{Consumer, Queue, QueueError, ReadLimit, Shard, Watermarks};
use client::{Connection, LogContext, REQUEST_TIMEOUT, blocking, queue_error};
use consumer::KafkaConsumer;
use reader::Readers;
use topic::{MAX_MESSAGE_BYTES, Topic};

/// How long an append may take until it is given up, in milliseconds.
const DELIVERY_TIMEOUT_MS: &str = "10000";
/// How long an append waits for room among those that are on their way.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_millis(10);
/// How often a read that waits asks whether something has come.
const LOOK_FOR_RECORDS_EVERY: Duration = Duration::from_millis(50);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// How much one look at records by time reads.
const SEARCH_PAGE: ReadLimit = ReadLimit { records: 1_000, bytes: 4 << 20, wait: Duration::ZERO };

/// How to make a topic that is missing. Its largest message is set to what the queue takes; everything else, such as
/// retention and the number of in-sync replicas that must acknowledge, is left to the brokers' defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicCreation {
    /// The number of partitions, 1 to 1,024.
    pub partitions: u32,
    /// The number of replicas of each, at least 1 and at most the number of brokers.
    pub replication: u8,
}

/// Where a Kafka queue is.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// Some of the brokers: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The topic.
    pub topic: String,
    /// What to do where the topic is missing: make it so, or refuse.
    pub create_topic: Option<TopicCreation>,
    /// librdkafka's properties of the connection, as `security.protocol`, `sasl.mechanism`, `sasl.username`,
    /// `sasl.password`, `ssl.ca.location`. Others are refused: they decide what the queue promises.
    pub properties: BTreeMap<String, SecretString>,
}

/// The queue on Kafka.
///
/// Nothing needs a restart after the brokers were away: librdkafka connects again by itself, and a producer that has
/// failed for good is replaced.
pub struct KafkaQueue {
    name: String,
    topic: Topic,
    connection: Connection,
    producer: RwLock<FutureProducer<LogContext>>,
    /// Asks the brokers, never reads.
    lookup: Arc<BaseConsumer<LogContext>>,
    readers: Readers,
}

impl fmt::Debug for KafkaQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaQueue")
            .field("topic", &self.name)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl KafkaQueue {
    /// Connects, and finds or makes the topic.
    ///
    /// # Errors
    /// [`QueueError::Refused`] where the settings are wrong, the topic is missing and not to be made, or the brokers don't
    /// permit it, [`QueueError::Unavailable`] where they can't be reached or can't be logged in to.
    pub async fn connect(settings: KafkaSettings) -> Result<Self, QueueError> {
        check_topic(&settings.topic)?;
        if let Some(creation) = settings.create_topic {
            check_partitions(creation.partitions)?;
            if creation.replication == 0 {
                return Err(refused("0 is not a number of replicas: at least 1".to_owned()));
            }
        }
        let connection = Connection::new(settings.bootstrap_servers.clone(), settings.properties.clone())?;
        let connecting = |error| queue_error(format!("connecting to {}", settings.bootstrap_servers), error);
        let lookup: BaseConsumer<LogContext> =
            connection.config().create_with_context(LogContext).map_err(connecting)?;
        let lookup = Arc::new(lookup);
        let topic = topic::find_or_create(&connection, &lookup, &settings).await?;
        let producer = RwLock::new(create_producer(&connection).map_err(connecting)?);
        let readers = Readers::new(&connection, &settings.topic);
        Ok(Self { name: settings.topic, topic, connection, producer, lookup, readers })
    }

    fn producer(&self) -> FutureProducer<LogContext> {
        self.producer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An idempotent producer that has lost count of what the brokers have refuses everything from then on. What it was
    /// given has failed, so a new one can begin to count.
    fn replace_if_failed(&self, failed: &FutureProducer<LogContext>) -> Result<(), KafkaError> {
        let Some((code, reason)) = failed.client().fatal_error() else { return Ok(()) };
        let mut producer = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        if producer.client().fatal_error().is_some() {
            tracing::warn!(topic = self.name, error = %code, reason, "the producer failed for good and is replaced");
            let old = std::mem::replace(&mut *producer, create_producer(&self.connection)?);
            // It waits for what it still has, which a task must not.
            tokio::task::spawn_blocking(move || drop(old));
        }
        Ok(())
    }

    /// Puts a record on its way, behind those that are.
    async fn send(
        &self,
        producer: &FutureProducer<LogContext>,
        partition: i32,
        record: &Record,
        deadline: Instant,
    ) -> Result<DeliveryFuture, KafkaError> {
        let mut message: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&self.name)
            .partition(partition)
            .payload(record.payload.as_ref())
            .timestamp(record.headers.received_at.as_millisecond())
            .headers(message::owned_headers(&record.headers));
        loop {
            match producer.send_result(message) {
                Ok(delivery) => return Ok(delivery),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused_message))
                    if Instant::now() < deadline =>
                {
                    message = refused_message;
                    tokio::time::sleep(LOOK_FOR_ROOM_EVERY).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    async fn deliver(
        &self,
        producer: &FutureProducer<LogContext>,
        partition: u32,
        records: &[Record],
    ) -> Result<Vec<Position>, KafkaError> {
        let deadline = Instant::now() + ROOM_TIMEOUT;
        let mut deliveries = Vec::with_capacity(records.len());
        for record in records {
            deliveries.push(self.send(producer, partition_number(partition), record, deadline).await?);
            tokio::task::consume_budget().await;
        }
        let mut positions = Vec::with_capacity(records.len());
        for delivery in deliveries {
            let Delivery { offset, .. } =
                delivery.await.map_err(|_| KafkaError::Canceled)?.map_err(|(error, _)| error)?;
            // The brokers may have had it from an earlier try, so long ago that they don't know where.
            let offset = u64::try_from(offset)
                .map_err(|_| KafkaError::MessageProduction(RDKafkaErrorCode::DuplicateSequenceNumber))?;
            positions.push(Position { partition, offset });
        }
        Ok(positions)
    }

    /// Asks the brokers something.
    async fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> String,
        question: impl FnOnce(&BaseConsumer<LogContext>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let lookup = Arc::clone(&self.lookup);
        blocking(what, move || {
            serve_events(&lookup);
            question(&lookup)
        })
        .await
    }

    /// The first offset whose Kafka timestamp is at or after a time in milliseconds, if there is one.
    async fn offset_at_millisecond(&self, partition: u32, milliseconds: i64) -> Result<Option<u64>, QueueError> {
        let topic = self.name.clone();
        let number = partition_number(partition);
        let what = || format!("looking for an offset by time in topic {}, partition {partition}", self.name);
        self.ask(what, move |lookup| {
            let mut times = TopicPartitionList::new();
            times.add_partition_offset(&topic, number, Offset::Offset(milliseconds))?;
            let found = lookup.offsets_for_times(times, REQUEST_TIMEOUT)?;
            let Some(element) = found.find_partition(&topic, number) else { return Ok(None) };
            element.error()?;
            match element.offset() {
                Offset::Offset(offset) => Ok(u64::try_from(offset).ok()),
                _ => Ok(None),
            }
        })
        .await
    }

    fn check_partition(&self, partition: u32) -> Result<(), QueueError> {
        check_partition(&self.name, partition, self.topic.partitions)
    }
}

#[async_trait]
impl Queue for KafkaQueue {
    fn topic(&self) -> &str {
        &self.name
    }

    fn partitions(&self) -> u32 {
        self.topic.partitions
    }

    async fn append(&self, shard: &Shard, records: Vec<Record>) -> Result<Vec<Position>, QueueError> {
        check_payloads(&records, self.topic.max_payload_bytes)?;
        let partition = shard.partition(self.topic.partitions);
        let producer = self.producer();
        let delivered = self.deliver(&producer, partition, &records).await;
        let context = || format!("appending {} records to topic {}, partition {partition}", records.len(), self.name);
        delivered.map_err(|error| match self.replace_if_failed(&producer) {
            Ok(()) => queue_error(context(), error),
            Err(error) => queue_error(context(), error),
        })
    }

    async fn read(&self, partition: u32, offset: u64, limit: ReadLimit) -> Result<Vec<QueuedRecord>, QueueError> {
        self.check_partition(partition)?;
        if limit.records == 0 {
            return Ok(Vec::new());
        }
        let deadline = limit.deadline();
        let mut from = offset;
        loop {
            let watermarks = self.watermarks(partition).await?;
            from = from.max(watermarks.low);
            if from < watermarks.high {
                let page = self.readers.read(partition, from, watermarks.high, limit).await?;
                if !page.records.is_empty() {
                    return Ok(page.records);
                }
                from = page.next;
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(Vec::new());
            }
            tokio::time::sleep_until(deadline.min(now + LOOK_FOR_RECORDS_EVERY)).await;
        }
    }

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError> {
        self.check_partition(partition)?;
        let topic = self.name.clone();
        let what = || format!("asking for the watermarks of topic {}, partition {partition}", self.name);
        let question = move |lookup: &BaseConsumer<LogContext>| {
            lookup.fetch_watermarks(&topic, partition_number(partition), REQUEST_TIMEOUT)
        };
        let (low, high) = self.ask(what, question).await?;
        Ok(Watermarks { low: u64::try_from(low).unwrap_or(0), high: u64::try_from(high).unwrap_or(0) })
    }

    async fn offset_at(&self, partition: u32, time: Timestamp) -> Result<u64, QueueError> {
        // Kafka's timestamps are whole milliseconds, and those of other producers' records are not ours: the record is
        // there or, seldom far, behind.
        let millisecond = Timestamp::from_millisecond(time.as_millisecond())
            .map_or(0, |floor| floor.as_millisecond() - i64::from(floor > time));
        let end = self.watermarks(partition).await?.high;
        let mut from = self.offset_at_millisecond(partition, millisecond).await?.unwrap_or(end);
        while from < end {
            let page = self.readers.read(partition, from, end, SEARCH_PAGE).await?;
            let is_late_enough = |queued: &&QueuedRecord| queued.record.headers.received_at >= time;
            if let Some(found) = page.records.iter().find(is_late_enough) {
                return Ok(found.position.offset);
            }
            from = page.next;
        }
        Ok(end)
    }

    async fn consumer(self: Arc<Self>, group: &str) -> Result<Box<dyn Consumer>, QueueError> {
        Ok(Box::new(KafkaConsumer::join(&self.connection, &self.name, group)?))
    }

    async fn ping(&self) -> Result<(), QueueError> {
        let topic = self.name.clone();
        let question =
            move |lookup: &BaseConsumer<LogContext>| lookup.fetch_metadata(Some(&topic), PING_TIMEOUT).map(drop);
        self.ask(|| format!("asking the brokers for topic {}", self.name), question).await
    }
}

fn create_producer(connection: &Connection) -> Result<FutureProducer<LogContext>, KafkaError> {
    connection
        .config()
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set("message.timeout.ms", DELIVERY_TIMEOUT_MS)
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "131072")
        .create_with_context(LogContext)
}

/// Takes what librdkafka wants to tell about the connection, which would pile up otherwise.
fn serve_events(lookup: &BaseConsumer<LogContext>) {
    const MOST_EVENTS: usize = 32;
    for _ in 0..MOST_EVENTS {
        let _ = lookup.poll(Duration::ZERO);
    }
}

/// A partition as librdkafka counts them. All ours are below 1,024; another one doesn't exist there either.
fn partition_number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// An offset as librdkafka counts them.
fn offset_number(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
