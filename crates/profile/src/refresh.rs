//! Making an index hold what its query answers now.

use std::cmp::Ordering;
use std::pin::pin;
use std::time::Instant;

use freshet_store::{Item, Store};
use futures::Stream;
use jiff::Timestamp;

use crate::change::{Change, Chunk};
use crate::content::Content;
use crate::entries::Entries;
use crate::entry::{Entry, Parts};
use crate::error::corrupt;
use crate::hash::Hash;
use crate::keys::{Places, Posting};
use crate::patience::write_batch;
use crate::rows::{ProfileRow, Row, RowCounts, Rows};
use crate::state::{Begun, Unfinished};
use crate::{IndexRef, RefreshError, Shape, attributes};

/// Rows gone through before other tasks of the thread get their turn: some hundred microseconds.
const ROWS_A_TURN: u32 = 128;

/// What a refresh found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshReport {
    /// Rows of the query.
    pub rows: u64,
    /// Profiles of the index now.
    pub profiles: u64,
    /// Profiles that are new or different.
    pub written: u64,
    /// Profiles that are as they were.
    pub unchanged: u64,
    /// Profiles that are no more.
    pub removed: u64,
    /// Rows left out because their key is null.
    pub null_keys: u64,
    /// Rows left out because their key is empty, or longer than [`crate::MAX_ID_BYTES`].
    pub unusable_keys: u64,
    /// Rows left out because another has the same key.
    pub duplicate_keys: u64,
    /// Rows left out because they have more than [`crate::MAX_ATTRIBUTES_BYTES`].
    pub too_large: u64,
    /// The generation that holds them.
    pub generation: u64,
    /// How long it took.
    pub duration: std::time::Duration,
}

/// Makes the index hold what `rows` are. They come in the order of their ids' bytes, those without an id anywhere; of several rows
/// with one id one is taken. Accepted records up to `as_of` are in them.
///
/// Only what differs is written. If the index serves another shape, a new generation is built and then serves at once. Dropped or
/// failed at any point, what was there before serves on, each profile as it was or as it is now, and the next refresh does the
/// rest. One refresh of an index at a time: of two, the one that began first stops.
///
/// # Errors
/// The rows are not as described or can't be had, the store can't be written, or another refresh has begun.
pub async fn refresh<E>(
    store: &dyn Store,
    index: &IndexRef,
    shape: &Shape,
    rows: impl Stream<Item = Result<ProfileRow, E>> + Send,
    as_of: Timestamp,
    clock: &(dyn Fn() -> Timestamp + Send + Sync),
) -> Result<RefreshReport, RefreshError<E>> {
    let started = Instant::now();
    let mut begun = Begun::begin(store, index, shape, clock()).await?;
    let places = Places::of(index, begun.generation);
    let rows = pin!(rows);
    let mut merge = Merge {
        store,
        shape,
        refresh: begun.refresh,
        unfinished: begun.unfinished_before(),
        entries: Entries::all(&places),
        rows: Rows::new(rows),
        row: None,
        tally: Tally::default(),
    };
    let mut to_write = Chunk::default();
    loop {
        // What comes next is worked out while what came before is written.
        let written =
            async { if to_write.is_empty() { Ok(()) } else { write_batch(store, || to_write.writes(&places)).await } };
        let (written, next) = futures::future::join(written, merge.next_chunk()).await;
        written?;
        if let Some(passed) = to_write.passed.as_deref().filter(|_| !to_write.is_empty()) {
            begun.pass(passed).await?;
        }
        match next? {
            Some(next) => to_write = next,
            None => break,
        }
    }
    let (tally, counts) = (merge.tally, merge.rows.counts);
    begun.finish(as_of, tally.written + tally.unchanged, clock()).await?;
    Ok(report(tally, counts, begun.generation, started.elapsed()))
}

/// What was done to profiles, in numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    written: u64,
    unchanged: u64,
    removed: u64,
}

fn report(tally: Tally, counts: RowCounts, generation: u64, duration: std::time::Duration) -> RefreshReport {
    let Tally { written, unchanged, removed } = tally;
    let RowCounts { rows, null_keys, unusable_keys, too_large, duplicate_keys } = counts;
    let profiles = written + unchanged;
    RefreshReport {
        rows,
        profiles,
        written,
        unchanged,
        removed,
        null_keys,
        unusable_keys,
        duplicate_keys,
        too_large,
        generation,
        duration,
    }
}

/// The rows and the list of all profiles, side by side in the order of ids.
struct Merge<'a, S> {
    store: &'a dyn Store,
    shape: &'a Shape,
    refresh: u64,
    unfinished: Vec<Unfinished>,
    entries: Entries,
    rows: Rows<'a, S>,
    /// The row that comes next, if it has been read.
    row: Option<Row>,
    tally: Tally,
}

impl<S, E> Merge<'_, S>
where
    S: Stream<Item = Result<ProfileRow, E>>,
{
    /// The next changes; none: there are no more.
    async fn next_chunk(&mut self) -> Result<Option<Chunk>, RefreshError<E>> {
        let mut chunk = Chunk::default();
        let mut turn = 0;
        while !chunk.is_full() {
            turn += 1;
            if turn % ROWS_A_TURN == 0 {
                tokio::task::yield_now().await;
            }
            if self.row.is_none() {
                self.row = self.rows.next().await?;
            }
            self.entries.read(self.store).await?;
            let row_or_entry = match (&self.row, self.entries.peek()) {
                (None, None) => return Ok((!chunk.is_empty()).then_some(chunk)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(row), Some(entry)) => row.id.as_str().cmp(entry),
            };
            let row = if row_or_entry.is_le() { self.row.take() } else { None };
            let entry = if row_or_entry.is_ge() { self.entries.pop() } else { None };
            let Some(id) = row.as_ref().map(|row| &row.id).or_else(|| entry.as_ref().map(|entry| &entry.key.sort))
            else {
                continue;
            };
            chunk.passed = Some(id.clone());
            let before = entry.map(|item| self.before(&item)).transpose()?;
            match (row, before) {
                (Some(row), before) => chunk.extend(self.keep(row, before.as_ref())?),
                (None, before) => chunk.extend(before.map(|before| self.remove(&before))),
            }
        }
        Ok(Some(chunk))
    }

    fn before(&self, item: &Item) -> Result<Before, RefreshError<E>> {
        let id = &item.key.sort;
        let entry = Entry::decode(&item.value).ok_or_else(|| corrupt("entry", id))?;
        let is_half_done =
            entry.is_leaving || self.unfinished.iter().any(|unfinished| unfinished.left_half_done(entry.refresh, id));
        Ok(Before { id: id.clone(), entry, is_half_done })
    }

    /// What is to be done where a row is a profile; none: it is as it was.
    fn keep(&mut self, row: Row, before: Option<&Before>) -> Result<Option<Change>, RefreshError<E>> {
        let Row { id, attributes } = row;
        let hash = Hash::of(attributes.as_bytes());
        if before.is_some_and(|before| !before.is_half_done && before.entry.hash == hash) {
            self.tally.unchanged += 1;
            return Ok(None);
        }
        let postings = self.postings(&id, &attributes)?;
        let content = Content::of(&attributes, hash);
        let parts = content.parts();
        let is_stale = |posting: &Posting| !postings.contains(posting);
        let (stale_postings, stale_parts) = before.map(|before| before.leftovers(is_stale)).unwrap_or_default();
        let is_new = |posting: &&Posting| before.is_none_or(|before| !before.surely_on(posting));
        let new_postings = postings.iter().filter(is_new).cloned().collect();
        let entry = Entry {
            refresh: self.refresh,
            hash,
            is_leaving: false,
            postings,
            parts,
            stale_postings,
            stale_parts: stale_parts.into_iter().filter(|stale| Some(*stale) != parts).collect(),
        };
        self.tally.written += 1;
        Ok(Some(Change { id, entry, content: Some(content), new_postings }))
    }

    /// What is to be done where a profile has no row any more.
    fn remove(&mut self, before: &Before) -> Change {
        let (stale_postings, stale_parts) = before.leftovers(|_| true);
        let entry = Entry {
            refresh: self.refresh,
            hash: before.entry.hash,
            is_leaving: true,
            postings: Vec::new(),
            parts: None,
            stale_postings,
            stale_parts,
        };
        self.tally.removed += 1;
        Change { id: before.id.clone(), entry, content: None, new_postings: Vec::new() }
    }

    /// The lists that a profile with these attributes is on.
    fn postings(&self, id: &str, attributes: &str) -> Result<Vec<Posting>, RefreshError<E>> {
        let values = attributes::values_of(attributes, self.shape.filters())
            .map_err(|source| RefreshError::Attributes { id: id.to_owned(), source })?;
        let postings = (0..).zip(values).filter_map(|(field, value)| Posting::of(field, &value?));
        Ok(postings.collect())
    }
}

/// What is there of a profile before this refresh.
struct Before {
    id: String,
    entry: Entry,
    /// A refresh was killed before it had written all that the entry says.
    is_half_done: bool,
}

impl Before {
    /// What there may be that is to be removed.
    fn leftovers(&self, is_stale: impl Fn(&Posting) -> bool) -> (Vec<Posting>, Vec<Parts>) {
        let entry = &self.entry;
        // A refresh that went on to the end has removed what it found stale.
        let (stale_postings, stale_parts): (&[Posting], &[Parts]) =
            if self.is_half_done { (&entry.stale_postings, &entry.stale_parts) } else { (&[], &[]) };
        let postings = entry.postings.iter().chain(stale_postings).filter(|posting| is_stale(posting)).cloned();
        let parts = entry.parts.iter().chain(stale_parts).copied();
        (postings.collect(), parts.collect())
    }

    /// Whether the profile is on a list for certain.
    fn surely_on(&self, posting: &Posting) -> bool {
        !self.is_half_done && self.entry.postings.contains(posting)
    }
}
