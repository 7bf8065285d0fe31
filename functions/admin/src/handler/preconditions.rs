//! `If-Match` and `If-None-Match`.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};
use freshet_catalog::{ETag, Precondition};
use freshet_http::Problem;

/// What a request's headers ask to hold: `If-Match` with one `ETag`, `If-None-Match: *`, or neither.
pub(crate) fn of(headers: &HeaderMap) -> Result<Precondition, Problem> {
    match (single(headers, &IF_MATCH)?, single(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(Precondition::None),
        (None, Some("*")) => Ok(Precondition::IfAbsent),
        (None, Some(_)) => {
            Err(Problem::bad_request("the header If-None-Match is not *, the only value that is supported here"))
        }
        (Some(text), None) => {
            let etag: ETag =
                text.parse().map_err(|error| Problem::bad_request(format!("the header If-Match {error}")))?;
            Ok(Precondition::IfMatch(etag))
        }
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("the headers If-Match and If-None-Match contradict each other; send one of them"))
        }
    }
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let shown = if *name == IF_MATCH { "If-Match" } else { "If-None-Match" };
    if values.next().is_some() {
        return Err(Problem::bad_request(format!("the header {shown} is there more than once; send it once")));
    }
    let text = first.to_str();
    let text =
        text.map_err(|_not_text| Problem::bad_request(format!("the header {shown} holds more than visible ASCII")))?;
    Ok(Some(text.trim()))
}
