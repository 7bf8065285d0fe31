//! Tables that begin to follow a partition: new ones, re-activated ones, and those that could not be written for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_catalog::{CatalogError, Table};
use freshet_model::{QueuedRecord, TableState, TenantId};
use freshet_table::table_path;
use jiff::Timestamp;
use metrics::counter;
use tracing::{debug, error};

use crate::handler::{READ, tables_of, warn_of_retention, write_table, written_until};
use crate::{TableWriteError, WriteError, WriterContext};
use freshet_queue::progress::{self, JoinedTable, Loaded, Progress};

/// What a table is called in a [`Progress`].
pub(crate) fn identity(tenant: &TenantId, table: &Table) -> String {
    format!("{tenant}/{}", table.name)
}

/// Which tables a caller lets catch up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// All, however far behind they are.
    Any,
    /// Those with little to read, so that the others, and the batch at hand, don't wait; [`join_tables`] does the rest.
    Short,
}

/// What is a short gap: as many offsets as are read at once.
const SHORT: u64 = 20_000;
/// How often a table that has caught up finds that the partition has moved on meanwhile. The gap gets shorter each time.
const MOST_ROUNDS: u32 = 50;

/// How far tables have caught up that don't follow yet, so that they go on from there when the partition has moved on meanwhile.
pub(crate) type Reached = BTreeMap<String, CaughtUp>;

/// How far one table has caught up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CaughtUp {
    start_at: Option<Timestamp>,
    next_offset: u64,
    ignored_fields: u64,
}

/// Lets every active table of every tenant that does not follow a partition yet catch up with it and follow it. Batches do this
/// for their own tenants' short gaps; calling it now and then fills a table that starts at the beginning of a stream to which
/// nothing comes, or that has much to read.
///
/// # Errors
/// Something is not available; call it again later.
pub async fn join_tables(context: &WriterContext, partition: u32) -> Result<(), WriteError> {
    let tenants: BTreeSet<TenantId> = context.catalog.tenants().await?.into_iter().collect();
    let mut reached = Reached::default();
    for _ in 0..MOST_ROUNDS {
        let loaded = progress::load(&*context.store, &*context.queue, partition).await?;
        if join_tables_of(context, partition, loaded, &tenants, Gaps::Any, &mut reached).await?.is_some() {
            return Ok(());
        }
    }
    Err(WriteError::Contended { partition })
}

/// The same for some tenants, from a progress that was loaded; returns it as it is then. None: someone else has moved it meanwhile;
/// load again.
pub(crate) async fn join_tables_of(
    context: &WriterContext,
    partition: u32,
    loaded: Loaded,
    tenants: &BTreeSet<TenantId>,
    gaps: Gaps,
    reached: &mut Reached,
) -> Result<Option<Loaded>, WriteError> {
    let mut progress = loaded.progress.clone();
    for tenant in tenants {
        let catalog = match context.catalog.snapshot(tenant).await {
            Ok(catalog) => catalog,
            Err(source) if source.is_temporary() => return Err(source.into()),
            Err(source) => {
                leave_all(tenant, &source, &mut progress.joined);
                continue;
            }
        };
        for table in catalog.tables() {
            let table_identity = identity(tenant, table);
            if !is_to_join(context, &progress, &table_identity, table) {
                continue;
            }
            let until = progress.next_offset;
            let caught_up = reached.entry(table_identity.clone()).or_default();
            match catch_up(context, partition, tenant, table, until, gaps, caught_up).await? {
                Ok(true) => {
                    debug!(partition, table = table_identity, until, "table follows the partition");
                    context.succeeded(&table_identity);
                    let joined = progress.joined.entry(table_identity).or_default();
                    joined.start_at = table.start_at;
                    joined.ignored_fields += caught_up.ignored_fields;
                    joined.left = false;
                }
                Ok(false) => {}
                // It is tried again with the next batch, or the next time tables are looked for.
                Err(source) => drop(hold_back(context, partition, &table_identity, &source).await),
            }
        }
    }
    if progress == loaded.progress {
        return Ok(Some(loaded));
    }
    Ok(progress::advance(&*context.store, context.queue.topic(), partition, &loaded, progress).await?)
}

fn is_to_join(context: &WriterContext, progress: &Progress, table_identity: &str, table: &Table) -> bool {
    let joined = progress.joined.get(table_identity);
    table.definition.state == TableState::Active
        && joined.is_none_or(|joined| joined.left || joined.start_at != table.start_at)
        && !context.is_left_alone(table_identity)
}

/// The tables of a tenant whose definitions can't be read leave, so that the other tenants go on.
pub(crate) fn leave_all(tenant: &TenantId, source: &CatalogError, joined: &mut BTreeMap<String, JoinedTable>) {
    let source: &dyn std::error::Error = source;
    error!(%tenant, error = source, "the tenant's definitions can't be read; its tables catch up when they can be again");
    let prefix = format!("{tenant}/");
    for (_, joined) in joined.iter_mut().filter(|(identity, _)| identity.starts_with(&prefix)) {
        joined.left = true;
    }
}

/// Whether a table that can't be written is left alone for a while, so that it does not hold up the others.
pub(crate) async fn hold_back(context: &WriterContext, partition: u32, table: &str, source: &TableWriteError) -> bool {
    let held_back = context.gives_up_on(table, source).await;
    let source: &dyn std::error::Error = source;
    if held_back {
        error!(partition, table, error = source, "table can't be written; it catches up when it can be written again");
        counter!("freshet_writer_tables_held_back_total").increment(1);
    }
    held_back
}

/// Writes what the queue has for a table below `until`, from the table's start, from what it holds already, or from where it came to
/// the last time. `false`: that would be more than a short gap. Or why the table can't be written.
async fn catch_up(
    context: &WriterContext,
    partition: u32,
    tenant: &TenantId,
    table: &Arc<Table>,
    until: u64,
    gaps: Gaps,
    caught_up: &mut CaughtUp,
) -> Result<Result<bool, TableWriteError>, WriteError> {
    if caught_up.start_at != table.start_at {
        *caught_up = CaughtUp { start_at: table.start_at, ..CaughtUp::default() };
    }
    let start = match table.start_at {
        Some(start) => context.queue.offset_at(partition, start).await?,
        None => context.queue.watermarks(partition).await?.low,
    };
    let path = table_path(tenant, &table.name);
    let written = match written_until(context, context.queue.topic(), partition, &path).await {
        Ok(written) => written,
        Err(source) => return Ok(Err(source)),
    };
    if written > 0 && written < start {
        warn_of_retention(context, partition, written, "a table was away for longer").await?;
    }
    let mut next = start.max(written).max(caught_up.next_offset);
    if gaps == Gaps::Short && until.saturating_sub(next) > SHORT {
        return Ok(Ok(false));
    }
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
            Ok(outcome) => caught_up.ignored_fields += outcome.ignored_fields,
            Err(source) => return Ok(Err(source)),
        }
        caught_up.next_offset = next.min(until);
    }
    caught_up.next_offset = until;
    Ok(Ok(true))
}
