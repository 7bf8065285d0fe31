//! From a query's rows to an HTTP answer: whole, streamed as they are made, or put to the files and linked to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use freshet_http::Problem;
use freshet_model::{ResourceName, TenantId};
use freshet_query::{Encoded, Format, QueryError, Rows, Summary};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use metrics::counter;
use tokio::time::timeout_at;
use tracing::Span;

use crate::QueryContext;
use crate::admission::Present;
use crate::error;
use crate::handler::Deadline;
use crate::spool::{SpoolError, Spooled};

/// The time of the tables' versions.
const AS_OF: HeaderName = HeaderName::from_static("x-as-of");
/// How many rows the answer has, where that is known before it is sent.
const ROW_COUNT: HeaderName = HeaderName::from_static("x-row-count");
/// Whether the query has more rows than its limit, where that is known before the answer is sent.
const TRUNCATED: HeaderName = HeaderName::from_static("x-truncated");
/// Bytes of a streamed answer that are made before its status is sent: so much of a query that fails is still answered with a
/// problem, and an answer that isn't larger is sent whole.
const HEAD_BYTES: usize = 256 << 10;

/// Whose answer it is.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) tenant: TenantId,
    pub(crate) database: ResourceName,
    pub(crate) format: Format,
    /// Held until the answer was sent.
    pub(crate) place: Present,
}

/// Answers with the rows of a query.
pub(crate) async fn send(
    context: &QueryContext,
    rows: Rows,
    asker: Asker,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let as_of = rows.as_of;
    if asker.format.is_streamed() && context.gateway_bytes.is_none() {
        return stream(rows.encode(asker.format, None), as_of, asker, deadline).await;
    }
    let answer = rows.encode(asker.format, Some(context.answer_bytes));
    let spooled = Spooled::collect(answer, &context.spool_directory).await.map_err(|failure| match failure {
        SpoolError::Query(refusal) => deadline.explain(&refusal),
        SpoolError::File(failure) => error::of_spool(&failure),
    })?;
    let summary = spooled.summary;
    asker.count(summary);
    let headers = headers(asker.format, as_of, summary);
    match (&context.stored_answers, context.gateway_bytes) {
        (Some(stored), Some(most)) if !fits(asker.format, &spooled, most) => {
            let put = stored.put(&asker.tenant, asker.format, spooled);
            let put = timeout_at(deadline.at.into(), put).await.map_err(|_elapsed| deadline.passed())?;
            let url = put.map_err(|failure| error::of_stored_answer(&failure))?;
            let location = HeaderValue::from_str(url.as_str()).map_err(|_| Problem::internal())?;
            let mut response = (StatusCode::SEE_OTHER, headers).into_response();
            response.headers_mut().remove(CONTENT_TYPE);
            response.headers_mut().insert(LOCATION, location);
            Ok(response)
        }
        _ => {
            let length = HeaderValue::from(spooled.bytes());
            let mut response = (headers, spooled.into_body(asker.place)).into_response();
            response.headers_mut().insert(CONTENT_LENGTH, length);
            Ok(response)
        }
    }
}

/// Sends the first bytes of an answer with all that is known then, and the rest as it is made.
async fn stream(mut answer: Encoded, as_of: Timestamp, asker: Asker, deadline: Deadline) -> Result<Response, Problem> {
    let (mut head, mut bytes) = (Vec::new(), 0);
    while bytes < HEAD_BYTES {
        match answer.next().await {
            Some(Ok(piece)) => {
                bytes += piece.len();
                head.push(piece);
            }
            Some(Err(refusal)) => return Err(deadline.explain(&refusal)),
            None => break,
        }
    }
    let summary = answer.summary();
    let headers = headers(asker.format, as_of, summary);
    if summary.is_some() {
        asker.count(summary);
        return Ok((headers, Body::from(head.concat())).into_response());
    }
    let body = Streamed { head: head.into_iter(), rest: answer, asker, started: Instant::now(), span: Span::current() };
    Ok((headers, Body::from_stream(body)).into_response())
}

fn headers(format: Format, as_of: Timestamp, summary: Option<Summary>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if let Ok(as_of) = HeaderValue::try_from(format!("{as_of:.6}")) {
        headers.insert(AS_OF, as_of);
    }
    if let Some(summary) = summary {
        headers.insert(ROW_COUNT, HeaderValue::from(summary.rows));
        headers.insert(TRUNCATED, HeaderValue::from_static(if summary.truncated { "true" } else { "false" }));
    }
    headers
}

impl Asker {
    fn count(&self, summary: Option<Summary>) {
        let rows = summary.map_or(0, |summary| summary.rows);
        Span::current().record("records", rows);
        let labels = [("tenant", self.tenant.to_string()), ("database", self.database.to_string())];
        counter!("freshet_query_rows_total", &labels).increment(rows as u64);
    }
}

/// The body of an answer whose end is not made yet. Where it fails, so does the body: the connection breaks, and nobody takes
/// what came for the whole.
struct Streamed {
    head: std::vec::IntoIter<Bytes>,
    rest: Encoded,
    asker: Asker,
    started: Instant,
    /// Of the request: its own line is in the log already.
    span: Span,
}

impl Stream for Streamed {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let streamed = &mut *self;
        if let Some(piece) = streamed.head.next() {
            return Poll::Ready(Some(Ok(piece)));
        }
        streamed.rest.poll_next_unpin(context).map(|next| match next {
            Some(Ok(piece)) => Some(Ok(piece)),
            Some(Err(error)) => {
                streamed.failed(&error);
                Some(Err(io::Error::other("the query failed after a part of its answer was sent")))
            }
            None => {
                streamed.ended();
                None
            }
        })
    }
}

impl Streamed {
    fn failed(&self, error: &QueryError) {
        let _entered = self.span.enter();
        error::log_broken(error);
        counter!("freshet_query_broken_answers_total").increment(1);
    }

    fn ended(&self) {
        let summary = self.rest.summary();
        let (rows, truncated) = summary.map_or((0, false), |summary| (summary.rows, summary.truncated));
        let _entered = self.span.enter();
        self.asker.count(summary);
        let milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(rows, truncated, milliseconds, "answer streamed");
    }
}

/// Whether an answer fits into the body of a Lambda event: there, text is a string of JSON, and the rest base64.
fn fits(format: Format, answer: &Spooled, most: u64) -> bool {
    match (format, answer.in_memory()) {
        (Format::Json | Format::Csv, Some(pieces)) if answer.bytes() <= most => {
            pieces.iter().map(|piece| bytes_in_string(piece)).sum::<u64>() <= most
        }
        _ => answer.bytes().div_ceil(3) * 4 <= most,
    }
}

fn bytes_in_string(piece: &[u8]) -> u64 {
    let escaped = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    piece.iter().map(escaped).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_as_a_string_of_json_has_them() {
        let text = "a \"quoted\"\n\r\t\u{8}\u{c}\u{1}\u{1f} \\ 🦀\u{7f}";
        let counted = bytes_in_string(text.as_bytes());
        assert_eq!(counted, serde_json::to_string(text).unwrap().len() as u64 - 2);
    }
}
