//! What can go wrong with runs.

use freshet_store::StoreError;

/// What went wrong with a run's record.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another runner has taken the run over, or it has ended: whoever held it stops.
    #[error("the run's lease was lost to another runner")]
    LeaseLost,
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RunError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::LeaseLost => false,
            Self::Store(source) => source.is_temporary(),
        }
    }
}

/// What is stored is not what this crate writes.
pub(crate) fn corrupt(what: &str, source: serde_json::Error) -> RunError {
    StoreError::Corrupt { context: what.to_owned(), source: Some(source.into()) }.into()
}
