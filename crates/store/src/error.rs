//! What can go wrong with a store.

use crate::Key;

/// Any cause from the library beneath.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A condition did not hold; nothing was written.
    #[error("the item {}/{} is not as the write expected", .key.partition, .key.sort)]
    Conflict {
        /// The item whose condition did not hold.
        key: Key,
    },
    /// The store can't be reached or is overloaded; trying again later may succeed. A write may have happened.
    #[error("the store is not available: {context}")]
    Unavailable {
        /// What was tried.
        context: String,
        /// Why it failed.
        #[source]
        source: Source,
    },
    /// The request can't succeed as it is: a key or value over its limit, a missing table, missing permission.
    #[error("the store refused: {context}")]
    Refused {
        /// What was tried, and what is wrong with it.
        context: String,
        /// Why it failed, if a library said so.
        #[source]
        source: Option<Source>,
    },
    /// What is stored can't be read.
    #[error("what is stored can't be read: {context}")]
    Corrupt {
        /// What was read.
        context: String,
        /// Why it failed, if a library said so.
        #[source]
        source: Option<Source>,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
