//! Which row of which file holds a key: a cache of the table, in memory and on disk.
//!
//! The table is the only truth. An entry says that a row has a key; whether that row is still alive is asked of the snapshot, so
//! entries are never taken back, only replaced or left behind. What the index must not do is miss a live row, so it
//! knows which files it has taken in *whole*; the keys of any other file are searched for in the file
//! itself ([`crate::search`]). Losing the index changes nothing but time.
//!
//! - `memory`: what was taken in lately, within a budget that all tables of a process share.
//! - `run`: what didn't fit, sorted by hash in files that are written once; merged in the background so that there are few.
//! - `directory`: where the runs are, and the manifest that says which files they cover, for the next process.
//!
//! Keys are stored whole beside their hashes, so that two keys of one hash are two keys.

mod build;
mod directory;
mod entry;
mod memory;
mod merge;
mod run;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::ObjectStore;
use tracing::warn;

pub(crate) use self::build::Source;
use self::directory::Directory;
use self::entry::{Entry, Place};
use self::memory::Memory;
use self::run::{Run, RunError};
use crate::TableError;
use crate::file::DataFile;
use crate::key::KeyHasher;
use crate::order::Order;
use crate::snapshot::Snapshot;
use crate::wanted::{Hit, Wanted};

/// Bytes of the index in memory without a setting: about 1.5 million keys of 20 bytes.
const MEMORY_BYTES: usize = 128 << 20;

/// Where the key index is kept, and how much of it in memory.
#[derive(Debug, Clone)]
pub struct IndexSettings {
    /// Bytes that the indexes of all tables may take in memory.
    pub memory_bytes: usize,
    /// Where what doesn't fit goes, and stays for the next process. None: keys that don't fit are searched for in the files.
    /// One process uses a directory at a time; another one that is given the same goes without.
    pub directory: Option<PathBuf>,
    /// Whether a write waits until the index has taken in what it lacked. Where no task may outlive a request, it must.
    pub waits_for_build: bool,
    /// Bits of a key's hash: all 64, or fewer to see that keys which share one are told apart.
    #[doc(hidden)]
    pub hash_bits: u32,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self { memory_bytes: MEMORY_BYTES, directory: None, waits_for_build: false, hash_bits: u64::BITS }
    }
}

/// Threads that look keys up on disk, and the least that each has to do.
const LOOKUPS_AT_A_TIME: usize = 4;
const LEAST_LOOKUPS: usize = 500;

/// What the indexes of a process share.
#[derive(Debug)]
pub(crate) struct Budget {
    settings: IndexSettings,
    used: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(settings: IndexSettings) -> Self {
        Self { settings, used: AtomicUsize::new(0) }
    }

    pub(crate) fn settings(&self) -> &IndexSettings {
        &self.settings
    }

    fn is_exceeded(&self, times: usize) -> bool {
        self.used.load(Ordering::Relaxed) >= self.settings.memory_bytes.saturating_mul(times)
    }

    fn change(&self, from: usize, to: usize) {
        self.used.fetch_add(to, Ordering::Relaxed);
        self.used.fetch_sub(from, Ordering::Relaxed);
    }
}

/// The index of one table.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    table: String,
    budget: Arc<Budget>,
    hasher: KeyHasher,
    state: Mutex<State>,
    building: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Known>,
    numbers: HashMap<String, u32>,
    memory: Memory,
    /// What is being written to a run.
    frozen: Option<Arc<Memory>>,
    runs: Vec<Arc<Run>>,
    directory: Option<Directory>,
    /// The newest version whose revived rows are accounted for.
    revived_at: u64,
    /// Whether what an earlier process left was compared with the table.
    is_checked: bool,
    /// How often everything was dropped. What was begun before that is of other numbers of files.
    generation: u64,
    /// Rows of memory that a next process would have to read again.
    rows_unsaved: usize,
}

/// A file of the table, by the index's number of it.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    /// Whether all of its rows are in.
    is_whole: bool,
    /// Whether all of its rows are in runs.
    is_saved: bool,
    /// Its dead rows when that was last noted: fewer than that are rows that came back to life.
    dead: u64,
    /// The version in which it was first seen. A file that an older version doesn't have is not gone.
    seen_at: u64,
}

/// What an index found, and what it doesn't know.
pub(crate) struct Found {
    pub(crate) hits: Vec<Hit>,
    /// Files that have to be searched.
    pub(crate) unknown: Vec<Arc<DataFile>>,
}

/// A row that is new in a table.
pub(crate) struct NewRow<'a> {
    pub(crate) hash: u64,
    pub(crate) key: &'a [u8],
    pub(crate) row: u64,
    pub(crate) order: Order,
    pub(crate) is_tombstone: bool,
}

impl KeyIndex {
    /// The index of a table, with what an earlier process left on disk.
    pub(crate) fn open(table: &str, table_id: &str, budget: Arc<Budget>) -> Self {
        let settings = budget.settings();
        let fresh = KeyHasher::new(settings.hash_bits);
        let opened = settings.directory.as_ref().and_then(|root| match Directory::open(root, table, table_id, fresh) {
            Ok(opened) => opened,
            Err(error) => {
                warn!(table, error = &error as &dyn std::error::Error, "the key index is not kept on disk");
                None
            }
        });
        let (hasher, state) = match opened {
            None => (fresh, State::default()),
            Some(opened) => {
                let numbers = opened.files.iter().map(|file| file.name.clone()).zip(0..).collect();
                let state = State {
                    files: opened.files,
                    numbers,
                    runs: opened.runs,
                    directory: Some(opened.directory),
                    ..State::default()
                };
                (opened.hasher, state)
            }
        };
        Self {
            table: table.to_owned(),
            budget,
            hasher,
            state: Mutex::new(state),
            building: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    pub(crate) fn waits_for_build(&self) -> bool {
        self.budget.settings().waits_for_build
    }

    /// Finds the live rows and tombstones of keys in the files that are known.
    pub(crate) async fn find(
        &self,
        wanted: &Arc<Wanted>,
        snapshot: &Snapshot,
        files: &dyn ObjectStore,
    ) -> Result<Found, TableError> {
        let mut candidates = Vec::new();
        let (live, unknown, runs) = {
            let mut state = self.state();
            state.account_for(snapshot, &self.budget);
            let (live, unknown) = state.whole(snapshot);
            for (position, hash) in wanted.hashes().iter().enumerate() {
                state.in_memory(*hash, wanted.key(position), |entry| candidates.push(Candidate::of(position, entry)));
            }
            (live, unknown, state.runs.clone())
        };
        if !runs.is_empty() {
            match in_runs(wanted.clone(), runs).await? {
                Ok(found) => candidates.extend(found),
                Err(error) => {
                    warn!(table = %self.table, error = &error as &dyn std::error::Error, "the key index is made anew");
                    self.state().reset(&self.budget);
                    return Ok(Found { hits: Vec::new(), unknown: snapshot.files().cloned().collect() });
                }
            }
        }
        candidates.sort_unstable_by_key(|candidate| (candidate.wanted, candidate.place));
        candidates.dedup_by_key(|candidate| (candidate.wanted, candidate.place));
        let mut hits = Vec::with_capacity(candidates.len());
        for Candidate { wanted, place, order, is_tombstone } in candidates {
            let Some(Some(file)) = live.get(place.file as usize) else { continue };
            let row = u64::from(place.row);
            if is_tombstone || !file.dead(files, &self.table).await?.contains(row) {
                hits.push(Hit { wanted, file: file.clone(), row, order: Some(order), is_tombstone });
            }
        }
        Ok(Found { hits, unknown })
    }

    /// Takes in a file that a commit of ours has added, whole.
    pub(crate) fn take<'a>(&self, snapshot: &Snapshot, file: &str, rows: impl Iterator<Item = NewRow<'a>>) {
        let mut state = self.state();
        state.account_for(snapshot, &self.budget);
        // Above the budget the file is left to be searched, or to be taken in once there is room.
        let times = if state.directory.is_some() { 2 } else { 1 };
        if self.budget.is_exceeded(times) {
            return;
        }
        let number = state.number(file, snapshot.version());
        state.note_dead_rows(snapshot);
        let rows_of = state.rows_of(snapshot);
        let before = state.memory.bytes();
        let mut is_whole = true;
        for row in rows {
            is_whole &= state.insert(number, &row, &rows_of);
        }
        self.budget.change(before, state.memory.bytes());
        state.set_whole(number, is_whole);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves entries that were not counted: the index is a cache, and misses no row by that, as a file counts as
        // whole only after its last row.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KeyIndex {
    fn drop(&mut self) {
        let held = self.state().memory.bytes();
        self.budget.change(held, 0);
    }
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    wanted: usize,
    place: Place,
    order: Order,
    is_tombstone: bool,
}

impl Candidate {
    fn of(wanted: usize, entry: &Entry<'_>) -> Self {
        Self { wanted, place: entry.place, order: entry.order, is_tombstone: entry.is_tombstone }
    }
}

/// Looks keys up on disk.
async fn in_runs(wanted: Arc<Wanted>, runs: Vec<Arc<Run>>) -> Result<Result<Vec<Candidate>, RunError>, TableError> {
    let mut by_hash: Vec<(u64, usize)> = wanted.hashes().iter().copied().zip(0..).collect();
    by_hash.sort_unstable();
    let mut hashes: Vec<u64> = by_hash.iter().map(|(hash, _)| *hash).collect();
    hashes.dedup();
    let by_hash: Arc<[_]> = by_hash.into();
    let share = hashes.len().div_ceil(LOOKUPS_AT_A_TIME).max(LEAST_LOOKUPS);
    let shares =
        hashes.chunks(share).map(|hashes| in_runs_of(wanted.clone(), runs.clone(), by_hash.clone(), hashes.to_vec()));
    let mut found = Vec::new();
    for of_share in futures::future::try_join_all(shares).await? {
        match of_share {
            Ok(of_share) => found.extend(of_share),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(found))
}

/// The same for some of the hashes.
async fn in_runs_of(
    wanted: Arc<Wanted>,
    runs: Vec<Arc<Run>>,
    by_hash: Arc<[(u64, usize)]>,
    hashes: Vec<u64>,
) -> Result<Result<Vec<Candidate>, RunError>, TableError> {
    let looked_up = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        for run in runs {
            run.find(&hashes, |entry| {
                let first = by_hash.partition_point(|(hash, _)| *hash < entry.hash);
                let same = by_hash.iter().skip(first).take_while(|(hash, _)| *hash == entry.hash);
                found.extend(
                    same.filter(|(_, wanted_key)| wanted.key(*wanted_key) == entry.key)
                        .map(|(_, position)| Candidate::of(*position, &entry)),
                );
            })?;
        }
        Ok(found)
    });
    looked_up.await.map_err(|error| TableError::of_rows("looking keys up in the index", error))
}

/// What a snapshot says of the files of the index, by their numbers.
struct RowsOf {
    files: Vec<Presence>,
}

enum Presence {
    Here(Arc<DataFile>),
    Gone,
    /// It came after the snapshot.
    Later,
}

impl RowsOf {
    /// Whether a row is dead for sure. Of a file whose dead rows were not read none is.
    fn is_dead(&self, place: Place) -> bool {
        match self.files.get(place.file as usize) {
            Some(Presence::Here(file)) => file.known_dead().is_some_and(|dead| dead.contains(u64::from(place.row))),
            Some(Presence::Gone) => true,
            Some(Presence::Later) | None => false,
        }
    }

    /// Whether an entry says nothing any more. Tombstones, which no reader of the table sees, say something for as long as their
    /// file is there.
    fn is_obsolete(&self, entry: &Entry<'_>) -> bool {
        match self.files.get(entry.place.file as usize) {
            Some(Presence::Here(_)) if entry.is_tombstone => false,
            _ => self.is_dead(entry.place),
        }
    }
}

impl State {
    fn number(&mut self, name: &str, seen_at: u64) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(Known { name: name.to_owned(), is_whole: false, is_saved: false, dead: 0, seen_at });
        self.numbers.insert(name.to_owned(), number);
        number
    }

    fn known(&self, name: &str) -> Option<(usize, &Known)> {
        let number = *self.numbers.get(name)? as usize;
        Some((number, self.files.get(number)?))
    }

    fn set_whole(&mut self, number: u32, is_whole: bool) {
        if let Some(known) = self.files.get_mut(number as usize) {
            known.is_whole = is_whole;
            known.is_saved = false;
        }
    }

    /// The snapshot's files that are known whole, by number, and the others.
    fn whole(&self, snapshot: &Snapshot) -> (Vec<Option<Arc<DataFile>>>, Vec<Arc<DataFile>>) {
        let mut whole = vec![None; self.files.len()];
        let mut unknown = Vec::new();
        for file in snapshot.files() {
            let number = self.known(file.name()).filter(|(_, known)| known.is_whole).map(|(number, _)| number);
            match number.and_then(|number| whole.get_mut(number)) {
                Some(place) => *place = Some(file.clone()),
                None => unknown.push(file.clone()),
            }
        }
        (whole, unknown)
    }

    fn rows_of(&self, snapshot: &Snapshot) -> RowsOf {
        let presence = |known: &Known| match snapshot.file(&known.name) {
            Some(file) => Presence::Here(file.clone()),
            None if known.seen_at <= snapshot.version() => Presence::Gone,
            None => Presence::Later,
        };
        RowsOf { files: self.files.iter().map(presence).collect() }
    }

    fn note_dead_rows(&mut self, snapshot: &Snapshot) {
        for known in &mut self.files {
            match snapshot.file(&known.name) {
                Some(file) => {
                    known.dead = known.dead.max(file.dead_count());
                    known.seen_at = known.seen_at.min(snapshot.version());
                }
                // Should it come back, its rows are taken in again.
                None if known.seen_at <= snapshot.version() => known.is_whole = false,
                None => {}
            }
        }
    }

    /// Drops everything if rows came back to life that entries were replaced or left out for.
    fn account_for(&mut self, snapshot: &Snapshot, budget: &Budget) {
        let revived_at = snapshot.revived_at().filter(|version| *version > self.revived_at);
        let is_revived =
            |file: &Arc<DataFile>| self.known(file.name()).is_some_and(|(_, known)| file.dead_count() < known.dead);
        let has_changed = !self.is_checked && snapshot.files().any(is_revived);
        self.is_checked = true;
        if revived_at.is_some() || has_changed {
            self.revived_at = revived_at.unwrap_or(self.revived_at);
            self.reset(budget);
        }
    }

    fn in_memory(&self, hash: u64, key: &[u8], mut take: impl FnMut(&Entry<'_>)) {
        for memory in std::iter::once(&self.memory).chain(self.frozen.as_deref()) {
            for entry in memory.find(hash, key) {
                take(&entry);
            }
        }
    }

    fn insert(&mut self, file: u32, row: &NewRow<'_>, rows_of: &RowsOf) -> bool {
        let NewRow { hash, key, row, order, is_tombstone } = *row;
        let Ok(row) = u32::try_from(row) else { return false };
        let entry = Entry { hash, key, place: Place { file, row }, order, is_tombstone };
        self.rows_unsaved += 1;
        self.memory.insert(entry, |held| {
            held.is_tombstone == is_tombstone
                && (held.place == entry.place
                    || (is_tombstone && held.order <= order)
                    || (!is_tombstone && rows_of.is_dead(held.place)))
        })
    }

    fn reset(&mut self, budget: &Budget) {
        budget.change(self.memory.bytes(), 0);
        if let Some(directory) = &self.directory {
            directory.clear(&self.runs);
        }
        let directory = self.directory.take();
        let generation = self.generation + 1;
        *self = Self { directory, generation, revived_at: self.revived_at, is_checked: true, ..Self::default() };
    }
}
