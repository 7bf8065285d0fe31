//! What can go wrong with the catalog.

use freshet_model::{Problems, ResourceKind};
use freshet_store::StoreError;
use tokio::task::JoinError;

use crate::resource::singular;

/// What went wrong with the catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The definition, or the set of definitions, can't be taken as it is. Nothing was written.
    #[error("refused: {0}")]
    Refused(Problems),
    /// There is no such resource.
    #[error("there is no {} {name:?}", singular(*.kind))]
    NotFound {
        /// Its kind.
        kind: ResourceKind,
        /// The name that was asked for.
        name: String,
    },
    /// Other resources refer to what was to be deleted. Nothing was written.
    #[error("{} {name:?} can't be deleted: {} refer{} to it", singular(*.kind), .referrers.join(", "), if .referrers.len() == 1 { "s" } else { "" })]
    InUse {
        /// Its kind.
        kind: ResourceKind,
        /// Its name.
        name: String,
        /// Who refers to it: `tables.orders`.
        referrers: Vec<String>,
    },
    /// The resource is not at the state that the caller's [`crate::Precondition`] asks for. Nothing was written.
    #[error("{} {name:?} {state}", singular(*.kind))]
    PreconditionFailed {
        /// Its kind.
        kind: ResourceKind,
        /// Its name.
        name: String,
        /// How it is instead: `exists already`.
        state: &'static str,
    },
    /// Something else of the tenant changed since the plan was made, or keeps changing. Nothing was written; plan
    /// again.
    #[error("the resources of the tenant changed at the same time; nothing was written, try again")]
    Conflict,
    /// The store failed; [`StoreError::is_temporary`] says whether trying again may help.
    #[error("the catalog can't be {action}")]
    Store {
        /// `read` or `written`.
        action: &'static str,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The store did not answer in time, or did not a moment ago; trying again later may succeed.
    #[error("the catalog is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: &'static str,
    },
    /// The change was not decided: the process is about to end, or a defect of ours. Nothing was written.
    #[error("the definitions could not be checked")]
    Undecided {
        /// Why.
        #[source]
        source: JoinError,
    },
    /// What is stored is not a definition that this version understands.
    #[error("the stored definition {key} can't be read: {reason}")]
    Corrupt {
        /// Where it lies.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl CatalogError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Conflict | Self::Unavailable { .. } => true,
            Self::Store { source, .. } => source.is_temporary(),
            Self::Undecided { source } => source.is_cancelled(),
            _ => false,
        }
    }

    pub(crate) fn reading(source: StoreError) -> Self {
        Self::Store { action: "read", source }
    }

    pub(crate) fn writing(source: StoreError) -> Self {
        Self::Store { action: "written", source }
    }
}
