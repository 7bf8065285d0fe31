//! What can go wrong with profile indexes.

use freshet_store::StoreError;

use crate::hash::Hash;
use crate::{MAX_ANSWER_BYTES, MAX_BATCH, MAX_FILTER_VALUE_BYTES, MAX_FILTERS};

/// A definition that no index can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index has {filters} filters, at most {MAX_FILTERS} are allowed")]
pub struct ShapeError {
    /// How many different filters it names.
    pub filters: usize,
}

/// Why a refresh ended. What it wrote until then is whole, and the next one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError<E> {
    /// The rows could not be had.
    #[error("the rows of the index can't be read")]
    Rows(#[source] E),
    /// A row's id comes before the one of the row before it.
    #[error("the rows are not in the order of their ids: {id:?} came after {previous:?}")]
    OutOfOrder {
        /// The id of the row before.
        previous: String,
        /// The id that should have come earlier.
        id: String,
    },
    /// A row's id is none of those that were said to have changed.
    #[error("a row came for {id:?}, which was not said to have changed")]
    Unasked {
        /// The id.
        id: String,
    },
    /// A row's attributes are not one JSON object.
    #[error("the attributes of profile {id:?} are not a JSON object")]
    Attributes {
        /// Whose they are.
        id: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// Another refresh of the index began, and this one stopped.
    #[error("another refresh of the index has begun")]
    Superseded,
    /// The store can't be read or written, or something else than a refresh wrote to it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<E> RefreshError<E> {
    /// Whether the same refresh may succeed later; for the rows, their source says.
    #[must_use]
    pub fn is_temporary(&self, rows: impl FnOnce(&E) -> bool) -> bool {
        match self {
            Self::Rows(source) => rows(source),
            Self::Store(source) => source.is_temporary(),
            Self::Superseded => true,
            Self::OutOfOrder { .. } | Self::Unasked { .. } | Self::Attributes { .. } => false,
        }
    }
}

/// Why profiles can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No refresh of the index has succeeded yet.
    #[error("the index has not been built yet; its first refresh makes it")]
    NotBuilt,
    /// The index has no such filter.
    #[error("{field:?} is not a filter of the index, which has {known}{hint}")]
    UnknownFilter {
        /// What was asked for.
        field: String,
        /// The filters that there are, in words.
        known: String,
        /// The nearest of them, in words.
        hint: String,
    },
    /// A filter's value is longer than any that is kept.
    #[error("the value of filter {field:?} has {bytes} bytes, at most {MAX_FILTER_VALUE_BYTES} are allowed")]
    LongFilterValue {
        /// Whose value it is.
        field: String,
        /// Its length.
        bytes: usize,
    },
    /// More filters than an index can have.
    #[error("{count} filters were given, at most {MAX_FILTERS} are allowed")]
    TooManyFilters {
        /// How many.
        count: usize,
    },
    /// More profiles than one call may ask for.
    #[error("{count} ids were given, at most {MAX_BATCH} are allowed")]
    TooManyIds {
        /// How many.
        count: usize,
    },
    /// The profiles that were asked for are too large together.
    #[error("the profiles have more than {MAX_ANSWER_BYTES} bytes together; ask for fewer at once")]
    AnswerTooLarge,
    /// The store can't be read, or something else than a refresh wrote to it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is stored is not what a refresh writes. The error goes to logs, where an id, which names a person, must not stand: its hash is
/// enough to find the profile by.
pub(crate) fn corrupt(what: &str, id: &str) -> StoreError {
    let hash = Hash::of(id.as_bytes());
    let context = format!("the {what} of the profile whose id has the SHA-256 {hash}… is not as a refresh writes it");
    StoreError::Corrupt { context, source: None }
}

impl ReadError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Store(source) => source.is_temporary(),
            _ => false,
        }
    }
}
