//! What the caller is told: all that is wrong with what it sent; of our own failures, no more than whether to try again.

use std::time::Duration;

use freshet_catalog::CatalogError;
use freshet_http::Problem;
use freshet_profile::ReadError;

/// When to try again after the store could not be reached.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// When to ask again for an index that is about to be built.
const RETRY_BUILT: Duration = Duration::from_secs(10);

/// 503 where the store may come back, else 500.
pub(crate) fn of_catalog(error: &CatalogError) -> Problem {
    of_failure(error, error.is_temporary())
}

/// By meaning: 400 for what was asked, 413 for too much of it, 503 and 500 for what fails on our side.
pub(crate) fn of_read(error: &ReadError) -> Problem {
    match error {
        ReadError::NotBuilt => Problem::unavailable(error.to_string(), RETRY_BUILT),
        ReadError::UnknownFilter { .. }
        | ReadError::LongFilterValue { .. }
        | ReadError::TooManyFilters { .. }
        | ReadError::TooManyIds { .. } => Problem::bad_request(error.to_string()),
        ReadError::AnswerTooLarge => Problem::too_large(error.to_string()),
        ReadError::Store(source) => of_failure(source, source.is_temporary()),
    }
}

/// The cause goes to the log.
pub(crate) fn of_failure(error: &(dyn std::error::Error + 'static), is_temporary: bool) -> Problem {
    if is_temporary {
        tracing::warn!(error, "profiles can't be read at the moment");
        Problem::unavailable("profiles can't be read at the moment; try again", RETRY_AFTER)
    } else {
        tracing::error!(error, "profiles can't be read");
        Problem::internal()
    }
}
