//! What the caller is told: of its query, what is wrong with it; of what queries need and fails, no more than whether to
//! try again. The cause of that goes to the log.

use std::io;
use std::time::Duration;

use freshet_catalog::CatalogError;
use freshet_database::DatabaseError;
use freshet_http::Problem;
use freshet_query::QueryError;

/// When to try again after something could not be reached.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// 503 where the store may come back, else 500.
pub(crate) fn of_catalog(error: &CatalogError) -> Problem {
    if error.is_temporary() {
        tracing::warn!(error = error as &dyn std::error::Error, "the database can't be looked up at the moment");
        Problem::unavailable("the database can't be looked up at the moment; try again", RETRY_AFTER)
    } else {
        tracing::error!(error = error as &dyn std::error::Error, "the database can't be looked up");
        Problem::internal()
    }
}

/// 400 where the database's tables are not as they must be, 503 where the files may come back, else 500.
pub(crate) fn of_database(error: &DatabaseError) -> Problem {
    if error.is_for_caller() {
        tracing::warn!(error = error as &dyn std::error::Error, "a table of the database can't be read");
        Problem::bad_request(error.to_string())
    } else if error.is_temporary() {
        tracing::warn!(error = error as &dyn std::error::Error, "a table can't be opened at the moment");
        Problem::unavailable("the tables can't be read at the moment; try again", RETRY_AFTER)
    } else {
        tracing::error!(error = error as &dyn std::error::Error, "a table can't be opened");
        Problem::internal()
    }
}

/// 503: disk may be freed.
pub(crate) fn of_spool(failure: &io::Error) -> Problem {
    tracing::warn!(error = failure as &dyn std::error::Error, "an answer can't be kept until it is sent");
    Problem::unavailable("the answer can't be kept until it is sent at the moment; try again", RETRY_AFTER)
}

/// 503: the files may come back.
pub(crate) fn of_stored_answer(failure: &object_store::Error) -> Problem {
    tracing::warn!(error = failure as &dyn std::error::Error, "a large answer can't be put to the files");
    Problem::unavailable("the answer can't be put to the files at the moment; try again", RETRY_AFTER)
}

/// Tells the log, and nobody else, why an answer broke off.
pub(crate) fn log_broken(error: &QueryError) {
    match error {
        QueryError::Internal { .. } => tracing::error!(kind = error.kind(), "an answer broke off: the query failed"),
        QueryError::Unavailable { .. } | QueryError::TooMuchMemory { .. } => {
            tracing::warn!(kind = error.kind(), reason = %error, "an answer broke off");
        }
        // What a value of the data caused may repeat the value.
        QueryError::Data { .. } => tracing::warn!(reason = "a value of the data", "an answer broke off"),
        _ => tracing::warn!(reason = %error, "an answer broke off"),
    }
}

/// By meaning; of a defect, the log is told the kind only: its text may repeat the query's. 400 for what the query says, 408 and 413 for what it takes, 503 and 500 for what fails on our side.
pub(crate) fn of_query(error: &QueryError) -> Problem {
    let detail = error.to_string();
    match error {
        QueryError::Sql(_)
        | QueryError::UnknownTable { .. }
        | QueryError::UnknownColumn { .. }
        | QueryError::VersionGone { .. }
        | QueryError::Invalid { .. }
        | QueryError::Data { .. } => Problem::bad_request(detail),
        QueryError::Timeout { .. } => Problem::timeout(detail),
        QueryError::TooMuchMemory { .. } | QueryError::RowTooLarge { .. } | QueryError::ResultTooLarge { .. } => {
            Problem::too_large(detail)
        }
        QueryError::Unavailable { .. } => {
            tracing::warn!(error = error as &dyn std::error::Error, "a query could not read its tables");
            Problem::unavailable("the tables can't be read at the moment; try again", RETRY_AFTER)
        }
        QueryError::Internal { .. } => {
            tracing::error!(kind = error.kind(), "a query failed");
            Problem::internal()
        }
    }
}
