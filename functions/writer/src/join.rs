//! Tables that begin to follow a partition: new ones, re-activated ones, and those that could not be written for a while.

use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_catalog::Table;
use freshet_model::{QueuedRecord, TableState, TenantId};
use freshet_platform::table_path;
use metrics::counter;
use tracing::{debug, error};

use crate::handler::{READ, tables_of, write_table};
use freshet_queue::progress::{self, JoinedTable, Loaded, Progress};
use crate::{TableWriteError, WriteError, WriterContext};

/// What a table is called in a [`Progress`].
pub(crate) fn identity(tenant: &TenantId, table: &Table) -> String {
    format!("{tenant}/{}", table.name)
}

/// Lets every active table of every tenant that does not follow a partition yet catch up with it and follow it. Batches do this
/// for their own tenants; calling it now and then fills a table that starts at the beginning of a stream to which nothing comes.
///
/// # Errors
/// Something is not available; call it again later.
pub async fn join_tables(context: &WriterContext, partition: u32) -> Result<(), WriteError> {
    let tenants: BTreeSet<TenantId> = context.catalog.tenants().await?.into_iter().collect();
    let loaded = progress::load(&*context.store, &*context.queue, partition).await?;
    // Where someone else has moved the progress meanwhile, the next call looks again.
    join_tables_of(context, partition, &loaded, &tenants).await.map(drop)
}

/// The same for some tenants, from a progress that was loaded. `false`: someone else has moved it meanwhile; load again.
pub(crate) async fn join_tables_of(
    context: &WriterContext,
    partition: u32,
    loaded: &Loaded,
    tenants: &BTreeSet<TenantId>,
) -> Result<bool, WriteError> {
    let mut progress = loaded.progress.clone();
    for tenant in tenants {
        let catalog = context.catalog.snapshot(tenant).await?;
        for table in catalog.tables() {
            let table_identity = identity(tenant, table);
            if !is_to_join(context, &progress, &table_identity, table) {
                continue;
            }
            match catch_up(context, partition, tenant, table, progress.next_offset).await? {
                Ok(ignored_fields) => {
                    debug!(
                        partition,
                        table = table_identity,
                        until = progress.next_offset,
                        "table follows the partition"
                    );
                    let joined = JoinedTable { start_at: table.start_at, ignored_fields };
                    progress.joined.insert(table_identity, joined);
                }
                Err(source) if source.is_temporary() => {
                    return Err(WriteError::Table { table: table_identity, source });
                }
                Err(source) => hold_back(context, partition, &table_identity, &source),
            }
        }
    }
    if progress == loaded.progress {
        return Ok(true);
    }
    Ok(progress::advance(&*context.store, context.queue.topic(), partition, loaded, &progress).await?)
}

fn is_to_join(context: &WriterContext, progress: &Progress, table_identity: &str, table: &Table) -> bool {
    table.definition.state == TableState::Active
        && progress.joined.get(table_identity).is_none_or(|joined| joined.start_at != table.start_at)
        && !context.is_left_alone(table_identity)
}

/// Leaves a table that can't be written alone for a while, so that it does not hold up the others.
pub(crate) fn hold_back(context: &WriterContext, partition: u32, table: &str, source: &TableWriteError) {
    let source: &dyn std::error::Error = source;
    error!(partition, table, error = source, "table can't be written; it catches up when it can be written again");
    counter!("freshet_writer_table_errors_total", "table" => table.to_owned()).increment(1);
    context.leave_alone(table);
}

/// Writes what the queue has for a table below `until`, from the table's start or from what it holds already. Returns how many
/// fields no column named, or why the table can't be written.
async fn catch_up(
    context: &WriterContext,
    partition: u32,
    tenant: &TenantId,
    table: &Arc<Table>,
    until: u64,
) -> Result<Result<u64, TableWriteError>, WriteError> {
    let start = match table.start_at {
        Some(start) => context.queue.offset_at(partition, start).await?,
        None => context.queue.watermarks(partition).await?.low,
    };
    let written = match written_until(context, partition, tenant, table).await {
        Ok(written) => written,
        Err(source) => return Ok(Err(source)),
    };
    let mut next = start.max(written);
    let mut ignored_fields = 0;
    while next < until {
        let run = context.queue.read(partition, next, READ).await?;
        let Some(last) = run.last() else { break };
        next = last.position.offset + 1;
        let catalog = context.catalog.snapshot(tenant).await?;
        let records: Arc<[QueuedRecord]> = run
            .into_iter()
            .filter(|queued| {
                let headers = &queued.record.headers;
                queued.position.offset < until
                    && headers.tenant == *tenant
                    && tables_of(&catalog, &headers.stream).any(|reader| reader.name == table.name)
            })
            .collect();
        match write_table(context, partition, tenant, table, records).await {
            Ok(outcome) => ignored_fields += outcome.ignored_fields,
            Err(source) => return Ok(Err(source)),
        }
    }
    Ok(Ok(ignored_fields))
}

/// The offset after the last record of the partition that a table holds.
async fn written_until(
    context: &WriterContext,
    partition: u32,
    tenant: &TenantId,
    table: &Table,
) -> Result<u64, TableWriteError> {
    let Some(existing) = context.tables.open(&table_path(tenant, &table.name)).await? else { return Ok(0) };
    let next_offsets = existing.next_offsets(context.queue.topic()).await?;
    Ok(next_offsets.get(&partition).copied().unwrap_or(0))
}
