//! What an index was made of, and what a refresh of some of its profiles goes on from.

use freshet_store::{Store, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::encoding::put_text;
use crate::hash::Hash;
use crate::state::{State, StoredState};
use crate::{IndexRef, Shape};

/// What the rows of a refresh are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Accepted records up to this time are in them.
    pub as_of: Timestamp,
    /// The version that they are of, where each is made of the row of its id in one table and of nothing else.
    pub source: Option<Source>,
}

impl From<Timestamp> for Origin {
    fn from(as_of: Timestamp) -> Self {
        Self { as_of, source: None }
    }
}

/// A version of the one table that profiles were made of, each of the row whose key is its id, and how that row was read. Kept with the
/// profiles, in the write that ends their refresh: what it says is so of what the index holds, however a refresh and its run end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    version: u64,
    /// The identity of the commit that made the version: another table, or one that was brought back to an older state, has another there.
    commit: String,
    /// What makes a profile of a row, as a hash.
    reading: String,
}

impl Source {
    /// The version that a commit made. `reading` is all that decides, besides a row, what its profile is: where anything of it is another,
    /// every profile is to be made anew.
    pub fn new<'a>(version: u64, commit: &str, reading: impl IntoIterator<Item = &'a str>) -> Self {
        let mut parts = Vec::new();
        for part in reading {
            put_text(&mut parts, part);
        }
        Self { version, commit: commit.to_owned(), reading: Hash::of(&parts).to_string() }
    }

    /// The number of the version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The identity of the commit that made it.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Whether rows are read in the same way.
    #[must_use]
    pub fn reads_as(&self, other: &Self) -> bool {
        self.reading == other.reading
    }
}

/// What an index holds, if a refresh can go on from there: it serves, it is known what it was made of, and no refresh has begun and not
/// ended since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    refresh: u64,
    generation: u64,
    fingerprint: u64,
    pub(crate) profiles: u64,
    source: Source,
    whole_at: Timestamp,
}

impl Basis {
    /// What the index holds now; none: the next refresh is one of all rows.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn load(store: &dyn Store, index: &IndexRef) -> Result<Option<Self>, StoreError> {
        Ok(Self::of(&StoredState::load(store, index).await?.state))
    }

    pub(crate) fn of(state: &State) -> Option<Self> {
        let serving = state.serving.as_ref()?;
        let generation = &serving.generation;
        if !generation.unfinished.is_empty() {
            return None;
        }
        Some(Self {
            refresh: state.last_refresh,
            generation: generation.number,
            fingerprint: generation.fingerprint,
            profiles: serving.profiles,
            source: serving.source.clone()?,
            whole_at: serving.whole_at?,
        })
    }

    /// What it was made of.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// When it was last made of all rows.
    #[must_use]
    pub fn whole_at(&self) -> Timestamp {
        self.whole_at
    }

    /// Whether it was made by the definition of this shape.
    #[must_use]
    pub fn is_of(&self, shape: &Shape) -> bool {
        self.fingerprint == shape.fingerprint
    }
}
