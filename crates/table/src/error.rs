//! What can go wrong with a table.

use std::error::Error;

use datafusion::error::DataFusionError;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::TransactionError;

type Source = Box<dyn Error + Send + Sync>;

/// Why a table could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Other writers won every race for the next version. Nothing was written; the same call may be made again.
    #[error("table {path}: lost {attempts} races for the next version to other writers")]
    Conflict {
        /// Where the table lies.
        path: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The files could not be reached, or something around them failed. Whether a commit took place is found out by
    /// the next call; the same call may be made again.
    #[error("{context}")]
    Unavailable {
        /// What was being done.
        context: String,
        /// Why it failed.
        source: Source,
    },
    /// The table has other columns, another key or another order than asked for, and they can't be changed in place.
    #[error(
        "table {path}: {problem}; a table's columns can only be added to: make a new table on the same stream with what you need"
    )]
    SchemaMismatch {
        /// Where the table lies.
        path: String,
        /// The column that differs.
        column: String,
        /// In what.
        problem: String,
    },
    /// The table was not made by Freshet, and is only read.
    #[error("table {path} was not made by freshet: it can be read, not written")]
    NotOurs {
        /// Where the table lies.
        path: String,
    },
    /// The table uses features of Delta that this engine doesn't know.
    #[error("{context}: the table uses features that are not supported")]
    Unsupported {
        /// What was being done.
        context: String,
        /// Which features.
        source: Source,
    },
    /// The table's log or a file that it names is missing or can't be understood.
    #[error("{context}: the table is damaged")]
    Corrupt {
        /// What was being done.
        context: String,
        /// What was found.
        source: Source,
    },
    /// The version that was asked for is not there, or no longer.
    #[error("table {path} has no {asked}: it can be read from version {first} to {newest}")]
    NoVersion {
        /// Where the table lies.
        path: String,
        /// What was asked for: a number or a time.
        asked: String,
        /// The oldest version that is kept.
        first: u64,
        /// The newest.
        newest: u64,
    },
    /// The engine underneath refused the work.
    #[error("{context}")]
    Engine {
        /// What was being done.
        context: String,
        /// Why it was refused.
        source: Source,
    },
    /// The caller's rows don't fit the table or their own description.
    #[error("table {path}: {problem}")]
    BadSlice {
        /// Where the table lies.
        path: String,
        /// What is wrong with them.
        problem: String,
    },
    /// The path of a table is not one.
    #[error("{path:?} is not the path of a table: names of letters, digits, '.', '_' and '-', separated by '/'")]
    BadPath {
        /// What was given.
        path: String,
    },
}

impl TableError {
    /// Whether the same call may succeed later without anything being changed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Unavailable { .. })
    }

    /// Whether it comes from a file that isn't there.
    pub(crate) fn is_of_missing_file(&self) -> bool {
        let mut cause: Option<&(dyn Error + 'static)> = self.source();
        while let Some(error) = cause {
            if matches!(error.downcast_ref(), Some(object_store::Error::NotFound { .. })) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Sorts an error of the engine underneath by its meaning.
    pub(crate) fn from_delta(context: impl Into<String>, error: DeltaTableError) -> Self {
        let context = context.into();
        if let DeltaTableError::Transaction {
            source: TransactionError::UnsupportedTableFeatures(_) | TransactionError::TableFeaturesRequired(_),
        } = error
        {
            return Self::Unsupported { context, source: error.into() };
        }
        // The engine turns failed listings into bare text: what may be the network's fault is taken for it.
        if reachability(&error).unwrap_or(matches!(error, DeltaTableError::Generic(_))) {
            return Self::Unavailable { context, source: error.into() };
        }
        match error {
            DeltaTableError::InvalidJsonLog { .. }
            | DeltaTableError::InvalidStatsJson { .. }
            | DeltaTableError::MetadataError(_)
            | DeltaTableError::ObjectStore { .. }
            | DeltaTableError::Parquet { .. }
            | DeltaTableError::KernelError(_)
            | DeltaTableError::NoSchema => Self::Corrupt { context, source: error.into() },
            other => Self::Engine { context, source: other.into() },
        }
    }

    /// Sorts an error of the object store about a file that the log names: if it is missing, the table is damaged, or the version
    /// is older than what was kept.
    pub(crate) fn of_named_file(context: impl Into<String>, error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Corrupt { context: context.into(), source: error.into() },
            other => Self::from_files(context, other),
        }
    }

    /// Sorts an error of a query over a table's own files by its meaning.
    pub(crate) fn from_query(context: impl Into<String>, error: DataFusionError) -> Self {
        Self::from_delta(context, DeltaTableError::from(error))
    }

    /// What arrow could not do with rows of a table.
    pub(crate) fn of_rows(context: impl Into<String>, error: impl Into<Source>) -> Self {
        Self::Engine { context: context.into(), source: error.into() }
    }

    /// Sorts an error of the object store by its meaning.
    pub(crate) fn from_files(context: impl Into<String>, error: object_store::Error) -> Self {
        Self::Unavailable { context: context.into(), source: error.into() }
    }
}

/// Whether the compare-and-swap on the version was lost, or looks as if it was.
pub(crate) fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::VersionAlreadyExists(_)
                    | TransactionError::MaxCommitAttempts(_)
                    | TransactionError::CommitConflict(_)
            }
    )
}

/// Whether the files could not be reached (`Some(true)`) or were, and the fault is theirs (`Some(false)`).
fn reachability(error: &DeltaTableError) -> Option<bool> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(files) = error.downcast_ref::<object_store::Error>() {
            return Some(!matches!(files, object_store::Error::NotFound { .. }));
        }
        // The kernel doesn't give these as its source.
        match error.downcast_ref::<delta_kernel::Error>() {
            Some(
                delta_kernel::Error::ObjectStore(_) | delta_kernel::Error::Reqwest(_) | delta_kernel::Error::IOError(_),
            ) => {
                return Some(true);
            }
            Some(delta_kernel::Error::FileNotFound(_)) => return Some(false),
            _ => {}
        }
        if error.is::<std::io::Error>() {
            return Some(true);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(error: object_store::Error) -> DeltaTableError {
        DeltaTableError::ObjectStore { source: error }
    }

    #[test]
    fn a_store_out_of_reach_is_temporary_and_a_missing_file_is_not() {
        let lost = files(object_store::Error::Generic { store: "S3", source: "connection reset".into() });
        assert!(TableError::from_delta("reading", lost).is_temporary());
        let missing = files(object_store::Error::NotFound { path: "part-1".to_owned(), source: "404".into() });
        let error = TableError::from_delta("reading", missing);
        assert!(matches!(error, TableError::Corrupt { .. }), "{error:?}");
    }

    #[test]
    fn what_the_kernel_could_not_reach_is_temporary() {
        let lost = object_store::Error::Generic { store: "S3", source: "connection reset".into() };
        let error = DeltaTableError::KernelError(delta_kernel::Error::ObjectStore(lost));
        assert!(TableError::from_delta("reading", error).is_temporary());
        let error = DeltaTableError::KernelError(delta_kernel::Error::MissingMetadata);
        assert!(matches!(TableError::from_delta("reading", error), TableError::Corrupt { .. }));
    }

    #[test]
    fn a_feature_that_is_not_known_is_named() {
        let error = DeltaTableError::Transaction { source: TransactionError::UnsupportedTableFeatures(Vec::new()) };
        assert!(matches!(TableError::from_delta("opening", error), TableError::Unsupported { .. }));
    }
}
