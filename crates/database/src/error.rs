//! Why a table of a database can't be read.

use datafusion::error::DataFusionError;
use freshet_query::TableVersion;
use freshet_table::TableError;

use crate::MAX_FILES;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a table of a database can't be read. Messages are for those who query; sources are for the log only.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A table made by SQL that no run has made yet.
    #[error("table {table} has not been made yet: run the database, as with freshet databases run {database}")]
    NotMade {
        /// Which.
        table: String,
        /// Whose run makes it.
        database: String,
    },
    /// A table has not the version that a query asks for.
    #[error("table {table} can't be read at {version}: {problem}")]
    NoVersion {
        /// Which.
        table: String,
        /// The version, in the query's words.
        version: TableVersion,
        /// What there is instead.
        problem: String,
    },
    /// There is nothing at an external table's location.
    #[error("external table {table} has no {format} files at its location")]
    Missing {
        /// Which.
        table: String,
        /// What was looked for.
        format: &'static str,
    },
    /// An external table's location is none that this deployment reads.
    #[error(
        "external table {table} lies where this deployment may not read: its operator allows prefixes with FRESHET_EXTERNAL_LOCATIONS"
    )]
    NotAllowed {
        /// Which.
        table: String,
    },
    /// An external table has more files than are read.
    #[error("external table {table} has more than {MAX_FILES} files: put them together")]
    TooManyFiles {
        /// Which.
        table: String,
    },
    /// An external table's files are not what its definition says, or use what is not known here.
    #[error("external table {table} can't be read as {format}")]
    Unreadable {
        /// Which.
        table: String,
        /// What it should be.
        format: &'static str,
        /// What is wrong.
        #[source]
        source: Source,
    },
    /// A file could not be read just now. Temporary: try again.
    #[error("table {table} can't be read at the moment")]
    Unavailable {
        /// Which.
        table: String,
        /// What failed.
        #[source]
        source: Source,
    },
    /// One of our own tables can't be opened.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl DatabaseError {
    /// Whether the same may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Table(error) => error.is_temporary(),
            _ => false,
        }
    }

    /// Whether whoever defines or runs the database can mend it.
    #[must_use]
    pub fn is_for_caller(&self) -> bool {
        !matches!(self, Self::Unavailable { .. } | Self::Table(_))
    }

    pub(crate) fn of_files(table: &str, error: object_store::Error) -> Self {
        Self::Unavailable { table: table.to_owned(), source: error.into() }
    }

    /// Of an external Delta table.
    pub(crate) fn of_delta(table: &str, error: TableError) -> Self {
        if error.is_temporary() {
            return Self::Unavailable { table: table.to_owned(), source: error.into() };
        }
        Self::Unreadable { table: table.to_owned(), format: "delta", source: error.into() }
    }

    /// Of reading an external table's files.
    pub(crate) fn of_reading(table: &str, format: &'static str, error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
                Self::Unavailable { table: table.to_owned(), source: error.into() }
            }
            _ => Self::Unreadable { table: table.to_owned(), format, source: error.into() },
        }
    }
}
