//! The queue of a single process: a redb file of its own, written by one thread.

mod consumer;
mod storage;
mod value;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use freshet_model::{Position, QueuedRecord, Record};
use jiff::Timestamp;
use redb::ReadableDatabase;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::limits::{MAX_PAYLOAD_BYTES, check_partition, check_partitions, check_payloads, check_topic};
use crate::{Consumer, Queue, QueueError, ReadLimit, Shard, Watermarks};
use consumer::EmbeddedConsumer;
use storage::{RECORDS, Storage, TIMES};
use writer::{Command, Write, Writer};

/// Most memory for records that wait to be written; appends beyond it wait for room.
const ROOM_BYTES: usize = 64 << 20;
/// What a record that waits takes beside its payload: its headers and the structs around them.
const RECORD_ROOM: usize = 256;

/// Where and how an embedded queue is kept.
#[derive(Clone)]
pub struct EmbeddedSettings {
    /// Its file; the folder must exist. The file is made with access for its owner alone.
    pub path: PathBuf,
    /// The topic's name, as Kafka allows it.
    pub topic: String,
    /// The number of partitions, 1 to 1,024. It can't change once the file is made.
    pub partitions: u32,
    /// How long a record is kept after it was received, looked after once a minute. Deleting stops at the first record
    /// that is younger, so a record that was stamped by a clock ahead keeps those behind it. [`Duration::MAX`]: for ever.
    pub retention: Duration,
    /// What time it is: what `retention` is counted from.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl fmt::Debug for EmbeddedSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedSettings")
            .field("path", &self.path)
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// The queue of a single process.
///
/// Appends of all tasks that wait at the same time are made durable by one sync. After an I/O error, a full disk for
/// one, calls fail as [`QueueError::Unavailable`] until the file can be written again; nothing needs a restart.
///
/// Dropping it waits for the transaction in progress.
pub struct EmbeddedQueue {
    shared: Arc<Shared>,
    /// Taken when dropped, which ends the thread.
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    room: Arc<Semaphore>,
}

/// What readers and the writing thread have in common.
struct Shared {
    storage: Storage,
    topic: String,
    partitions: u32,
    retention: Duration,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The durable bounds of each partition.
    bounds: Vec<Bounds>,
    appended: watch::Sender<()>,
    /// The groups that have a consumer now.
    members: Mutex<HashSet<Arc<str>>>,
}

#[derive(Debug, Default)]
struct Bounds {
    low: AtomicU64,
    high: AtomicU64,
}

impl Shared {
    fn bounds(&self, partition: u32) -> Option<&Bounds> {
        usize::try_from(partition).ok().and_then(|at| self.bounds.get(at))
    }

    fn watermarks(&self, partition: u32) -> Watermarks {
        // The low one first: read in the other order, a deletion in between could let it overtake the high one.
        let load = |bounds: &Bounds| Watermarks {
            low: bounds.low.load(Ordering::Acquire),
            high: bounds.high.load(Ordering::Acquire),
        };
        self.bounds(partition).map_or(Watermarks { low: 0, high: 0 }, load)
    }

    fn publish(&self, partition: u32, watermarks: Watermarks) {
        if let Some(bounds) = self.bounds(partition) {
            bounds.high.store(watermarks.high, Ordering::Release);
            bounds.low.store(watermarks.low, Ordering::Release);
        }
    }

    fn wake_readers(&self) {
        self.appended.send_replace(());
    }

    fn appends(&self) -> watch::Receiver<()> {
        self.appended.subscribe()
    }

    fn members(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EmbeddedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedQueue")
            .field("topic", &self.shared.topic)
            .field("partitions", &self.shared.partitions)
            .finish_non_exhaustive()
    }
}

impl EmbeddedQueue {
    /// Opens the file, or makes it. After a crash this may read the whole file.
    ///
    /// # Errors
    /// [`QueueError::Refused`] where the settings don't fit each other, the file or the folder's permissions,
    /// [`QueueError::Corrupt`] where the file isn't a queue's, [`QueueError::Unavailable`] where another process has it open.
    pub async fn open(settings: EmbeddedSettings) -> Result<Self, QueueError> {
        check_topic(&settings.topic)?;
        check_partitions(settings.partitions)?;
        let path = settings.path.clone();
        tokio::task::spawn_blocking(move || Self::open_blocking(settings)).await.map_err(|error| {
            // redb trusts a file that was closed well, and panics where it was altered since.
            QueueError::Corrupt { context: format!("opening {}", path.display()), source: Some(error.into()) }
        })?
    }

    fn open_blocking(settings: EmbeddedSettings) -> Result<Self, QueueError> {
        let EmbeddedSettings { path, topic, partitions, retention, clock } = settings;
        let storage = Storage::open(path, &topic, partitions)?;
        let bounds = (0..partitions).map(|_| Bounds::default()).collect();
        let (appended, _) = watch::channel(());
        let members = Mutex::default();
        let shared = Arc::new(Shared { storage, topic, partitions, retention, clock, bounds, appended, members });
        let (commands, received) = mpsc::channel();
        let mut writer = Writer::new(Arc::clone(&shared), received);
        writer.load()?;
        let thread = std::thread::Builder::new().name("queue-writer".to_owned()).spawn(move || writer.run()).map_err(
            |error| QueueError::Unavailable {
                context: "starting the thread that writes".to_owned(),
                source: error.into(),
            },
        )?;
        let room = Arc::new(Semaphore::new(ROOM_BYTES));
        Ok(Self { shared, commands: Some(commands), thread: Some(thread), room })
    }

    /// Deletes now what is older than the retention, as happens by itself once a minute.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`] where the file can't be written.
    pub async fn expire(&self) -> Result<(), QueueError> {
        let (reply, done) = oneshot::channel();
        self.send(Command::Expire { reply }, done).await
    }

    async fn write<T>(&self, write: Write, done: oneshot::Receiver<Result<T, QueueError>>) -> Result<T, QueueError> {
        self.send(Command::Write(write), done).await
    }

    async fn send<T>(&self, command: Command, done: oneshot::Receiver<Result<T, QueueError>>) -> Result<T, QueueError> {
        let stopped = || QueueError::Unavailable {
            context: format!("writing to topic {}", self.shared.topic),
            source: "the thread that writes has stopped".into(),
        };
        self.commands.as_ref().and_then(|commands| commands.send(command).ok()).ok_or_else(stopped)?;
        done.await.map_err(|_| stopped())?
    }

    fn check_partition(&self, partition: u32) -> Result<(), QueueError> {
        check_partition(&self.shared.topic, partition, self.shared.partitions)
    }
}

impl Drop for EmbeddedQueue {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // So that who opens the file next finds it closed.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    fn topic(&self) -> &str {
        &self.shared.topic
    }

    fn partitions(&self) -> u32 {
        self.shared.partitions
    }

    async fn append(&self, shard: &Shard, records: Vec<Record>) -> Result<Vec<Position>, QueueError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        check_payloads(&records, MAX_PAYLOAD_BYTES)?;
        let partition = shard.partition(self.shared.partitions);
        let bytes: usize = records.iter().map(|record| record.payload.len() + RECORD_ROOM).sum();
        let permits = u32::try_from(bytes.min(ROOM_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|error| {
            QueueError::Unavailable { context: "waiting for room to append".to_owned(), source: error.into() }
        })?;
        let (reply, done) = oneshot::channel();
        self.write(Write::Append { partition, records, reply, room }, done).await
    }

    async fn read(&self, partition: u32, offset: u64, limit: ReadLimit) -> Result<Vec<QueuedRecord>, QueueError> {
        self.check_partition(partition)?;
        if limit.records == 0 {
            return Ok(Vec::new());
        }
        let deadline = limit.deadline();
        let mut appends = self.shared.appends();
        loop {
            appends.mark_unchanged();
            let watermarks = self.shared.watermarks(partition);
            let from = offset.max(watermarks.low);
            if from < watermarks.high {
                let shared = Arc::clone(&self.shared);
                let records = blocking(move || read_partition(&shared, partition, from, limit, true)).await?;
                if !records.is_empty() {
                    return Ok(records);
                }
            }
            if tokio::time::timeout_at(deadline, appends.changed()).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError> {
        self.check_partition(partition)?;
        Ok(self.shared.watermarks(partition))
    }

    async fn offset_at(&self, partition: u32, time: Timestamp) -> Result<u64, QueueError> {
        self.check_partition(partition)?;
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let found = shared.storage.run("looking for an offset by time", |opened| {
                let times = opened.database.begin_read()?.open_table(TIMES)?;
                let first = times.range((partition, ceil_microseconds(time))..=(partition, i64::MAX))?.next();
                Ok(first.transpose()?.map(|(_, offset)| offset.value()))
            })?;
            let watermarks = shared.watermarks(partition);
            Ok(found.unwrap_or(watermarks.high).max(watermarks.low))
        })
        .await
    }

    async fn consumer(self: Arc<Self>, group: &str) -> Result<Box<dyn Consumer>, QueueError> {
        Ok(Box::new(EmbeddedConsumer::join(self, group).await?))
    }

    async fn ping(&self) -> Result<(), QueueError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            shared.storage.run("opening the queue's file", |opened| {
                opened.database.begin_read()?;
                Ok(())
            })?;
            Ok(())
        })
        .await
    }
}

/// The first whole microsecond that is not before a time; `received_at` has no finer ones.
fn ceil_microseconds(time: Timestamp) -> i64 {
    let microseconds = time.as_microsecond();
    let is_before = Timestamp::from_microsecond(microseconds).is_ok_and(|floor| floor < time);
    microseconds + i64::from(is_before)
}

/// Runs what may wait for the disk where it holds up no other task.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueueError> + Send + 'static,
) -> Result<T, QueueError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| QueueError::Unavailable {
        context: "waiting for the queue's file".to_owned(),
        source: error.into(),
    })?
}

/// Reads from `from` on, which is at least the low watermark. With `at_least_one`, a first record larger than the limit
/// is returned all the same.
fn read_partition(
    shared: &Shared,
    partition: u32,
    from: u64,
    limit: ReadLimit,
    at_least_one: bool,
) -> Result<Vec<QueuedRecord>, QueueError> {
    let records = shared.storage.run("reading from the queue's file", |opened| {
        let stored = opened.database.begin_read()?.open_table(RECORDS)?;
        let mut records = Vec::new();
        let mut bytes = 0;
        for entry in stored.range((partition, from)..=(partition, u64::MAX))?.take(limit.records) {
            let (key, stored_value) = entry?;
            let position = Position { partition, offset: key.value().1 };
            let record = value::decode(stored_value.value()).map_err(|wrong| {
                redb::Error::Corrupted(format!(
                    "the record at partition {partition}, offset {}: {wrong}",
                    position.offset
                ))
            })?;
            bytes += record.payload.len();
            let is_first = at_least_one && records.is_empty();
            if bytes > limit.bytes && !is_first {
                break;
            }
            records.push(QueuedRecord { position, record });
        }
        Ok(records)
    })?;
    Ok(records)
}
