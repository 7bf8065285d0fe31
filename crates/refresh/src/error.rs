//! Why a table or an index could not be made anew.

use freshet_catalog::CatalogError;
use freshet_database::DatabaseError;
use freshet_profile::{RefreshError, ShapeError};
use freshet_query::QueryError;
use freshet_runs::RunError;
use freshet_store::StoreError;
use freshet_table::{ReplaceError, TableError};

/// Why a run, or one of its steps, failed. Messages are for those who define and run; sources are for the log.
#[derive(Debug, thiserror::Error)]
pub enum RefreshFailure {
    /// The SELECT can't be run, or failed on the way.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A table that it reads can't be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The result has a column that a table can't have.
    #[error("{message}")]
    Column {
        /// Which, and what would be right.
        message: String,
    },
    /// The new content can't be written.
    #[error("the table can't be written{}", at_the_moment(source.is_temporary()))]
    Table {
        /// Why.
        #[source]
        source: TableError,
    },
    /// The definition is none that an index can have.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The profiles can't be written.
    #[error("the profiles can't be written{}", at_the_moment(*is_temporary))]
    Profiles {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether trying again may help.
        is_temporary: bool,
    },
    /// Another refresh of the index has begun.
    #[error("another refresh of the index has begun")]
    Superseded,
    /// What is to be run can't be looked up.
    #[error("the definitions can't be read at the moment: run it again")]
    Definitions(#[from] CatalogError),
    /// What is run is no longer there.
    #[error("there is no {what} any more")]
    Gone {
        /// Its kind and name.
        what: String,
    },
    /// The run's record can't be written, or is another runner's now.
    #[error("the run can't be recorded")]
    Record(#[from] RunError),
}

fn at_the_moment(is_temporary: bool) -> &'static str {
    if is_temporary { " at the moment: run it again" } else { "" }
}

impl RefreshFailure {
    /// Of the store of profiles.
    pub(crate) fn of_store(error: StoreError) -> Self {
        RefreshError::<QueryError>::Store(error).into()
    }

    /// Whether the same may succeed later without anything being changed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Query(error) => matches!(error, QueryError::Unavailable { .. } | QueryError::Timeout { .. }),
            Self::Database(error) => error.is_temporary(),
            Self::Table { source } => source.is_temporary(),
            Self::Profiles { is_temporary, .. } => *is_temporary,
            Self::Definitions(error) => error.is_temporary(),
            Self::Record(error) => error.is_temporary(),
            Self::Superseded => true,
            Self::Column { .. } | Self::Shape(_) | Self::Gone { .. } => false,
        }
    }
}

impl From<ReplaceError<QueryError>> for RefreshFailure {
    fn from(error: ReplaceError<QueryError>) -> Self {
        match error {
            ReplaceError::Rows(error) => Self::Query(error),
            ReplaceError::Table(source) => Self::Table { source },
        }
    }
}

impl From<RefreshError<QueryError>> for RefreshFailure {
    fn from(error: RefreshError<QueryError>) -> Self {
        match error {
            RefreshError::Rows(error) => Self::Query(error),
            RefreshError::Superseded => Self::Superseded,
            other => Self::Profiles { is_temporary: other.is_temporary(|_| false), source: other.into() },
        }
    }
}
