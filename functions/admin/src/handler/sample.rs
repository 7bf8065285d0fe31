//! The newest records of a stream, as they came.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use freshet_catalog::{Stream, TenantCatalog};
use freshet_http::Problem;
use freshet_model::{
    QueuedRecord, RecordHeaders, RequestId, ResourceKind, ResourceName, StreamId, TenantId, did_you_mean,
};
use freshet_queue::QueueError;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::admin;
use super::status::partitions_of;
use crate::newest::{EndedBy, newest};
use crate::{AdminContext, error};

/// How many records are shown where the caller doesn't say.
const DEFAULT_LIMIT: usize = 10;
/// Most records that are shown.
const MAX_LIMIT: usize = 100;
/// How long the search may take: behind a gateway a request has 29 s.
const TIME_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleOptions {
    limit: Option<usize>,
}

/// The newest records of a stream
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SampleView {
    #[schema(value_type = String, example = "orders")]
    stream: ResourceName,
    #[schema(value_type = String, example = "is-2hzqsgX1E")]
    stream_id: StreamId,
    /// The newest first.
    records: Vec<SampledRecord>,
    /// How many places of the queue were looked at; others' records lie between the stream's.
    looked_at: u64,
    /// Why the search went no further back.
    ended_by: EndedBy,
}

/// One record, as it came
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SampledRecord {
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// The request that brought it.
    #[schema(value_type = String)]
    request_id: RequestId,
    /// Its place in the request, from 0.
    index: u32,
    /// Its place in the queue.
    partition: u32,
    offset: u64,
    #[schema(example = "application/json")]
    content_type: &'static str,
    /// The record itself. Bytes that are not UTF-8 are shown as U+FFFD.
    raw: String,
}

impl From<QueuedRecord> for SampledRecord {
    fn from(QueuedRecord { position, record }: QueuedRecord) -> Self {
        Self {
            received_at: record.headers.received_at,
            request_id: record.headers.request_id,
            index: record.headers.index,
            partition: position.partition,
            offset: position.offset,
            content_type: record.headers.format.content_type(),
            raw: String::from_utf8_lossy(&record.payload).into_owned(),
        }
    }
}

/// Shows the newest records of a stream
///
/// As they came, whether a table takes them or not. The queue is searched from its end backwards, through at most 10,000 places, for
/// at most 10 s, and until the records found have 2,500,000 bytes; `ended_by` says which of these ended it.
#[utoipa::path(
    get,
    path = "/admin/v0/streams/{name}/sample",
    tag = "streams",
    params(
        ("name" = String, Path, description = "its name or its id", example = "orders"),
        ("limit" = Option<usize>, Query, description = "most records, 1 to 100; 10 if left out"),
    ),
    responses(
        (status = 200, body = SampleView),
        (status = 400, description = "the limit is not right", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is no such stream", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store or the queue can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn sample(
    State(context): State<Arc<AdminContext>>,
    Path(name): Path<String>,
    options: Result<Query<SampleOptions>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<SampleView>, Problem> {
    let principal = admin(&context, &headers).await?;
    let limit = limit_of(options)?;
    let deadline = Instant::now() + TIME_LIMIT;
    let snapshot = context.catalog.snapshot(&principal.tenant).await.map_err(error::of_catalog)?;
    let stream = find(&snapshot, &name)?;
    let partitions = partitions_of(&context, &principal.tenant, stream);
    let is_wanted = |headers: &RecordHeaders| is_of(headers, &principal.tenant, &stream.id);
    let found = newest(context.queue.as_ref(), &partitions, limit, deadline, &is_wanted);
    let found = found.await.map_err(|failed: QueueError| error::of_failure(&failed, failed.is_temporary()))?;
    if found.ended_by == EndedBy::Time && found.looked_at == 0 {
        let detail = format!("the queue did not answer within {} s; try again", TIME_LIMIT.as_secs());
        return Err(Problem::unavailable(detail, Duration::from_secs(2)));
    }
    tracing::info!(stream = %stream.name, records = found.records.len(), looked_at = found.looked_at, by = %principal.key_name, "stream sampled");
    Ok(Json(SampleView {
        stream: stream.name.clone(),
        stream_id: stream.id.clone(),
        records: found.records.into_iter().map(SampledRecord::from).collect(),
        looked_at: found.looked_at,
        ended_by: found.ended_by,
    }))
}

fn limit_of(options: Result<Query<SampleOptions>, QueryRejection>) -> Result<usize, Problem> {
    let limit = options.ok().map(|Query(options)| options.limit.unwrap_or(DEFAULT_LIMIT));
    limit.filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
        Problem::bad_request(format!("the query is not right; it may hold limit, a whole number from 1 to {MAX_LIMIT}"))
    })
}

/// The stream of a name, or of an id.
fn find<'s>(snapshot: &'s TenantCatalog, name: &str) -> Result<&'s Stream, Problem> {
    let by_id = || StreamId::parse(name).ok().and_then(|id| snapshot.stream_by_id(&id));
    snapshot.stream(name).or_else(by_id).map(AsRef::as_ref).ok_or_else(|| {
        let not_found = freshet_catalog::CatalogError::NotFound { kind: ResourceKind::Streams, name: name.to_owned() };
        let hint = did_you_mean(name, snapshot.streams().map(|stream| stream.name.as_str()));
        Problem::not_found(format!("{not_found}{hint}"))
    })
}

/// Whether a record is the stream's: in its partitions lie those of other streams and tenants too.
fn is_of(headers: &RecordHeaders, tenant: &TenantId, stream: &StreamId) -> bool {
    headers.tenant == *tenant && headers.stream == *stream
}
