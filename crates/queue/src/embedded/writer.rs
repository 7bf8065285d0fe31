//! The one thread that writes. It takes what has come in since its last commit as one group and commits it in one
//! durable transaction, so that the price of a sync is shared by all who wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use freshet_model::{Position, Record};
use jiff::Timestamp;
use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::storage::{BOUNDS, COMMITTED, RECORDS, StorageFailure, TIMES};
use super::{Shared, value};
use crate::{QueueError, Watermarks};

/// Most payload bytes in a group: what is not yet durable is kept in memory.
const GROUP_BYTES: usize = 16 << 20;
/// How often old records are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_mins(1);
/// Most rows of each kind that one group deletes beside what it appends: a few milliseconds.
const EXPIRY_STEP: usize = 2_000;
/// How long the thread leaves deleting alone after a failed transaction.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// What the thread is asked to do.
pub(super) enum Command {
    /// Write, together with what else is asked for.
    Write(Write),
    /// Let go of what is older than the retention, now.
    Expire { reply: Reply<()> },
}

/// One part of a transaction.
pub(super) enum Write {
    /// Append the records to the partition.
    Append {
        partition: u32,
        records: Vec<Record>,
        reply: Reply<Vec<Position>>,
        /// Its share of the memory for records that wait.
        room: OwnedSemaphorePermit,
    },
    /// Remember how far a group has come.
    Commit { group: Arc<str>, partition: u32, next_offset: u64, reply: Reply<()> },
}

/// What must be known of a partition to append to it.
#[derive(Debug, Clone, Copy, Default)]
struct PartitionState {
    low: u64,
    high: u64,
    /// The greatest `received_at` of the records kept, microseconds.
    newest: Option<i64>,
}

/// The state of the thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    partitions: Vec<PartitionState>,
    /// Of which opening of the file `partitions` tells; none: it must be read.
    generation: Option<u64>,
    /// The partitions that may hold something to delete, and up to which time.
    expiring: VecDeque<(u32, Timestamp)>,
    next_expiry: Instant,
    waiting_for_expiry: Vec<Reply<()>>,
    /// Until when only what is asked for is done.
    paused_until: Option<Instant>,
    buffer: Vec<u8>,
}

/// What a transaction did, to be told once it is durable.
struct Outcome {
    generation: u64,
    positions: Vec<Vec<Position>>,
    changed: BTreeMap<u32, PartitionState>,
    expired: Option<Expired>,
}

/// What one step of deleting did.
struct Expired {
    records: usize,
    is_complete: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, commands: Receiver<Command>) -> Self {
        Self {
            shared,
            commands,
            partitions: Vec::new(),
            generation: None,
            expiring: VecDeque::new(),
            next_expiry: Instant::now(),
            waiting_for_expiry: Vec::new(),
            paused_until: None,
            buffer: Vec::new(),
        }
    }

    /// Reads the bounds of all partitions, so that the queue opens with right watermarks.
    pub(super) fn load(&mut self) -> Result<(), QueueError> {
        let shared = Arc::clone(&self.shared);
        let (generation, partitions) = shared.storage.run("reading the bounds of the partitions", |opened| {
            let partitions = load_partitions(&opened.database, shared.partitions)?;
            Ok((opened.generation, partitions))
        })?;
        self.set_partitions(generation, partitions);
        Ok(())
    }

    /// Serves until the queue is dropped.
    pub(super) fn run(mut self) {
        while let Some(group) = self.next_group() {
            self.serve(group);
        }
    }

    /// Waits for a first command and takes with it what else is there; an empty group when there is something to
    /// delete. `None` once nobody can send any more.
    fn next_group(&mut self) -> Option<Vec<Write>> {
        let now = Instant::now();
        if self.next_expiry <= now {
            self.next_expiry = now + EXPIRY_INTERVAL;
            self.look_for_old_records();
        }
        let resume_at = match self.paused_until.filter(|until| *until > now) {
            Some(until) => until,
            None if self.expiring.is_empty() => self.next_expiry,
            None => now,
        };
        let mut group = Vec::new();
        let mut bytes = match self.commands.recv_timeout(resume_at.saturating_duration_since(now)) {
            Ok(command) => self.accept(command, &mut group),
            Err(RecvTimeoutError::Timeout) => 0,
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        while bytes < GROUP_BYTES
            && let Ok(command) = self.commands.try_recv()
        {
            bytes += self.accept(command, &mut group);
        }
        Some(group)
    }

    /// Takes a command into the group and tells how many payload bytes it brings.
    fn accept(&mut self, command: Command, group: &mut Vec<Write>) -> usize {
        match command {
            Command::Write(write) => {
                let bytes = match &write {
                    Write::Append { records, .. } => records.iter().map(|record| record.payload.len()).sum(),
                    Write::Commit { .. } => 0,
                };
                group.push(write);
                bytes
            }
            Command::Expire { reply } => {
                self.waiting_for_expiry.push(reply);
                self.paused_until = None;
                self.look_for_old_records();
                0
            }
        }
    }

    fn look_for_old_records(&mut self) {
        let Ok(retention) = jiff::SignedDuration::try_from(self.shared.retention) else { return };
        let Ok(before) = (self.shared.clock)().checked_sub(retention) else { return };
        self.expiring = (0..self.shared.partitions).map(|partition| (partition, before)).collect();
    }

    fn serve(&mut self, group: Vec<Write>) {
        let is_paused = self.paused_until.is_some_and(|until| until > Instant::now());
        let expire = if is_paused { None } else { self.expiring.front().copied() };
        if !group.is_empty() || expire.is_some() {
            match self.transact(&group, expire) {
                Ok(outcome) => self.acknowledge(group, outcome),
                Err(failure) => self.refuse(group, &failure),
            }
        }
        if self.expiring.is_empty() {
            for reply in self.waiting_for_expiry.drain(..) {
                let _ = reply.send(Ok(()));
            }
        }
    }

    fn transact(&mut self, group: &[Write], expire: Option<(u32, Timestamp)>) -> Result<Outcome, StorageFailure> {
        let shared = Arc::clone(&self.shared);
        shared.storage.run("writing to the queue's file", |opened| {
            if self.generation != Some(opened.generation) {
                // What a failed commit did is only known from the file.
                let partitions = load_partitions(&opened.database, shared.partitions)?;
                self.set_partitions(opened.generation, partitions);
            }
            let transaction = opened.database.begin_write()?;
            let mut changed = BTreeMap::new();
            let positions = self.apply(&transaction, group, &mut changed)?;
            let expired = match expire {
                Some((partition, before)) => {
                    let mut state = self.state(&changed, partition);
                    let expired = expire_step(&transaction, partition, before, &mut state)?;
                    changed.insert(partition, state);
                    Some(expired)
                }
                None => None,
            };
            if group.is_empty() && expired.as_ref().is_some_and(|expired| expired.records == 0) {
                transaction.abort()?;
            } else {
                store_bounds(&transaction, &changed)?;
                transaction.commit()?;
            }
            Ok(Outcome { generation: opened.generation, positions, changed, expired })
        })
    }

    fn state(&self, changed: &BTreeMap<u32, PartitionState>, partition: u32) -> PartitionState {
        let known = || usize::try_from(partition).ok().and_then(|at| self.partitions.get(at)).copied();
        changed.get(&partition).copied().or_else(known).unwrap_or_default()
    }

    fn apply(
        &mut self,
        transaction: &WriteTransaction,
        group: &[Write],
        changed: &mut BTreeMap<u32, PartitionState>,
    ) -> Result<Vec<Vec<Position>>, redb::Error> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut all_positions = Vec::new();
        let mut stored_records = transaction.open_table(RECORDS)?;
        let mut times = transaction.open_table(TIMES)?;
        for command in group {
            match command {
                Write::Append { partition, records, .. } => {
                    let mut state = self.state(changed, *partition);
                    let mut positions = Vec::with_capacity(records.len());
                    for record in records {
                        let position = Position { partition: *partition, offset: state.high };
                        value::encode(record, &mut buffer);
                        stored_records.insert((position.partition, position.offset), buffer.as_slice())?;
                        let received_at = record.headers.received_at.as_microsecond();
                        if state.newest.is_none_or(|newest| received_at > newest) {
                            times.insert((position.partition, received_at), position.offset)?;
                            state.newest = Some(received_at);
                        }
                        state.high += 1;
                        positions.push(position);
                    }
                    changed.insert(*partition, state);
                    all_positions.push(positions);
                }
                Write::Commit { group, partition, next_offset, .. } => {
                    transaction.open_table(COMMITTED)?.insert((group.as_ref(), *partition), next_offset)?;
                }
            }
        }
        self.buffer = buffer;
        Ok(all_positions)
    }

    fn acknowledge(&mut self, group: Vec<Write>, outcome: Outcome) {
        self.generation = Some(outcome.generation);
        for (partition, state) in outcome.changed {
            if let Some(known) = usize::try_from(partition).ok().and_then(|at| self.partitions.get_mut(at)) {
                *known = state;
            }
            self.shared.publish(partition, Watermarks { low: state.low, high: state.high });
        }
        if !outcome.positions.is_empty() {
            self.shared.wake_readers();
        }
        let mut positions = outcome.positions.into_iter();
        for command in group {
            // Who has stopped waiting needs no answer.
            match command {
                Write::Append { reply, room, .. } => {
                    drop(room);
                    let _ = reply.send(Ok(positions.next().unwrap_or_default()));
                }
                Write::Commit { reply, .. } => {
                    let _ = reply.send(Ok(()));
                }
            }
        }
        if let Some(expired) = outcome.expired {
            self.note_expired(&expired);
        }
    }

    fn note_expired(&mut self, expired: &Expired) {
        let Some((partition, before)) = self.expiring.pop_front() else { return };
        if expired.records > 0 {
            tracing::debug!(topic = self.shared.topic, partition, %before, records = expired.records, "deleted old records");
        }
        if !expired.is_complete {
            self.expiring.push_back((partition, before));
        }
    }

    fn refuse(&mut self, group: Vec<Write>, failure: &StorageFailure) {
        self.paused_until = Some(Instant::now() + PAUSE_AFTER_FAILURE);
        self.generation = None;
        for command in group {
            match command {
                Write::Append { reply, .. } => drop(reply.send(Err(failure.clone().into()))),
                Write::Commit { reply, .. } => drop(reply.send(Err(failure.clone().into()))),
            }
        }
        for reply in self.waiting_for_expiry.drain(..) {
            let _ = reply.send(Err(failure.clone().into()));
        }
    }

    fn set_partitions(&mut self, generation: u64, partitions: Vec<PartitionState>) {
        for (partition, state) in (0..).zip(&partitions) {
            self.shared.publish(partition, Watermarks { low: state.low, high: state.high });
        }
        self.generation = Some(generation);
        self.partitions = partitions;
        self.shared.wake_readers();
    }
}

fn load_partitions(database: &redb::Database, partitions: u32) -> Result<Vec<PartitionState>, redb::Error> {
    let transaction = database.begin_read()?;
    let bounds = transaction.open_table(BOUNDS)?;
    let times = transaction.open_table(TIMES)?;
    let mut states = Vec::new();
    for partition in 0..partitions {
        let (low, high) = bounds.get(partition)?.map(|bounds| bounds.value()).unwrap_or_default();
        let last = times.range((partition, i64::MIN)..=(partition, i64::MAX))?.next_back().transpose()?;
        states.push(PartitionState { low, high, newest: last.map(|(key, _)| key.value().1) });
    }
    Ok(states)
}

fn store_bounds(transaction: &WriteTransaction, changed: &BTreeMap<u32, PartitionState>) -> Result<(), redb::Error> {
    let mut bounds = transaction.open_table(BOUNDS)?;
    for (partition, state) in changed {
        bounds.insert(partition, (state.low, state.high))?;
    }
    Ok(())
}

/// Moves the low watermark up to the first record received at `before` or later, and deletes what lies below it; both
/// by a bounded number of rows. Entries of `TIMES` go in the transaction that moves the low watermark, so that the
/// entries left are always those of the records left: the first record kept is newer than all that were deleted.
fn expire_step(
    transaction: &WriteTransaction,
    partition: u32,
    before: Timestamp,
    state: &mut PartitionState,
) -> Result<Expired, redb::Error> {
    let mut times = transaction.open_table(TIMES)?;
    let mut old_times = Vec::new();
    let mut low = state.high;
    for entry in times.range((partition, i64::MIN)..=(partition, i64::MAX))? {
        let (key, offset) = entry?;
        let (_, received_at) = key.value();
        if received_at >= before.as_microsecond() || old_times.len() == EXPIRY_STEP {
            low = offset.value();
            break;
        }
        old_times.push(received_at);
    }
    for received_at in &old_times {
        times.remove((partition, *received_at))?;
    }
    if low == state.high {
        state.newest = None;
    }
    state.low = low.max(state.low);

    let mut records = transaction.open_table(RECORDS)?;
    let old_offsets: Vec<u64> = records
        .range((partition, 0)..(partition, state.low))?
        .take(EXPIRY_STEP)
        .map(|entry| entry.map(|(key, _)| key.value().1))
        .collect::<Result<_, _>>()?;
    for offset in &old_offsets {
        records.remove((partition, *offset))?;
    }
    let is_complete = old_times.len() < EXPIRY_STEP && old_offsets.len() < EXPIRY_STEP;
    Ok(Expired { records: old_offsets.len(), is_complete })
}
