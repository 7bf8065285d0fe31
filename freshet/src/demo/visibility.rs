//! How long from acknowledged to visible: a second client asks SQL again and again which requests it sees.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::error::CommandError;
use crate::sender::Acknowledged;

/// How long the watcher rests between two looks, so that looking does not take the time of what it watches.
const REST: Duration = Duration::from_millis(100);

/// Milliseconds from a request's acknowledgement to the first answer that holds its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Visible {
    pub(super) p50: u128,
    pub(super) p99: u128,
}

/// Notes when each request is seen first, until told to stop; then looks once more.
pub(super) async fn watch(client: Client, stop: CancellationToken) -> Result<HashMap<String, Instant>, CommandError> {
    let body = json!({"database": "shop", "sql": "SELECT DISTINCT request_id FROM purchases", "limit": 100_000});
    let mut seen = HashMap::new();
    loop {
        let last_look = stop.is_cancelled();
        let answer: Value = client.json(Method::POST, "/query/v0/sql", Some(&body)).await?;
        let now = Instant::now();
        let rows = answer.get("rows").and_then(Value::as_array).into_iter().flatten();
        for request_id in rows.filter_map(|row| row.get(0)?.as_str()) {
            seen.entry(request_id.to_owned()).or_insert(now);
        }
        if last_look {
            return Ok(seen);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(REST) => {}
        }
    }
}

/// The percentiles over all requests. One that was seen before its acknowledgement arrived took no time.
pub(super) fn percentiles(acknowledged: &[Acknowledged], seen: &HashMap<String, Instant>) -> Visible {
    let mut waits: Vec<u128> = acknowledged
        .iter()
        .filter_map(|batch| Some(seen.get(&batch.request_id)?.saturating_duration_since(batch.at).as_millis()))
        .collect();
    waits.sort_unstable();
    let at = |percent: usize| waits.get((waits.len() * percent / 100).min(waits.len().saturating_sub(1))).copied();
    Visible { p50: at(50).unwrap_or(0), p99: at(99).unwrap_or(0) }
}
