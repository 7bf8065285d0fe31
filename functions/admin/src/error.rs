//! What the caller is told: all that is wrong with what it sent; of our own failures, no more than whether to try
//! again. The cause of those goes to the log.

use std::time::Duration;

use freshet_access::AccessError;
use freshet_catalog::{CatalogError, FileProblems};
use freshet_http::{Problem, ProblemItem};
use freshet_model::Problems;

/// When to try again after the store could not be reached.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// 400 with everything that is wrong.
pub(crate) fn of_problems(problems: Problems) -> Problem {
    let items: Vec<ProblemItem> = problems
        .0
        .into_iter()
        .map(|problem| ProblemItem {
            index: None,
            field: (!problem.path.is_empty()).then_some(problem.path),
            message: problem.message,
        })
        .collect();
    not_right(items)
}

/// 400 with everything that is wrong, each with line and column.
pub(crate) fn of_file(problems: FileProblems) -> Problem {
    let items: Vec<ProblemItem> = problems
        .0
        .into_iter()
        .map(|problem| ProblemItem {
            index: None,
            field: (!problem.path.is_empty()).then_some(problem.path),
            message: format!("line {}, column {}: {}", problem.line, problem.column, problem.message),
        })
        .collect();
    not_right(items)
}

fn not_right(items: Vec<ProblemItem>) -> Problem {
    let detail = match items.len() {
        1 => "one thing is not right, so nothing was changed".to_owned(),
        count => format!("{count} things are not right, so nothing was changed"),
    };
    Problem::bad_request(detail).with_errors(items)
}

/// What the catalog's refusal means to the caller.
pub(crate) fn of_catalog(error: CatalogError) -> Problem {
    match error {
        CatalogError::Refused(problems) => of_problems(problems),
        CatalogError::NotFound { .. } => Problem::not_found(error.to_string()),
        CatalogError::InUse { .. } | CatalogError::Conflict => Problem::conflict(error.to_string()),
        CatalogError::PreconditionFailed { .. } => Problem::precondition_failed(error.to_string()),
        CatalogError::Store { .. }
        | CatalogError::Unavailable { .. }
        | CatalogError::Undecided { .. }
        | CatalogError::Corrupt { .. } => of_failure(&error, error.is_temporary()),
    }
}

/// What the refusal of `access` means to an admin.
pub(crate) fn of_access(error: AccessError) -> Problem {
    match error {
        AccessError::Catalog(error) => of_catalog(error),
        AccessError::NoSuchKey { .. } => Problem::not_found(error.to_string()),
        AccessError::Conflict => Problem::conflict(error.to_string()),
        other => of_failure(&other, other.is_temporary()),
    }
}

/// 503 where it may come back, else 500; the cause goes to the log.
pub(crate) fn of_failure(error: &(dyn std::error::Error + 'static), is_temporary: bool) -> Problem {
    if is_temporary {
        tracing::warn!(error, "an admin call can't be answered at the moment");
        Problem::unavailable("what is needed for this can't be reached at the moment; try again", RETRY_AFTER)
    } else {
        tracing::error!(error, "an admin call failed");
        Problem::internal()
    }
}
