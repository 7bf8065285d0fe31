//! `freshet maintain`.

use freshet_model::{TableName, TenantId};
use freshet_platform::{TableFiles, parse_duration};
use freshet_table::{Maintenance, Tables, failed_table_path, table_path};
use serde_json::json;

use super::up::settings;
use crate::args::{Connection, Maintain};
use crate::credentials::read_admin;
use crate::error::CommandError;
use crate::output::{self, thousands};
use crate::server::failed;

/// Maintains a table and the table of its rows that failed. It works on the files themselves, beside whatever else writes them.
///
/// # Errors
/// There is no such table, or its files can't be read or written.
pub(crate) async fn run(connection: &Connection, maintain: &Maintain) -> Result<(), CommandError> {
    let input = |wrong: &dyn std::fmt::Display| CommandError::Input(wrong.to_string());
    let settings = settings(&connection.data)?;
    let retention = parse_duration(&maintain.retention).ok_or_else(|| {
        CommandError::Input(format!("--retention {}: expected a duration, as 12h or 7d", maintain.retention))
    })?;
    let tenant = match &connection.tenant {
        Some(tenant) => TenantId::parse(tenant).map_err(|wrong| input(&wrong))?,
        // The only one that the data directory has a key of.
        None => read_admin(&connection.data, None)?.tenant,
    };
    let name = TableName::parse(&maintain.table).map_err(|wrong| input(&wrong))?;
    let TableFiles { files, root } = TableFiles::open(&settings).await.map_err(|source| failed("the files", source))?;
    let tables = Tables::new(files, root);
    let maintenance = Maintenance { retention, ..Maintenance::default() };
    let mut rows = Vec::new();
    let mut reports = Vec::new();
    for path in [table_path(&tenant, &name), failed_table_path(&tenant, &name)] {
        let Some(table) = tables.open(&path).await.map_err(|source| failed(&path, source))? else { continue };
        let report = table.maintain(&maintenance).await.map_err(|source| failed(&path, source))?;
        let short = path.rsplit('/').next().unwrap_or(&path).to_owned();
        reports.push(json!({
            "table": short,
            "files_compacted": report.compacted.files_removed,
            "files_written": report.compacted.files_added,
            "checkpoint": report.checkpoint,
            "log_entries_removed": report.log_entries_removed,
            "files_removed": report.vacuumed.files,
            "bytes_removed": report.vacuumed.bytes,
            "files_waiting": report.vacuumed.waiting,
        }));
        let count = |count: usize| thousands(count as u64);
        rows.push(vec![
            short,
            count(report.compacted.files_removed),
            count(report.compacted.files_added),
            report.checkpoint.map_or_else(String::new, |version| version.to_string()),
            count(report.log_entries_removed),
            count(report.vacuumed.files),
            count(report.vacuumed.waiting),
        ]);
    }
    if rows.is_empty() {
        return Err(CommandError::Input(format!(
            "tenant {tenant} has no table {name} with rows; see what there is with: freshet tables list"
        )));
    }
    if maintain.output.json {
        output::line(json!({ "data": reports }).to_string());
        return Ok(());
    }
    let header = ["table", "compacted", "written", "checkpoint", "log entries removed", "files removed", "waiting"];
    output::line(output::table(&header, &[1, 2, 3, 4, 5, 6], rows));
    Ok(())
}
