//! Going over all tables.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_catalog::TenantCatalog;
use freshet_model::TenantId;
use freshet_table::{TableError, failed_table_path, made_table_path, table_path};
use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{MaintainContext, MaintainError};

/// Pause between two rounds in one process. A round asks each table for its next version and no more, if nothing is to be done.
const PAUSE: Duration = Duration::from_secs(10);
/// How often files are removed, which lists all of a table's.
const CLEAN_EVERY: Duration = Duration::from_hours(1);

/// What a round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Maintained {
    /// Tables that were looked at.
    pub tables: usize,
    /// Tables that could not be maintained.
    pub failed: usize,
    /// Files that were written again.
    pub files_compacted: usize,
    /// Files that were removed.
    pub files_removed: usize,
}

/// Goes over all tables again and again, until `stop` is cancelled.
pub async fn run_loop(context: Arc<MaintainContext>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let round = tokio::select! {
            // A compaction that is cut off has changed nothing: its files are nobody's, and the vacuum removes them.
            round = maintain_all(&context, None) => round,
            () = stop.cancelled() => return,
        };
        if let Err(failure) = round {
            error!(error = &failure as &dyn std::error::Error, "maintenance could not look for work and tries again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Goes over all tables once, or until `give_up` comes: a table that was begun by then is brought to its end.
///
/// # Errors
/// The definitions of tables can't be read.
pub async fn maintain_all(context: &MaintainContext, give_up: Option<Instant>) -> Result<Maintained, MaintainError> {
    let mut maintained = Maintained::default();
    for tenant in context.catalog.tenants().await? {
        let catalog = context.catalog.snapshot(&tenant).await?;
        for path in paths(&tenant, &catalog) {
            if give_up.is_some_and(|give_up| Instant::now() >= give_up) {
                warn!(tables = maintained.tables, "there was no time for all tables; the next round has it");
                return Ok(maintained);
            }
            maintained.tables += 1;
            if let Err(failure) = maintain(context, &path, &mut maintained).await {
                maintained.failed += 1;
                counter!("freshet_maintenance_failures_total", "table" => path.clone()).increment(1);
                warn!(table = path, error = &failure as &dyn std::error::Error, "a table was not maintained");
            }
        }
    }
    if maintained.files_compacted + maintained.files_removed + maintained.failed > 0 {
        let Maintained { tables, failed, files_compacted, files_removed } = maintained;
        info!(tables, failed, files_compacted, files_removed, "maintained tables");
    }
    Ok(maintained)
}

/// Where a tenant's tables lie: those of records, those of rows that failed, and those that databases make.
fn paths(tenant: &TenantId, catalog: &TenantCatalog) -> BTreeSet<String> {
    let of_records =
        catalog.tables().flat_map(|table| [table_path(tenant, &table.name), failed_table_path(tenant, &table.name)]);
    let made = catalog.databases().flat_map(|database| {
        database.definition.tables.iter().map(move |table| made_table_path(tenant, &database.name, &table.name))
    });
    of_records.chain(made).collect()
}

async fn maintain(context: &MaintainContext, path: &str, maintained: &mut Maintained) -> Result<(), TableError> {
    // What was defined and has received nothing yet is not there.
    let Some(table) = context.tables.open(path).await? else { return Ok(()) };
    let mut cleaned = context.cleaned.lock().await;
    let is_due = cleaned.get(path).is_none_or(|last| last.elapsed() >= CLEAN_EVERY);
    let report =
        if is_due { table.maintain(&context.maintenance).await? } else { table.optimize(&context.maintenance).await? };
    if is_due {
        cleaned.insert(path.to_owned(), Instant::now());
    }
    maintained.files_compacted += report.compacted.files_removed;
    maintained.files_removed += report.vacuumed.files;
    let counted = |name: &'static str, count: usize| counter!(name, "table" => path.to_owned()).increment(count as u64);
    counted("freshet_compacted_files_total", report.compacted.files_removed);
    counted("freshet_vacuumed_files_total", report.vacuumed.files);
    Ok(())
}
