//! The one call of ingest.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use freshet_catalog::Stream;
use freshet_decode::{ContentEncoding, SplitLimits, decompress, split_records};
use freshet_http::{Problem, TenantHeader, authorize, grouped, read_body_reserving};
use freshet_model::{Record, RecordHeaders, RequestId, Scope, StreamId, TenantId};
use freshet_queue::Shard;
use metrics::{counter, histogram};
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Span;

use crate::content::Content;
use crate::limits::{MAX_BODY_BYTES, MAX_DECOMPRESSED_BYTES, MAX_RECORD_BYTES, MAX_RECORDS, Reserved};
use crate::{IngestContext, Receipt, error};

/// The records are durably queued; not yet in a table.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Accepted {
    /// The request, as in the header `X-Request-Id` and in the column `request_id` of the tables.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// The stream that they were posted to.
    #[schema(value_type = String, example = "is-2hzqsgX1E")]
    pub stream_id: StreamId,
    /// How many records the request had.
    pub records: usize,
    /// Where in the queue they lie; opaque. A query that sends it back as `after` sees them.
    pub receipt: String,
}

/// Takes records in
///
/// To a stream of JSON: one object or an array of objects (`application/json`), or an object a line (`application/x-ndjson`,
/// `application/jsonl`, `application/x-json-stream`). To a stream of XML: a document in UTF-8 without a DTD (`application/xml`,
/// `text/xml`), which is one record however many rows its elements make. Plain or compressed (`Content-Encoding: gzip` or `zstd`). At
/// most 10,000 records of at most 1,000,000 bytes each, 4 MiB on the wire and 16 MiB after decompression. All or nothing: one bad
/// record refuses the request.
#[utoipa::path(
    post,
    path = "/stream/v0/data/{stream-id}",
    tag = "ingest",
    params(
        ("stream-id" = String, Path, description = "the stream's endpoint", example = "is-2hzqsgX1E"),
        ("X-Amperity-Tenant" = String, Header, description = "the token's tenant; Amperity-Tenant and X-Tenant mean the same"),
        ("X-Request-Id" = Option<String>, Header, description = "1 to 128 of A-Z a-z 0-9 . _ -; else one is made"),
    ),
    request_body(
        content(
            (Vec<serde_json::Map<String, serde_json::Value>> = "application/json"),
            (String = "application/x-ndjson"),
            (String = "application/xml"),
        ),
        description = "the records"
    ),
    responses(
        (status = 202, description = "every record is durably queued", body = Accepted),
        (status = 400, description = "malformed stream id, tenant header or body", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown stream", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "the body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "a limit is exceeded", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "unsupported content", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "over the stream's rate, or too many requests of the tenant at once", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the queue is not available, or too many requests at once", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn ingest(
    State(context): State<Arc<IngestContext>>,
    Path(stream_id): Path<String>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let started = Instant::now();
    let outcome = take_in(&context, &stream_id, request_id, &headers, body).await;
    let status = outcome.as_ref().map_or_else(Problem::status, |_| StatusCode::ACCEPTED);
    let label = status.as_u16().to_string();
    histogram!("freshet_ingest_seconds", "status" => label.clone()).record(started.elapsed());
    match outcome {
        Ok(accepted) => (StatusCode::ACCEPTED, Json(accepted)).into_response(),
        Err(problem) => {
            counter!("freshet_ingest_refusals_total", "status" => label).increment(1);
            problem.into_response()
        }
    }
}

async fn take_in(
    context: &IngestContext,
    stream_id: &str,
    request_id: RequestId,
    headers: &HeaderMap,
    body: Body,
) -> Result<Accepted, Problem> {
    let id = StreamId::parse(stream_id).map_err(|error| Problem::bad_request(error.to_string()))?;
    let (tenant, stream) = allowed_stream(context, &id, headers).await?;
    let declared = Content::of(headers, stream.definition.format)?;
    // Before the body is read: a caller over its rate costs no more than this.
    check_rate(context, &tenant, &stream, 0)?;

    let Payloads { payloads, reserved } = read_records(context, &tenant, declared, body).await?;
    let records = payloads.len();
    let bytes: usize = payloads.iter().map(Bytes::len).sum();
    check_rate(context, &tenant, &stream, records)?;

    let receipt = append(context, &tenant, &stream, &request_id, payloads).await?;
    drop(reserved);
    Span::current().record("records", records);
    let labels = [("tenant", tenant.to_string()), ("stream", stream.name.to_string())];
    counter!("freshet_ingest_records_total", &labels).increment(records as u64);
    counter!("freshet_ingest_bytes_total", &labels).increment(bytes as u64);
    Ok(Accepted { request_id, stream_id: id, records, receipt: receipt.to_string() })
}

/// The stream of an id, if the caller may write to it.
async fn allowed_stream(
    context: &IngestContext,
    id: &StreamId,
    headers: &HeaderMap,
) -> Result<(TenantId, Arc<Stream>), Problem> {
    let now = context.clock.now();
    let principal = authorize(headers, &context.access, now, Scope::StreamsWrite, TenantHeader::Required).await?;
    let catalog = context.catalog.snapshot(&principal.tenant).await.map_err(|error| error::of_catalog(&error))?;
    let stream = catalog
        .stream_by_id(id)
        .map(Arc::clone)
        .ok_or_else(|| Problem::not_found(format!("tenant {} has no stream {id}", principal.tenant)))?;
    Span::current().record("resource", tracing::field::display(&stream.name));
    if !principal.may_write(stream.name.as_str()) {
        return Err(Problem::forbidden(format!("the token doesn't allow writing to stream {id} ({})", stream.name)));
    }
    Ok((principal.tenant.clone(), stream))
}

fn check_rate(context: &IngestContext, tenant: &TenantId, stream: &Stream, records: usize) -> Result<(), Problem> {
    let Some(rate) = stream.definition.rate_limit else {
        return Ok(());
    };
    context.rates.take(tenant, &stream.id, rate, records, context.clock.now()).map_err(|wait| {
        let most = usize::try_from(rate).map_or_else(|_too_large| rate.to_string(), grouped);
        Problem::too_many_requests(
            format!("stream {} takes {most} records a second; nothing of this request was queued", stream.id),
            wait,
        )
    })
}

/// A request's records and the memory that they hold.
struct Payloads {
    payloads: Vec<Bytes>,
    reserved: Reserved,
}

async fn read_records(
    context: &IngestContext,
    tenant: &TenantId,
    declared: Content,
    body: Body,
) -> Result<Payloads, Problem> {
    let mut reserved = context.memory.of_request(tenant)?;
    // Twice: the buffer that the body grows in has up to as much room again; later the body and the queue's copy.
    let wire = read_body_reserving(body, MAX_BODY_BYTES, |bytes| reserved.grow(2 * bytes)).await?;

    let parser = Arc::clone(&context.parsers).acquire_owned().await.map_err(|_closed| Problem::internal())?;
    // Megabytes of text take milliseconds. What is held goes along: this runs to its end even if the client leaves.
    let parsed = spawn_blocking(move || {
        let _parser = parser;
        split(declared, &wire, reserved)
    });
    parsed.await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "splitting a body failed");
        Problem::internal()
    })?
}

fn split(declared: Content, wire: &Bytes, mut reserved: Reserved) -> Result<Payloads, Problem> {
    let body =
        decompress(declared.encoding, wire, MAX_DECOMPRESSED_BYTES).map_err(|error| error::of_decompression(&error))?;
    match declared.encoding {
        ContentEncoding::Identity => {}
        ContentEncoding::Gzip | ContentEncoding::Zstd => reserved.grow(2 * body.len())?,
    }
    let limits = SplitLimits { record_bytes: MAX_RECORD_BYTES, records: MAX_RECORDS, ..SplitLimits::default() };
    let payloads = split_records(&body, declared.form, limits).map_err(error::of_splitting)?;
    Ok(Payloads { payloads, reserved })
}

async fn append(
    context: &IngestContext,
    tenant: &TenantId,
    stream: &Stream,
    request_id: &RequestId,
    payloads: Vec<Bytes>,
) -> Result<Receipt, Problem> {
    let received_at = context.clock.now();
    let of_record = |(payload, index)| Record {
        headers: RecordHeaders {
            tenant: tenant.clone(),
            stream: stream.id.clone(),
            received_at,
            request_id: request_id.clone(),
            index,
            format: stream.definition.format,
        },
        payload,
    };
    let records = payloads.into_iter().zip(0_u32..).map(of_record).collect();
    let shard = Shard {
        tenant: tenant.clone(),
        stream: stream.id.clone(),
        shard: context.next_shard(stream.definition.shards),
    };
    match timeout(context.append_time, context.queue.append(&shard, records)).await {
        Ok(Ok(positions)) => Ok(Receipt::of(&positions)),
        Ok(Err(error)) => Err(error::of_queue(&error)),
        Err(_elapsed) => {
            tracing::warn!(seconds = context.append_time.as_secs_f64(), "the queue did not acknowledge in time");
            Err(error::not_acknowledged())
        }
    }
}
