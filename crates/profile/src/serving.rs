//! Which generation of an index serves, remembered for a moment.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use freshet_store::{Store, StoreError};
use jiff::Timestamp;

use crate::IndexRef;
use crate::keys::Places;
use crate::state::StoredState;

/// How long what serves is remembered: how late a reader learns of a finished refresh.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Most indexes remembered.
const MAX_INDEXES: usize = 10_000;

/// What an index serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The generation: another number, another definition.
    pub generation: u64,
    /// The columns that profiles can be found by, in alphabetical order.
    pub filters: Vec<String>,
    /// The time up to which accepted records are in every profile.
    pub as_of: Timestamp,
    /// When the last refresh ended.
    pub refreshed_at: Timestamp,
    /// How many profiles it left.
    pub profiles: u64,
    pub(crate) places: Places,
}

/// What the indexes serve, as far as it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    indexes: RwLock<HashMap<IndexRef, Arc<Slot>>>,
}

/// What is known of one index. The lock of `reading` is held during a read, so that one request reads and the others wait for it.
#[derive(Debug, Default)]
struct Slot {
    known: RwLock<Option<Known>>,
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Known {
    serving: Option<Arc<Serving>>,
    /// By the system's clock: the others stand still while a Lambda is frozen, and what was known before is old afterwards.
    read_at: SystemTime,
}

impl Cache {
    /// What serves, as it was a second ago or later.
    pub(crate) async fn get(&self, store: &dyn Store, index: &IndexRef) -> Result<Option<Arc<Serving>>, StoreError> {
        let is_recent = |known: &Known| known.read_at.elapsed().is_ok_and(|age| age < MAX_AGE);
        self.get_if(store, index, is_recent).await
    }

    /// What serves, as it was at `time` or later.
    pub(crate) async fn get_since(
        &self,
        store: &dyn Store,
        index: &IndexRef,
        time: SystemTime,
    ) -> Result<Option<Arc<Serving>>, StoreError> {
        self.get_if(store, index, |known| known.read_at >= time).await
    }

    async fn get_if(
        &self,
        store: &dyn Store,
        index: &IndexRef,
        is_good: impl Fn(&Known) -> bool,
    ) -> Result<Option<Arc<Serving>>, StoreError> {
        let slot = self.slot(index);
        if let Some(known) = slot.known().filter(&is_good) {
            return Ok(known.serving);
        }
        let _reading = slot.reading.lock().await;
        if let Some(known) = slot.known().filter(&is_good) {
            return Ok(known.serving);
        }
        let read_at = SystemTime::now();
        let state = StoredState::load(store, index).await?.state;
        let serving = state.serving.map(|current| {
            let places = Places::of(index, current.generation.number);
            Arc::new(Serving {
                generation: current.generation.number,
                filters: current.generation.filters,
                as_of: current.as_of,
                refreshed_at: current.refreshed_at,
                profiles: current.profiles,
                places,
            })
        });
        let known = Known { serving: serving.clone(), read_at };
        *slot.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(serving)
    }

    fn slot(&self, index: &IndexRef) -> Arc<Slot> {
        if let Some(slot) = self.indexes.read().unwrap_or_else(PoisonError::into_inner).get(index) {
            return Arc::clone(slot);
        }
        let mut indexes = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        if indexes.len() >= MAX_INDEXES {
            indexes.clear();
        }
        Arc::clone(indexes.entry(index.clone()).or_default())
    }
}

impl Slot {
    fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
