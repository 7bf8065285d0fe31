//! How tables and streams stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use freshet_catalog::{Stream, Table, TenantCatalog};
use freshet_http::Problem;
use freshet_model::{ResourceName, StreamId, TableName, TableState, TenantId};
use freshet_queue::progress::{self, ProgressError};
use freshet_queue::{ReadLimit, Shard};
use freshet_table::TableError;
use freshet_table::{failed_table_path, table_path};
use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::admin;
use crate::{AdminContext, error};

/// How long the status may take in all: behind a gateway a request has 29 s.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// Tables and partitions that are looked at at once.
const CONCURRENCY: usize = 8;
/// What is read of a partition: the first record that the tables lack.
const ONE_RECORD: ReadLimit = ReadLimit { records: 1, bytes: 1, wait: Duration::ZERO };

/// How a tenant's tables and streams stand
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StatusView {
    tables: Vec<TableStatus>,
    streams: Vec<StreamStatus>,
}

/// How a table stands
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TableStatus {
    #[schema(value_type = String)]
    name: TableName,
    #[schema(value_type = String)]
    stream: ResourceName,
    /// `active` or `inactive`.
    #[schema(value_type = String)]
    state: TableState,
    /// The Delta table's version; absent: nothing was written yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Its rows; absent: its files do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// Its data files, and their bytes.
    files: usize,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_commit_at: Option<Timestamp>,
    /// Rows of the table of failed rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_rows: Option<u64>,
    /// Fields of its records that no column names, so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_fields: Option<u64>,
    /// How long ago the oldest record was received that may not be in the table yet, in milliseconds; 0: all are in. At
    /// most: the record may be another stream's of the same partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    freshness_lag_ms: Option<i64>,
    /// Why figures are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
}

/// How a stream stands
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StreamStatus {
    #[schema(value_type = String)]
    name: ResourceName,
    #[schema(value_type = String)]
    id: StreamId,
    /// The partitions of the queue that its records lie in, with other streams'.
    partitions: Vec<PartitionStatus>,
}

/// How a partition of the queue stands
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct PartitionStatus {
    partition: u32,
    /// The first offset that is still kept.
    low: u64,
    /// The offset that the next record will get.
    high: u64,
    /// Every record below this offset is in the tables that have no problem.
    written: u64,
    #[serde(skip)]
    lag_ms: i64,
    #[serde(skip)]
    ignored_fields: BTreeMap<String, u64>,
    /// Tables that have stopped following, active or not.
    #[serde(skip)]
    left: BTreeSet<String>,
}

/// Says how tables and streams stand
#[utoipa::path(
    get,
    path = "/admin/v0/status",
    tag = "status",
    responses(
        (status = 200, body = StatusView),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store or the queue can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn status(
    State(context): State<Arc<AdminContext>>,
    headers: HeaderMap,
) -> Result<Json<StatusView>, Problem> {
    let principal = admin(&context, &headers).await?;
    let deadline = Instant::now() + TIME_LIMIT;
    let snapshot = context.catalog.snapshot(&principal.tenant).await.map_err(error::of_catalog)?;
    let looked = timeout_at(deadline, partitions(&context, &snapshot)).await;
    let partitions = looked.unwrap_or_else(|_elapsed| {
        Err(Problem::unavailable("the queue did not answer within 20 s; try again", Duration::from_secs(2)))
    })?;
    let streams = snapshot.streams().map(|stream| stream_status(&context, &principal.tenant, stream, &partitions));
    let looks = snapshot.tables().map(|table| table_status(&context, &snapshot, table, &partitions, deadline));
    // Collected first: a stream of borrowing futures from a lazy iterator is no handler's future.
    let looks: Vec<_> = looks.collect();
    let tables = stream::iter(looks).buffered(CONCURRENCY).collect().await;
    Ok(Json(StatusView { tables, streams: streams.collect() }))
}

/// The partitions that the tenant's streams lie in.
async fn partitions(
    context: &AdminContext,
    snapshot: &TenantCatalog,
) -> Result<BTreeMap<u32, PartitionStatus>, Problem> {
    let numbers: BTreeSet<u32> =
        snapshot.streams().flat_map(|stream| partitions_of(context, snapshot.tenant(), stream)).collect();
    let looks: Vec<_> = numbers.into_iter().map(|number| partition_status(context, number)).collect();
    let found: Vec<Result<PartitionStatus, Problem>> = stream::iter(looks).buffered(CONCURRENCY).collect().await;
    found.into_iter().map(|status| status.map(|status| (status.partition, status))).collect()
}

/// The partitions that a stream's records lie in.
pub(super) fn partitions_of(context: &AdminContext, tenant: &TenantId, stream: &Stream) -> BTreeSet<u32> {
    let partitions = context.queue.partitions();
    // More shards than partitions lie in the same ones again.
    (0..stream.definition.shards.min(partitions))
        .map(|shard| Shard { tenant: tenant.clone(), stream: stream.id.clone(), shard }.partition(partitions))
        .collect()
}

async fn partition_status(context: &AdminContext, partition: u32) -> Result<PartitionStatus, Problem> {
    let of_queue = |failed: freshet_queue::QueueError| error::of_failure(&failed, failed.is_temporary());
    let watermarks = context.queue.watermarks(partition).await.map_err(of_queue)?;
    let loaded = progress::load(context.store.as_ref(), context.queue.as_ref(), partition).await;
    let progress = loaded.map_err(|failed| of_progress(&failed))?.progress;
    let mut lag_ms = 0;
    if progress.next_offset < watermarks.high {
        let records = context.queue.read(partition, progress.next_offset, ONE_RECORD).await.map_err(of_queue)?;
        if let Some(record) = records.first() {
            let lag = context.clock.now().duration_since(record.record.headers.received_at);
            lag_ms = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX).max(0);
        }
    }
    let left = progress.joined.iter().filter(|(_, joined)| joined.left).map(|(table, _)| table.clone()).collect();
    let ignored = progress.joined.into_iter().map(|(table, joined)| (table, joined.ignored_fields));
    Ok(PartitionStatus {
        partition,
        low: watermarks.low,
        high: watermarks.high,
        written: progress.next_offset,
        lag_ms,
        ignored_fields: ignored.collect(),
        left,
    })
}

fn of_progress(failed: &ProgressError) -> Problem {
    error::of_failure(failed, failed.is_temporary())
}

fn stream_status(
    context: &AdminContext,
    tenant: &TenantId,
    stream: &Stream,
    partitions: &BTreeMap<u32, PartitionStatus>,
) -> StreamStatus {
    let numbers = partitions_of(context, tenant, stream);
    StreamStatus {
        name: stream.name.clone(),
        id: stream.id.clone(),
        partitions: numbers.iter().filter_map(|number| partitions.get(number)).cloned().collect(),
    }
}

async fn table_status(
    context: &AdminContext,
    snapshot: &TenantCatalog,
    table: &Table,
    partitions: &BTreeMap<u32, PartitionStatus>,
    deadline: Instant,
) -> TableStatus {
    let tenant = snapshot.tenant();
    let stream = snapshot.stream(table.definition.stream.as_str());
    let numbers = stream.map(|stream| partitions_of(context, tenant, stream)).unwrap_or_default();
    let followed: Vec<&PartitionStatus> = numbers.iter().filter_map(|number| partitions.get(number)).collect();
    let identity = format!("{tenant}/{}", table.name);
    let is_active = table.definition.state == TableState::Active;
    let mut status = TableStatus {
        name: table.name.clone(),
        stream: table.definition.stream.clone(),
        state: table.definition.state,
        version: None,
        rows: None,
        files: 0,
        bytes: 0,
        last_commit_at: None,
        failed_rows: None,
        ignored_fields: Some(followed.iter().filter_map(|partition| partition.ignored_fields.get(&identity)).sum()),
        freshness_lag_ms: if is_active { followed.iter().map(|partition| partition.lag_ms).max() } else { None },
        problem: None,
    };
    if is_active && followed.iter().any(|partition| partition.left.contains(&identity)) {
        status.problem = Some("the table can't be written and catches up when it can; see the log");
        status.freshness_lag_ms = None;
    }
    match timeout_at(deadline, fill(context, tenant, table, &mut status)).await {
        Ok(Ok(())) => {}
        Ok(Err(failed)) => {
            tracing::warn!(
                table = identity,
                error = &failed as &dyn std::error::Error,
                "the status of a table can't be told"
            );
            status.problem = Some("the table can't be read at the moment");
        }
        Err(_elapsed) => status.problem = Some("the table could not be read in time"),
    }
    status
}

/// The figures of the Delta tables.
async fn fill(
    context: &AdminContext,
    tenant: &TenantId,
    table: &Table,
    status: &mut TableStatus,
) -> Result<(), TableError> {
    status.rows = Some(0);
    status.failed_rows = Some(0);
    if let Some(rows) = context.tables.open(&table_path(tenant, &table.name)).await? {
        let details = rows.details().await?;
        status.version = Some(details.version);
        status.rows = details.rows;
        status.files = details.files;
        status.bytes = details.bytes;
        status.last_commit_at = details.last_commit_at;
    }
    if let Some(failed) = context.tables.open(&failed_table_path(tenant, &table.name)).await? {
        status.failed_rows = failed.details().await?.rows;
    }
    Ok(())
}
