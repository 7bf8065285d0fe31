//! The body of a query.

use std::time::Duration;

use freshet_http::Problem;
use freshet_query::{MAX_ROWS, Parameters, QueryError};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error;

/// Rows of an answer where the request names no limit.
const DEFAULT_ROWS: usize = 1_000;
/// Time of a query where the request names none: what a gateway allows.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(25);

/// What the answer holds of what was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// What the tables hold.
    Committed,
}

/// One query.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// The database whose tables the query names.
    #[schema(example = "retail")]
    pub database: String,
    /// One SELECT; WITH and set operations are allowed. At most 100,000 bytes.
    #[schema(example = "SELECT email, sum(order_revenue) AS spent FROM orders WHERE city = $1 GROUP BY email")]
    pub sql: String,
    /// Values of the query's parameters: an array for `$1` or `?`, an object for `$name`. Each is a string, a number, a
    /// boolean or null.
    #[schema(value_type = Option<serde_json::Value>, example = json!(["Leipzig"]))]
    pub parameters: Option<Box<RawValue>>,
    /// Most rows of the answer, 1 to 100,000.
    #[schema(default = 1_000)]
    pub limit: Option<u64>,
    /// Most time of the query in milliseconds; at most 25,000 behind a gateway, 300,000 on a server of one's own.
    #[schema(default = 25_000)]
    pub timeout_ms: Option<u64>,
    /// What the answer holds of what was accepted.
    pub consistency: Option<Consistency>,
}

impl SqlRequest {
    pub(crate) fn parameters(&self) -> Result<Parameters, Problem> {
        let given = self.parameters.as_deref().filter(|json| json.get() != "null");
        given
            .map_or_else(|| Ok(Parameters::default()), Parameters::read)
            .map_err(|refusal: QueryError| error::of_query(&refusal))
    }
}

/// What runs a saved query.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedRequest {
    /// Values of the query's parameters, by name: each a string, a number, a boolean or null that its declared type takes.
    #[schema(value_type = Option<serde_json::Value>, example = json!({"email": "ada@example.com"}))]
    pub parameters: Option<Box<RawValue>>,
    /// Most rows of the answer, 1 to 100,000.
    #[schema(default = 1_000)]
    pub limit: Option<u64>,
    /// Most time of the query in milliseconds; at most 25,000 behind a gateway, 300,000 on a server of one's own.
    #[schema(default = 25_000)]
    pub timeout_ms: Option<u64>,
    /// What the answer holds of what was accepted.
    pub consistency: Option<Consistency>,
}

/// Most rows of an answer, from what was asked.
pub(crate) fn limit(asked: Option<u64>) -> Result<usize, Problem> {
    let Some(asked) = asked else { return Ok(DEFAULT_ROWS) };
    usize::try_from(asked)
        .ok()
        .filter(|rows| (1..=MAX_ROWS).contains(rows))
        .ok_or_else(|| Problem::bad_request(format!("limit is {asked}; it is 1 to {MAX_ROWS} rows")))
}

/// Most time of a query, from what was asked.
pub(crate) fn timeout(asked: Option<u64>, longest: Duration) -> Result<Duration, Problem> {
    let Some(asked) = asked else { return Ok(DEFAULT_TIMEOUT.min(longest)) };
    let timeout = Duration::from_millis(asked);
    if asked > 0 && timeout <= longest {
        return Ok(timeout);
    }
    Err(Problem::bad_request(format!("timeout_ms is {asked}; it is 1 to {} ms here", longest.as_millis())))
}
