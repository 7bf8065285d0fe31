//! What the caller is told: of its body, all that is wrong with it; of what ingest needs and fails, no more than whether to try
//! again. The cause of that goes to the log.

use freshet_catalog::CatalogError;
use freshet_decode::{BadRecord, DecompressError, SplitError};
use freshet_http::{Problem, ProblemItem, grouped};
use freshet_queue::QueueError;

use crate::limits::RETRY_AFTER;

/// 503 where the store may come back, else 500.
pub(crate) fn of_catalog(error: &CatalogError) -> Problem {
    if error.is_temporary() {
        tracing::warn!(error = error as &dyn std::error::Error, "the stream can't be looked up at the moment");
        Problem::unavailable("the stream can't be looked up at the moment; nothing was queued", RETRY_AFTER)
    } else {
        tracing::error!(error = error as &dyn std::error::Error, "the stream can't be looked up");
        Problem::internal()
    }
}

/// 503 where the queue may come back, else 500. Some records may be queued; none is acknowledged.
pub(crate) fn of_queue(error: &QueueError) -> Problem {
    if error.is_temporary() {
        tracing::warn!(error = error as &dyn std::error::Error, "the records can't be queued at the moment");
        not_acknowledged()
    } else {
        tracing::error!(error = error as &dyn std::error::Error, "the records can't be queued");
        Problem::internal()
    }
}

/// 503: the queue did not say in time that it has the records.
pub(crate) fn not_acknowledged() -> Problem {
    Problem::unavailable("the queue did not acknowledge the records; send the request again", RETRY_AFTER)
}

/// 413 where it becomes too large, 400 where it is not what its encoding says.
pub(crate) fn of_decompression(error: &DecompressError) -> Problem {
    match error {
        DecompressError::TooLarge { limit } => Problem::too_large(format!(
            "the body has more than {} bytes after decompression, the most that a request may have",
            grouped(*limit)
        )),
        DecompressError::Malformed { .. } => Problem::bad_request(error.to_string()),
    }
}

/// 413 where there are too many or too large records, else 400; every bad record listed by index.
pub(crate) fn of_splitting(error: SplitError) -> Problem {
    let too_large = error.is_too_large();
    let (detail, errors) = match error {
        SplitError::Empty { .. } => (error.to_string(), Vec::new()),
        SplitError::TooManyRecords { limit } => {
            (format!("the body has more than {} records, the most that a request may have", grouped(limit)), Vec::new())
        }
        SplitError::BadRecords(bad) => {
            let count = bad.listed.len() + bad.more;
            let listed = match bad.more {
                0 => String::new(),
                _ => format!("; the first {} are listed", bad.listed.len()),
            };
            let plural = if count == 1 { "record is" } else { "records are" };
            let detail = format!("{} {plural} not right, so none was queued{listed}", grouped(count));
            (detail, bad.listed.iter().map(item).collect())
        }
    };
    let problem = if too_large { Problem::too_large(detail) } else { Problem::bad_request(detail) };
    problem.with_errors(errors)
}

fn item(bad: &BadRecord) -> ProblemItem {
    let message = format!("record {} {}", bad.index, bad.problem);
    ProblemItem { index: Some(bad.index as u64), field: None, message }
}
