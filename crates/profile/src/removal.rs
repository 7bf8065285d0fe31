//! Removing what is not read any more.

use freshet_store::{BatchWrite, Condition, Store, StoreError};
use jiff::Timestamp;

use crate::IndexRef;
use crate::change::everything;
use crate::entries::Entries;
use crate::entry::Entry;
use crate::error::corrupt;
use crate::keys::{self, Places};
use crate::patience::write_batch;
use crate::state::{State, StoredState};

/// Profiles removed at once.
const CHUNK_PROFILES: usize = 2_000;

/// Removes the generations of an index that no reader is on any more. The answer is when the next one may be removed, if there is one.
///
/// # Errors
/// The store can't be read or written; the next call goes on from there.
pub async fn remove_retired(
    store: &dyn Store,
    index: &IndexRef,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let mut stored = StoredState::load(store, index).await?;
    while let Some(due) = stored.state.retired.iter().find(|retired| retired.until <= now).cloned() {
        remove_generation(store, index, due.generation).await?;
        let is_left = |state: &mut State| state.retired.retain(|retired| retired.generation != due.generation);
        stored.change(store, index, is_left, |_| true).await?;
    }
    Ok(stored.state.retired.iter().map(|retired| retired.until).min())
}

/// Removes an index with all that it holds, at once. A refresh that is under way stops.
///
/// # Errors
/// The store can't be read or written; the next call goes on from there.
pub async fn remove_index(store: &dyn Store, index: &IndexRef, now: Timestamp) -> Result<(), StoreError> {
    let mut stored = StoredState::load(store, index).await?;
    stored.change(store, index, |state| state.retire_all(now), |_| true).await?;
    if remove_retired(store, index, now).await?.is_none() {
        store.delete(&keys::state(index), Condition::Any).await?;
    }
    Ok(())
}

async fn remove_generation(store: &dyn Store, index: &IndexRef, generation: u64) -> Result<(), StoreError> {
    let places = Places::of(index, generation);
    let mut entries = Entries::all(&places);
    loop {
        let mut removals = Vec::new();
        let mut departures = Vec::new();
        while departures.len() < CHUNK_PROFILES {
            entries.read(store).await?;
            let Some(item) = entries.pop() else { break };
            let id = &item.key.sort;
            let entry = Entry::decode(&item.value).ok_or_else(|| corrupt("entry", id))?;
            removals.extend(everything(&places, id, &entry).into_iter().map(BatchWrite::Delete));
            departures.push(BatchWrite::Delete(item.key));
        }
        if departures.is_empty() {
            return Ok(());
        }
        // An entry goes after all that it names.
        write_batch(store, || vec![removals.clone(), departures.clone()]).await?;
    }
}
