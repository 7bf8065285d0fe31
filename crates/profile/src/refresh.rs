//! Making an index hold what its query answers now.

use std::cmp::Ordering;
use std::pin::pin;
use std::time::Instant;

use freshet_store::{Item, Store};
use futures::Stream;
use jiff::Timestamp;

use crate::change::{Change, Chunk};
use crate::content::Content;
use crate::entry::{Entry, Parts};
use crate::error::corrupt;
use crate::hash::Hash;
use crate::keys::{Places, Posting};
use crate::known::{Known, Named};
use crate::patience::write_batch;
use crate::rows::{ProfileRow, Row, RowCounts, Rows};
use crate::source::{Basis, Origin};
use crate::state::{Begun, Ended, Unfinished};
use crate::{IndexRef, RefreshError, Shape, attributes};

/// Rows gone through before other tasks of the thread get their turn: some hundred microseconds.
const ROWS_A_TURN: u32 = 128;

/// What a refresh found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshReport {
    /// Rows of the query; of a refresh of what changed, of the ids that did.
    pub rows: u64,
    /// Profiles of the index now.
    pub profiles: u64,
    /// Profiles that are new or different.
    pub written: u64,
    /// Profiles that were looked at and are as they were.
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
/// with one id one is taken. `origin` says what they are of; that the next refresh can go on from its source is not noted where an id came
/// twice, which rows that are each of a row of their own key don't.
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
    origin: impl Into<Origin>,
    clock: &(dyn Fn() -> Timestamp + Send + Sync),
) -> Result<RefreshReport, RefreshError<E>> {
    let started = Instant::now();
    let mut origin = origin.into();
    let mut begun = Begun::begin(store, index, shape, clock()).await?;
    let known = Known::all(&Places::of(index, begun.generation));
    let (tally, counts) = merge(&mut begun, shape, known, rows).await?;
    origin.source = origin.source.filter(|_| counts.duplicate_keys == 0);
    let profiles = tally.written + tally.unchanged;
    begun.finish(Ended { origin: &origin, profiles, is_whole: true }, clock()).await?;
    Ok(report(tally, counts, profiles, begun.generation, started.elapsed()))
}

/// Which profiles of an index have changed, and since when.
#[derive(Debug)]
pub struct Changed {
    /// What the index held before.
    pub basis: Basis,
    /// The ids of which there may be another profile now, or none any more, in any order. All others are as they were.
    pub ids: Vec<String>,
}

/// Makes the index hold what `rows` are of the ids that have changed, and leaves all other profiles as they are; else as [`refresh`]. An
/// id without a row has no profile any more.
///
/// # Errors
/// As [`refresh`]; a row of another id; or something else became of the index since the basis was loaded, which is
/// [`RefreshError::Superseded`].
pub async fn refresh_changed<E>(
    store: &dyn Store,
    index: &IndexRef,
    shape: &Shape,
    Changed { basis, ids }: Changed,
    rows: impl Stream<Item = Result<ProfileRow, E>> + Send,
    mut origin: Origin,
    clock: &(dyn Fn() -> Timestamp + Send + Sync),
) -> Result<RefreshReport, RefreshError<E>> {
    let started = Instant::now();
    let begun = Begun::begin_on(store, index, shape, &basis, clock()).await?;
    let mut begun = begun.ok_or(RefreshError::Superseded)?;
    let known = Known::Named(Named::of(&Places::of(index, begun.generation), ids));
    let (tally, counts) = merge(&mut begun, shape, known, rows).await?;
    origin.source = origin.source.filter(|_| counts.duplicate_keys == 0);
    let profiles = (basis.profiles + tally.added).saturating_sub(tally.removed);
    begun.finish(Ended { origin: &origin, profiles, is_whole: false }, clock()).await?;
    Ok(report(tally, counts, profiles, begun.generation, started.elapsed()))
}

/// Writes what differs between the rows and what is known of the profiles.
async fn merge<E>(
    begun: &mut Begun<'_>,
    shape: &Shape,
    known: Known,
    rows: impl Stream<Item = Result<ProfileRow, E>> + Send,
) -> Result<(Tally, RowCounts), RefreshError<E>> {
    let (store, places) = (begun.store, Places::of(begun.index, begun.generation));
    let rows = pin!(rows);
    let mut merge = Merge {
        store,
        shape,
        refresh: begun.refresh,
        unfinished: begun.unfinished_before(),
        known,
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
            None => return Ok((merge.tally, merge.rows.counts)),
        }
    }
}

/// What was done to profiles, in numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    written: u64,
    /// Of those written, the new ones.
    added: u64,
    unchanged: u64,
    removed: u64,
}

fn report(
    tally: Tally,
    counts: RowCounts,
    profiles: u64,
    generation: u64,
    duration: std::time::Duration,
) -> RefreshReport {
    let Tally { written, unchanged, removed, .. } = tally;
    let RowCounts { rows, null_keys, unusable_keys, too_large, duplicate_keys } = counts;
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

/// The rows and what is known of the profiles, side by side in the order of ids.
struct Merge<'a, S> {
    store: &'a dyn Store,
    shape: &'a Shape,
    refresh: u64,
    unfinished: Vec<Unfinished>,
    known: Known,
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
            self.known.read(self.store).await?;
            let row_or_entry = match (&self.row, self.known.peek()) {
                (None, None) => return Ok((!chunk.is_empty()).then_some(chunk)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(row), Some(entry)) => row.id.as_str().cmp(entry),
            };
            let row = if row_or_entry.is_le() { self.row.take() } else { None };
            let entry = if row_or_entry.is_ge() { self.known.pop() } else { None };
            let Some(id) = row.as_ref().map(|row| &row.id).or_else(|| entry.as_ref().map(|entry| &entry.key.sort))
            else {
                continue;
            };
            chunk.passed = Some(id.clone());
            // What is there of an id that was not looked up would be taken for nothing.
            if entry.is_none() && !self.known.covers(id) {
                return Err(RefreshError::Unasked { id: id.clone() });
            }
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
        self.tally.added += u64::from(before.is_none());
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
