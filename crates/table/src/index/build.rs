//! Taking in what the index lacks, and moving what doesn't fit in memory to disk. Never part of a write.

use std::sync::Arc;

use futures::StreamExt;
use object_store::ObjectStore;
use tracing::{info, warn};

use super::merge::{merge, to_merge, write};
use super::{KeyIndex, Known, NewRow, State};
use crate::TableError;
use crate::file::DataFile;
use crate::key::Keys;
use crate::order::{Orders, order_columns};
use crate::parquet_file::{ParquetFile, Stretch};
use crate::snapshot::Snapshot;
use crate::spec::UpsertKind;

/// Rows that a next process would read again, from which on they are saved: reading so many takes about a second.
const ROWS_WORTH_SAVING: usize = 500_000;

/// The version that a file was first seen in which no version has named so far.
const NOT_YET: u64 = u64::MAX;

/// What a build is done with.
pub(crate) struct Source {
    pub(crate) snapshot: Snapshot,
    pub(crate) files: Arc<dyn ObjectStore>,
    pub(crate) key: Vec<String>,
    pub(crate) order_by: Option<String>,
}

impl Source {
    /// None: a table that has no key has no index.
    pub(crate) fn new(snapshot: Snapshot, files: Arc<dyn ObjectStore>) -> Option<Self> {
        let UpsertKind { key, order_by, .. } = snapshot.kind()?.upsert()?;
        Some(Self { snapshot, files, key, order_by })
    }
}

/// Where rows are taken in.
#[derive(Clone, Copy)]
struct Into {
    number: u32,
    generation: u64,
}

impl KeyIndex {
    /// Whether a build would find something to do.
    pub(crate) fn lacks(&self, snapshot: &Snapshot) -> bool {
        let state = self.state();
        let has_room = state.directory.is_some() || !self.budget.is_exceeded(1);
        has_room && (!state.whole(snapshot).1.is_empty() || self.is_full(&state))
    }

    /// Takes in the files of a snapshot that are not known whole. One build runs at a time; a second one waits.
    pub(crate) async fn build(&self, source: &Source) -> Result<(), TableError> {
        let _building = self.building.lock().await;
        self.build_alone(source).await
    }

    /// Takes in files that no version names yet, and that one is about to.
    pub(crate) async fn prepare(&self, source: &Source, files: &[Arc<DataFile>]) -> Result<(), TableError> {
        let _building = self.building.lock().await;
        for file in files {
            if self.take_in(source, file).await?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Gives up files that no version will name.
    pub(crate) fn forget<'a>(&self, files: impl Iterator<Item = &'a str>) {
        let mut state = self.state();
        for file in files {
            let number = state.numbers.get(file).copied();
            if let Some(known) = number.and_then(|number| state.files.get_mut(number as usize)) {
                *known = Known { is_whole: false, is_saved: false, seen_at: 0, ..known.clone() };
            }
        }
    }

    /// The same, unless a build is running.
    pub(crate) async fn build_unless_building(&self, source: &Source) -> Result<(), TableError> {
        match self.building.try_lock() {
            Ok(_building) => self.build_alone(source).await,
            Err(_) => Ok(()),
        }
    }

    async fn build_alone(&self, source: &Source) -> Result<(), TableError> {
        let (unknown, version) = {
            let mut state = self.state();
            state.account_for(&source.snapshot, &self.budget);
            (state.whole(&source.snapshot).1, source.snapshot.version())
        };
        let mut rows = 0;
        for file in unknown {
            match self.take_in(source, &file).await? {
                Some(of_file) => rows += of_file,
                // There is no room: keys are searched for in this file and those that would come.
                None => break,
            }
        }
        if rows > 0 {
            info!(table = %self.table, version, rows, "the key index took in what it lacked");
        }
        if self.is_full(&self.state()) {
            self.save(source).await?;
        }
        Ok(())
    }

    fn is_full(&self, state: &State) -> bool {
        state.directory.is_some() && (self.budget.is_exceeded(1) || state.rows_unsaved >= ROWS_WORTH_SAVING)
    }

    /// Takes in all rows of a file that are not dead, and its tombstones. None: there was no room for them.
    async fn take_in(&self, source: &Source, file: &Arc<DataFile>) -> Result<Option<usize>, TableError> {
        let parquet = ParquetFile::open(source.files.clone(), &self.table, file).await?;
        let dead = file.dead(&*source.files, &self.table).await?;
        let (number, generation) = {
            let mut state = self.state();
            let is_named = source.snapshot.file(file.name()).is_some();
            let seen_at = if is_named { source.snapshot.version() } else { NOT_YET };
            (state.number(file.name(), seen_at), state.generation)
        };
        let mut columns: Vec<&str> = source.key.iter().map(String::as_str).collect();
        columns.extend(order_columns(source.order_by.as_deref()));
        let mut count = 0;
        for group in 0..parquet.metadata().num_row_groups() {
            let mut stretches = parquet.read_group(&columns, group, None)?;
            while let Some(stretch) = stretches.next().await {
                let into = Into { number, generation };
                let Some(rows) = self.insert_stretch(source, &parquet, &dead, into, &stretch?)? else {
                    return Ok(None);
                };
                count += rows;
                let is_full = self.is_full(&self.state());
                if is_full {
                    self.save(source).await?;
                } else if self.budget.is_exceeded(1) {
                    return Ok(None);
                }
            }
        }
        let mut state = self.state();
        if state.generation != generation {
            return Ok(None);
        }
        state.note_dead_rows(&source.snapshot);
        state.set_whole(number, true);
        Ok(Some(count))
    }

    fn insert_stretch(
        &self,
        source: &Source,
        parquet: &ParquetFile,
        dead: &roaring::RoaringTreemap,
        into: Into,
        stretch: &Stretch,
    ) -> Result<Option<usize>, TableError> {
        let failed = |error| TableError::of_rows(format!("reading keys of table {}", self.table), error);
        let keys = Keys::of(&stretch.rows, &source.snapshot.schema(), &source.key).map_err(failed)?;
        let orders = Orders::of(&stretch.rows, source.order_by.as_deref()).map_err(failed)?;
        let first_tombstone = parquet.first_tombstone();
        let mut state = self.state();
        if state.generation != into.generation {
            return Ok(None);
        }
        let rows_of = state.rows_of(&source.snapshot);
        let before = state.memory.bytes();
        let mut is_whole = true;
        let mut count = 0;
        for (index, row) in stretch.positions.iter().enumerate() {
            let is_tombstone = *row >= first_tombstone;
            let Some(key) = keys.get(index) else { continue };
            if !is_tombstone && dead.contains(*row) {
                continue;
            }
            let hash = self.hasher.hash(key);
            let row = NewRow { hash, key, row: *row, order: orders.get(index), is_tombstone };
            is_whole &= state.insert(into.number, &row, &rows_of);
            count += 1;
        }
        self.budget.change(before, state.memory.bytes());
        Ok(is_whole.then_some(count))
    }

    /// Moves what is in memory to disk, and puts runs together. What can't be written is thrown away with the rest.
    async fn save(&self, source: &Source) -> Result<(), TableError> {
        let (frozen, path, rows_of, whole, generation) = {
            let mut state = self.state();
            let Some(path) = state.directory.as_ref().map(super::Directory::next_run) else { return Ok(()) };
            let frozen = Arc::new(std::mem::take(&mut state.memory));
            state.frozen = Some(frozen.clone());
            state.rows_unsaved = 0;
            let whole: Vec<u32> =
                (0..).zip(&state.files).filter(|(_, known)| known.is_whole).map(|(at, _)| at).collect();
            (frozen, path, state.rows_of(&source.snapshot), whole, state.generation)
        };
        let bytes = frozen.bytes();
        let entries = frozen.len();
        let written = tokio::task::spawn_blocking(move || write(&frozen, path, &rows_of)).await;
        {
            let mut state = self.state();
            self.budget.change(bytes, 0);
            if state.generation != generation {
                return Ok(());
            }
            state.frozen = None;
            match written.map_err(|error| TableError::of_rows("writing the key index", error))? {
                Ok(run) => state.runs.push(Arc::new(run)),
                Err(error) => {
                    warn!(table = %self.table, error = &error as &dyn std::error::Error, "the key index is made anew");
                    state.reset(&self.budget);
                    return Ok(());
                }
            }
            for number in whole {
                if let Some(known) = state.files.get_mut(number as usize) {
                    known.is_saved = known.is_whole;
                }
            }
            self.save_manifest(&mut state);
        }
        info!(table = %self.table, entries, "moved a part of the key index to disk");
        self.merge_runs(source).await
    }

    async fn merge_runs(&self, source: &Source) -> Result<(), TableError> {
        loop {
            let (last, path, rows_of, generation) = {
                let state = self.state();
                let count = to_merge(&state.runs);
                let Some(path) = state.directory.as_ref().map(super::Directory::next_run) else { return Ok(()) };
                if count < 2 {
                    return Ok(());
                }
                let first = state.runs.len().saturating_sub(count);
                let last: Vec<_> = state.runs.iter().skip(first).cloned().collect();
                (last, path, state.rows_of(&source.snapshot), state.generation)
            };
            let count = last.len();
            let merged = tokio::task::spawn_blocking(move || merge(&last, path, &rows_of)).await;
            let mut state = self.state();
            if state.generation != generation {
                return Ok(());
            }
            match merged.map_err(|error| TableError::of_rows("merging the key index", error))? {
                Ok(run) => {
                    let first = state.runs.len().saturating_sub(count);
                    state.runs.truncate(first);
                    state.runs.push(Arc::new(run));
                    self.save_manifest(&mut state);
                }
                Err(error) => {
                    warn!(table = %self.table, error = &error as &dyn std::error::Error, "the key index is made anew");
                    state.reset(&self.budget);
                    return Ok(());
                }
            }
        }
    }

    fn save_manifest(&self, state: &mut State) {
        let Some(directory) = &state.directory else { return };
        if let Err(error) = directory.save(&state.files, &state.runs) {
            warn!(table = %self.table, %error, "the key index on disk is not for the next process");
        }
    }
}
