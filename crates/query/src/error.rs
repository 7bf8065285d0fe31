//! Why a query has no answer.

use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::object_store;
use freshet_sql::{SqlError, capped, in_one_line};

use crate::names::{Spellings, nearest};

/// Why a query has no answer. Messages are for the one who wrote the query; sources are for the log only.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no SELECT, or too complex a one, or its parameters don't fit.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The database has no table of this name.
    #[error("unknown table {name:?}{}", hint(nearest.as_deref()))]
    UnknownTable {
        /// As in the query.
        name: String,
        /// The table that was probably meant.
        nearest: Option<String>,
    },
    /// No table of the query has a column of this name.
    #[error("unknown column {name:?}{}", hint(nearest.as_deref()))]
    UnknownColumn {
        /// As in the query.
        name: String,
        /// The column that was probably meant.
        nearest: Option<String>,
    },
    /// The SELECT can't be planned: an unknown function, types that don't fit, a column that isn't grouped.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
    },
    /// A value of the data makes the query fail: a division by zero, a text that is no number, an overflow.
    #[error("{message}")]
    Data {
        /// What happened.
        message: String,
    },
    /// The query took longer than it may.
    #[error(
        "the query did not end within {} ms: select fewer rows, columns or tables, or filter earlier",
        timeout.as_millis()
    )]
    Timeout {
        /// What it was given.
        timeout: Duration,
    },
    /// The query needs more memory, or more disk to spill to, than it may take.
    #[error(
        "the query needs more memory than it may take: filter earlier, group by fewer values, or join on a more selective condition"
    )]
    TooMuchMemory {
        /// What could not be had.
        #[source]
        source: DataFusionError,
    },
    /// One row of the result has more bytes than is written at once.
    #[error("a row of the result is larger than {limit} bytes: select fewer columns, or gather less into one value")]
    RowTooLarge {
        /// Bytes that a row may have.
        limit: u64,
    },
    /// The result has more bytes than an answer may have.
    #[error("the result is larger than {limit} bytes: select fewer columns, or set a smaller limit than {rows} rows")]
    ResultTooLarge {
        /// Bytes that an answer may have.
        limit: usize,
        /// Rows that fit.
        rows: usize,
    },
    /// Files of an older version of a table are gone.
    #[error("an older version of a table that the query asks for is no longer kept: its files were cleaned up")]
    VersionGone {
        /// What is missing.
        #[source]
        source: DataFusionError,
    },
    /// Files could not be read just now. Temporary: try again.
    #[error("the tables can't be read at the moment: try again")]
    Unavailable {
        /// What failed.
        #[source]
        source: DataFusionError,
    },
    /// A defect of ours or of `DataFusion`.
    #[error("the query failed for a reason of the server's own")]
    Internal {
        /// What failed.
        #[source]
        source: DataFusionError,
    },
}

/// What is said of a near name, to be appended to a message.
pub(crate) fn hint(nearest: Option<&str>) -> String {
    nearest.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

impl QueryError {
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Internal { source: DataFusionError::Internal(message.into()) }
    }

    /// What kind of failure is behind it, for the log: the failure's own text may repeat the query's.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let (Self::TooMuchMemory { source }
        | Self::VersionGone { source }
        | Self::Unavailable { source }
        | Self::Internal { source }) = self
        else {
            return "none";
        };
        match source.find_root() {
            DataFusionError::ArrowError(..) => "arrow",
            DataFusionError::ParquetError(_) => "parquet",
            DataFusionError::ObjectStore(_) => "object store",
            DataFusionError::IoError(_) => "io",
            DataFusionError::Internal(_) => "internal",
            DataFusionError::Execution(_) => "execution",
            DataFusionError::ExecutionJoin(_) => "panic or abort",
            DataFusionError::ResourcesExhausted(_) => "resources exhausted",
            DataFusionError::External(_) => "external",
            DataFusionError::Substrait(_) | DataFusionError::Configuration(_) => "configuration",
            _ => "planning",
        }
    }

    /// Tells the meaning of an error of Arrow's over values of a result.
    pub(crate) fn of_arrow(error: ArrowError) -> Self {
        Self::of(DataFusionError::ArrowError(Box::new(error), None), &Spellings::default())
    }

    /// The same of a query that reads older versions of tables: files that are missing were cleaned up.
    pub(crate) fn of_older_versions(error: DataFusionError, spellings: &Spellings) -> Self {
        if is_missing_file(&error) { Self::VersionGone { source: error } } else { Self::of(error, spellings) }
    }

    /// Tells the meaning of an error of `DataFusion`'s. Column names are told in their tables' spelling.
    pub(crate) fn of(error: DataFusionError, spellings: &Spellings) -> Self {
        match meaning(&error) {
            Meaning::Memory => Self::TooMuchMemory { source: error },
            Meaning::Files => Self::Unavailable { source: error },
            Meaning::Defect => Self::Internal { source: error },
            Meaning::Query(message) => Self::Invalid { message: shown(&message) },
            Meaning::Data(message) => Self::Data { message: shown(&message) },
            Meaning::Column(column, known) => Self::UnknownColumn {
                nearest: nearest(&column, known.iter().map(String::as_str)).map(|name| spellings.of_column(name)),
                name: capped(&column),
            },
        }
    }
}

enum Meaning {
    Memory,
    Files,
    Defect,
    /// The SELECT is wrong.
    Query(String),
    /// A value makes it fail.
    Data(String),
    /// An unknown column, and the ones in scope.
    Column(String, Vec<String>),
}

/// The innermost cause decides: what wraps it says where, and may name files.
fn meaning(error: &DataFusionError) -> Meaning {
    match error {
        // What the types of an expression don't allow, some operators report as a defect.
        DataFusionError::Context(rule, inner) if rule == "type_coercion" => match inner.as_ref() {
            DataFusionError::Internal(message) => Meaning::Query(message.clone()),
            _ => meaning(inner),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => meaning(inner),
        DataFusionError::Shared(inner) => meaning(inner),
        DataFusionError::Collection(all) => all.first().map_or(Meaning::Defect, meaning),
        DataFusionError::ArrowError(inner, _) => meaning_of_arrow(inner),
        DataFusionError::SchemaError(inner, _) => meaning_of_schema(inner),
        DataFusionError::ResourcesExhausted(_) => Meaning::Memory,
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => {
            Meaning::Files
        }
        DataFusionError::External(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => meaning(inner),
            None => inner.downcast_ref::<ArrowError>().map_or(Meaning::Files, meaning_of_arrow),
        },
        DataFusionError::SQL(inner, _) => Meaning::Query(inner.to_string()),
        DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => Meaning::Query(message.clone()),
        DataFusionError::Execution(message) => Meaning::Data(message.clone()),
        _ => Meaning::Defect,
    }
}

fn meaning_of_arrow(error: &ArrowError) -> Meaning {
    match error {
        ArrowError::ExternalError(inner) => inner.downcast_ref::<DataFusionError>().map_or(Meaning::Files, meaning),
        ArrowError::IoError(_, source) if is_full(source) => Meaning::Memory,
        ArrowError::IoError(..) | ArrowError::ParquetError(_) | ArrowError::IpcError(_) => Meaning::Files,
        ArrowError::MemoryError(_) | ArrowError::OffsetOverflowError(_) => Meaning::Memory,
        ArrowError::DivideByZero => Meaning::Data("division by zero".to_owned()),
        ArrowError::CastError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::ArithmeticOverflow(message)
        | ArrowError::ParseError(message)
        | ArrowError::InvalidArgumentError(message)
        | ArrowError::JsonError(message) => Meaning::Data(message.clone()),
        _ => Meaning::Defect,
    }
}

fn is_missing_file(error: &DataFusionError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(object_store::Error::NotFound { .. })) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether a query has used up the disk that it may spill to. `DataFusion` tells it by an error's text alone where rows are written to disk
/// as Arrow's format.
fn is_full(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.to_string().contains("The used disk space during the spilling process"))
}

fn meaning_of_schema(error: &SchemaError) -> Meaning {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            Meaning::Column(field.name.clone(), valid_fields.iter().map(|valid| valid.name.clone()).collect())
        }
        SchemaError::AmbiguousReference { field } => Meaning::Query(format!(
            "column {:?} is in more than one table: write the table's name or alias before it",
            field.name
        )),
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Meaning::Query(format!("column {name:?} comes more than once: give each a name of its own with AS"))
        }
    }
}

/// A message of `DataFusion`'s, without the backtrace.
fn shown(message: &str) -> String {
    in_one_line(message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default())
}

pub(crate) fn too_complex(what: String) -> QueryError {
    SqlError::TooComplex { what }.into()
}
