//! One batch of one partition, into every table that follows it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use freshet_catalog::{Table, TenantCatalog};
use freshet_decode::{Decoded, Decoder, failed_rows, failed_schema};
use freshet_model::{QueuedRecord, StreamId, TableState, TenantId};
use freshet_queue::{PartitionBatch, ReadLimit};
use freshet_table::{Slice, TableKind, TableSpec, WriteOutcome};
use freshet_table::{failed_table_path, table_path};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use metrics::{counter, histogram};
use tracing::{debug, error, info};

use crate::definition::{fingerprint, slice_of, spec_of};
use crate::join::{self, Gaps, Reached, join_tables_of};
use crate::{TableWriteError, WriteError, WriterContext};
use freshet_queue::progress::{self, JoinedTable, Loaded};

/// How much is read from the queue at once to fill a gap.
pub(crate) const READ: ReadLimit = ReadLimit { records: 20_000, bytes: 32 << 20, wait: Duration::ZERO };
/// How often a batch looks again at a partition that others are moving at the same time.
const MOST_RACES: u32 = 100;
/// How many tables of a batch are written at the same time.
const TABLES_AT_ONCE: usize = 4;

/// What a batch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Records of the queue that were passed, those read to fill a gap included.
    pub records: u64,
    /// Rows that won in their tables.
    pub rows_written: u64,
    /// Rows that went to a table of failed rows.
    pub rows_failed: u64,
}

impl BatchOutcome {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.rows_written += other.rows_written;
        self.rows_failed += other.rows_failed;
    }
}

/// Writes a batch into the tables. When it returns, every record of the batch is in every table that it is for, whatever was
/// delivered before, or is being written by others. A table that joins the partition catches up first, as `gaps` says.
///
/// # Errors
/// Something is not available, or others were faster again and again: give the batch back to the queue.
pub async fn write_batch(
    context: &WriterContext,
    batch: &PartitionBatch,
    gaps: Gaps,
) -> Result<BatchOutcome, WriteError> {
    let mut outcome = BatchOutcome::default();
    let (Some(first), Some(last)) = (batch.records.first(), batch.records.last()) else { return Ok(outcome) };
    let (first, end) = (first.position.offset, last.position.offset + 1);
    let tenants: BTreeSet<TenantId> = batch.records.iter().map(|queued| queued.record.headers.tenant.clone()).collect();
    let mut races = 0;
    while races < MOST_RACES {
        let loaded = progress::load(&*context.store, &*context.queue, batch.partition).await?;
        let mut reached = Reached::default();
        let joined = join_tables_of(context, batch.partition, loaded, &tenants, gaps, &mut reached).await?;
        let Some(mut loaded) = joined else {
            races += 1;
            continue;
        };
        if loaded.progress.next_offset >= end && outcome.records == 0 {
            check_identity(context, batch.partition, loaded.progress.next_offset).await?;
        }
        while loaded.progress.next_offset < end {
            let next = loaded.progress.next_offset;
            let run = if first <= next { after(&batch.records, next) } else { missing(context, batch, next).await? };
            let Some((applied, moved)) = apply(context, batch.partition, &loaded, &run).await? else { break };
            outcome.add(applied);
            loaded = moved;
        }
        if loaded.progress.next_offset >= end {
            let BatchOutcome { records, rows_written, rows_failed } = outcome;
            info!(partition = batch.partition, next = end, records, rows_written, rows_failed, "batch written");
            return Ok(outcome);
        }
        races += 1;
    }
    Err(WriteError::Contended { partition: batch.partition })
}

/// Refuses a queue that ends before what was followed already. Its records would be taken for old ones, here and by the tables.
async fn check_identity(context: &WriterContext, partition: u32, next: u64) -> Result<(), WriteError> {
    let high = context.queue.watermarks(partition).await?.high;
    if high >= next {
        return Ok(());
    }
    Err(WriteError::QueueReplaced { topic: context.queue.topic().to_owned(), partition, high, next })
}

fn after(records: &[QueuedRecord], next: u64) -> Vec<QueuedRecord> {
    records.iter().filter(|queued| queued.position.offset >= next).cloned().collect()
}

/// What the queue has between the progress and a batch that begins beyond it: an earlier batch that has not been written
/// yet, or that another writer has in hand. Where the queue has nothing of it any more, the batch itself is next.
async fn missing(context: &WriterContext, batch: &PartitionBatch, next: u64) -> Result<Vec<QueuedRecord>, WriteError> {
    let records = context.queue.read(batch.partition, next, READ).await?;
    if records.first().is_some_and(|queued| queued.position.offset > next) {
        warn_of_retention(context, batch.partition, next, "no table has followed them").await?;
    }
    if records.is_empty() { Ok(batch.records.clone()) } else { Ok(records) }
}

/// Says which records the queue's retention has removed before they were written, if it has.
pub(crate) async fn warn_of_retention(
    context: &WriterContext,
    partition: u32,
    next: u64,
    whom: &str,
) -> Result<(), WriteError> {
    let low = context.queue.watermarks(partition).await?.low;
    if low > next {
        error!(partition, from = next, until = low, "the queue's retention has removed records: {whom}");
        counter!("freshet_writer_records_expired_total").increment(low - next);
    }
    Ok(())
}

/// One table of a run, and the records that may be for it.
struct Work {
    identity: String,
    tenant: TenantId,
    table: Arc<Table>,
    records: Arc<[QueuedRecord]>,
}

/// What one table made of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TableOutcome {
    pub(crate) rows_written: u64,
    pub(crate) rows_failed: u64,
    pub(crate) ignored_fields: u64,
}

impl TableOutcome {
    fn add(&mut self, other: Self) {
        self.rows_written += other.rows_written;
        self.rows_failed += other.rows_failed;
        self.ignored_fields += other.ignored_fields;
    }
}

/// Writes a run of records that continues the progress into every joined table, and moves the progress. `None`: someone
/// else has moved it meanwhile; what was written is known to the tables, so doing it again does nothing.
async fn apply(
    context: &WriterContext,
    partition: u32,
    loaded: &Loaded,
    run: &[QueuedRecord],
) -> Result<Option<(BatchOutcome, Loaded)>, WriteError> {
    let Some(last) = run.last() else { return Ok(None) };
    let mut progress = loaded.progress.clone();
    progress.next_offset = last.position.offset + 1;
    let by_stream = group_by_stream(run);
    let tenants: BTreeSet<&TenantId> = by_stream.keys().map(|(tenant, _)| tenant).collect();
    let mut work = Vec::new();
    for tenant in tenants {
        let catalog = match context.catalog.snapshot(tenant).await {
            Ok(catalog) => catalog,
            Err(source) if source.is_temporary() => return Err(source.into()),
            Err(source) => {
                join::leave_all(tenant, &source, &mut progress.joined);
                continue;
            }
        };
        leave_departed(&catalog, &mut progress.joined);
        for ((_, stream), records) in by_stream.iter().filter(|((of, _), _)| of == tenant) {
            for table in tables_of(&catalog, stream) {
                let identity = join::identity(tenant, table);
                if progress.joined.get(&identity).is_some_and(|joined| !joined.left) {
                    let records = Arc::clone(records);
                    work.push(Work { identity, tenant: tenant.clone(), table: Arc::clone(table), records });
                }
            }
        }
    }
    let results: Vec<(String, Result<TableOutcome, TableWriteError>)> = stream::iter(work)
        .map(|work| async move {
            let result = write_table(context, partition, &work.tenant, &work.table, work.records).await;
            (work.identity, result)
        })
        .buffer_unordered(TABLES_AT_ONCE)
        .collect()
        .await;
    let mut outcome = BatchOutcome { records: run.len() as u64, ..BatchOutcome::default() };
    for (table, result) in results {
        match result {
            Ok(written) => {
                context.succeeded(&table);
                outcome.rows_written += written.rows_written;
                outcome.rows_failed += written.rows_failed;
                if let Some(joined) = progress.joined.get_mut(&table) {
                    joined.ignored_fields += written.ignored_fields;
                }
            }
            Err(source) => {
                if !join::hold_back(context, partition, &table, &source).await {
                    return Err(WriteError::Table { table, source });
                }
                if let Some(joined) = progress.joined.get_mut(&table) {
                    joined.left = true;
                }
            }
        }
    }
    let moved = progress::advance(&*context.store, context.queue.topic(), partition, loaded, progress).await?;
    Ok(moved.map(|moved| (outcome, moved)))
}

fn group_by_stream(run: &[QueuedRecord]) -> BTreeMap<(TenantId, StreamId), Arc<[QueuedRecord]>> {
    let mut groups: BTreeMap<(TenantId, StreamId), Vec<QueuedRecord>> = BTreeMap::new();
    for queued in run {
        let headers = &queued.record.headers;
        groups.entry((headers.tenant.clone(), headers.stream.clone())).or_default().push(queued.clone());
    }
    groups.into_iter().map(|(stream, records)| (stream, Arc::from(records))).collect()
}

/// The active tables that read a stream.
pub(crate) fn tables_of<'c>(catalog: &'c TenantCatalog, stream: &StreamId) -> impl Iterator<Item = &'c Arc<Table>> {
    let tables = catalog.stream_by_id(stream).map_or(&[][..], |stream| catalog.tables_of_stream(stream.name.as_str()));
    tables.iter().filter(|table| table.definition.state == TableState::Active)
}

/// Tables that are not, or no longer, active leave, and deleted ones are forgotten. One that left by a catalog that was read a
/// moment too early joins again, and catches up from its own transactions.
fn leave_departed(catalog: &TenantCatalog, joined: &mut BTreeMap<String, JoinedTable>) {
    let prefix = format!("{}/", catalog.tenant());
    joined.retain(|identity, joined| {
        let Some(name) = identity.strip_prefix(&prefix) else { return true };
        let Some(table) = catalog.table(name) else { return false };
        if table.definition.state != TableState::Active || table.start_at != joined.start_at {
            joined.left = true;
        }
        true
    });
}

/// Decodes records for one table and writes its failed rows, then its rows; in portions, where they make very many.
pub(crate) async fn write_table(
    context: &WriterContext,
    partition: u32,
    tenant: &TenantId,
    table: &Arc<Table>,
    records: Arc<[QueuedRecord]>,
) -> Result<TableOutcome, TableWriteError> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(TableOutcome::default()) };
    let (mut from, end) = (first.position.offset, last.position.offset + 1);
    let wanted = since_start(table, records);
    let oldest = wanted.iter().map(|queued| queued.record.headers.received_at).min();
    let mut outcome = TableOutcome::default();
    let mut at = 0;
    loop {
        let written_at = context.clock.now();
        let decoded = decode(Arc::clone(table), Arc::clone(&wanted), at, written_at).await?;
        at += decoded.records;
        let until = wanted.get(at).map_or(end, |next| next.position.offset);
        let portion = Portion { partition, offsets: from..until, decoded, written_at };
        outcome.add(write_portion(context, tenant, table, portion).await?);
        if at >= wanted.len() {
            break;
        }
        from = until;
    }
    if let Some(oldest) = oldest {
        let labels = [("tenant", tenant.to_string()), ("table", table.name.to_string())];
        let lag = context.clock.now().duration_since(oldest).as_secs_f64().max(0.0);
        histogram!("freshet_writer_freshness_seconds", &labels).record(lag);
    }
    Ok(outcome)
}

/// Decoded records of a stretch of a partition.
struct Portion {
    partition: u32,
    offsets: Range<u64>,
    decoded: Decoded,
    written_at: Timestamp,
}

async fn write_portion(
    context: &WriterContext,
    tenant: &TenantId,
    table: &Arc<Table>,
    portion: Portion,
) -> Result<TableOutcome, TableWriteError> {
    let Portion { partition, offsets, mut decoded, written_at } = portion;
    let topic = context.queue.topic();
    let name = table.name.as_str();
    let mut outcome = TableOutcome { ignored_fields: decoded.ignored_fields, ..TableOutcome::default() };
    let upserted_path = table_path(tenant, &table.name);
    if !decoded.failed.is_empty() {
        let spec = TableSpec { schema: failed_schema(), kind: TableKind::Append };
        // Which rows fail depends on the definition, so what is in already is remembered for this definition alone: a record
        // that fails only under a newer one must not be taken for one that is in. What the table itself holds did not fail.
        let written = written_until(context, topic, partition, &upserted_path).await?;
        let mut failed = std::mem::take(&mut decoded.failed);
        failed.retain(|failed| failed.position.offset >= written);
        let slice = Slice {
            partition,
            offsets: offsets.clone(),
            row_offsets: failed.iter().map(|failed| failed.position.offset).collect(),
            rows: failed_rows(topic, &failed, written_at)?,
            deletes: None,
            absent: BTreeMap::new(),
        };
        let failed_table = context.tables.open_or_create(&failed_table_path(tenant, &table.name), &spec).await?;
        let written =
            failed_table.write(&format!("{topic}@{:016x}", fingerprint(&table.definition)), vec![slice]).await?;
        outcome.rows_failed = written.rows_written as u64;
    }
    // A table that has received nothing yet is made all the same, so that readers find its schema.
    let upserted = context.tables.open_or_create(&upserted_path, &spec_of(&table.definition)).await?;
    if decoded.rows.num_rows() > 0 {
        let written = upserted.write(topic, vec![slice_of(partition, offsets, decoded)]).await?;
        outcome.rows_written = written.rows_written as u64;
        report(tenant, name, partition, &written, &outcome);
    }
    let labels = [("tenant", tenant.to_string()), ("table", name.to_owned())];
    counter!("freshet_writer_rows_total", &labels).increment(outcome.rows_written);
    counter!("freshet_writer_failed_rows_total", &labels).increment(outcome.rows_failed);
    counter!("freshet_writer_ignored_fields_total", &labels).increment(outcome.ignored_fields);
    Ok(outcome)
}

/// The offset after the last record of the partition that a table holds; 0: it holds none.
pub(crate) async fn written_until(
    context: &WriterContext,
    topic: &str,
    partition: u32,
    path: &str,
) -> Result<u64, TableWriteError> {
    let Some(existing) = context.tables.open(path).await? else { return Ok(0) };
    Ok(existing.next_offsets(topic).await?.get(&partition).copied().unwrap_or(0))
}

fn report(tenant: &TenantId, table: &str, partition: u32, written: &WriteOutcome, outcome: &TableOutcome) {
    debug!(
        %tenant,
        table,
        partition,
        version = written.version,
        attempts = written.attempts,
        rows_written = outcome.rows_written,
        rows_superseded = written.rows_superseded,
        rows_failed = outcome.rows_failed,
        ignored_fields = outcome.ignored_fields,
        "table written"
    );
}

/// What of the records a table takes: one that starts later than they were received takes none.
fn since_start(table: &Table, records: Arc<[QueuedRecord]>) -> Arc<[QueuedRecord]> {
    let start = table.start_at.unwrap_or(Timestamp::MIN);
    let is_wanted = |queued: &&QueuedRecord| queued.record.headers.received_at >= start;
    if records.iter().all(|queued| is_wanted(&queued)) {
        return records;
    }
    records.iter().filter(is_wanted).cloned().collect()
}

/// Decodes away from the threads that async tasks share: a batch of tens of thousands of records takes long.
async fn decode(
    table: Arc<Table>,
    records: Arc<[QueuedRecord]>,
    from: usize,
    written_at: Timestamp,
) -> Result<Decoded, TableWriteError> {
    let decoded = tokio::task::spawn_blocking(move || {
        Decoder::new(&table.definition).decode(records.get(from..).unwrap_or_default(), written_at)
    });
    Ok(decoded.await??)
}
