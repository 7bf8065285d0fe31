//! What is known of the profiles that a refresh looks at: all of them, or those of some ids.

use std::collections::VecDeque;

use freshet_store::{Item, Key, Store, StoreError};

use crate::entries::Entries;
use crate::keys::Places;
use crate::patience::Patience;
use crate::rows::is_usable_id;

/// Ids looked up at once.
const LOOKED_UP_AT_ONCE: usize = 2_000;

/// The entries of profiles, in the order of their ids.
#[derive(Debug)]
pub(crate) enum Known {
    /// All that there are.
    All(Entries),
    /// Those of some ids.
    Named(Named),
}

impl Known {
    pub(crate) fn all(places: &Places) -> Self {
        Self::All(Entries::all(places))
    }

    /// Reads what must be known before [`Self::peek`].
    pub(crate) async fn read(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        match self {
            Self::All(entries) => entries.read(store).await.map(drop),
            Self::Named(named) => named.read(store).await,
        }
    }

    /// The id of the next entry. Only after [`Self::read`].
    pub(crate) fn peek(&self) -> Option<&str> {
        match self {
            Self::All(entries) => entries.peek(),
            Self::Named(named) => named.found.front().map(|item| item.key.sort.as_str()),
        }
    }

    /// The next entry. Only after [`Self::read`].
    pub(crate) fn pop(&mut self) -> Option<Item> {
        match self {
            Self::All(entries) => entries.pop(),
            Self::Named(named) => named.found.pop_front(),
        }
    }

    /// Whether an entry of this id would be among them.
    pub(crate) fn covers(&self, id: &str) -> bool {
        match self {
            Self::All(_) => true,
            Self::Named(named) => named.ids.binary_search_by(|named| named.as_str().cmp(id)).is_ok(),
        }
    }
}

/// The entries of some ids, looked up one by one.
#[derive(Debug)]
pub(crate) struct Named {
    places: Places,
    /// In the order of their bytes, each once.
    ids: Vec<String>,
    /// How many of them have been looked up.
    looked_up: usize,
    /// What there was of these and has not been taken.
    found: VecDeque<Item>,
}

impl Named {
    pub(crate) fn of(places: &Places, mut ids: Vec<String>) -> Self {
        // There is no profile of what can't be an id, and no key to look it up by.
        ids.retain(|id| is_usable_id(id));
        ids.sort_unstable();
        ids.dedup();
        Self { places: places.clone(), ids, looked_up: 0, found: VecDeque::new() }
    }

    async fn read(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        while self.found.is_empty() && self.looked_up < self.ids.len() {
            let next = self.ids.iter().skip(self.looked_up).take(LOOKED_UP_AT_ONCE);
            let keys: Vec<Key> = next.map(|id| self.places.entry(id)).collect();
            let mut patience = Patience::default();
            let items = loop {
                match store.batch_get(&keys).await {
                    Err(error) if error.is_temporary() => patience.wait(error).await?,
                    items => break items?,
                }
            };
            self.looked_up += keys.len();
            self.found.extend(items.into_iter().flatten());
        }
        Ok(())
    }
}
