//! A run of a database.

use std::collections::BTreeSet;
use std::error::Error;

use freshet_catalog::TenantCatalog;
use freshet_database::{DatabaseTables, TableVersions};
use freshet_model::{ResourceName, SqlTable};
use freshet_runs::{Claim, Counts, Outcome};
use freshet_table::made_table_path;
use futures::StreamExt;

use crate::order::ordered;
use crate::stored::{stored, stored_schema};
use crate::{RefreshFailure, Refresher};

impl Refresher {
    /// Makes a database's tables that are made by SQL anew, each after those that it reads, each a step of the run. The answer is which
    /// versions were read, or none where some table could not be made: its step says why.
    ///
    /// # Errors
    /// The database is gone, or the run can't be recorded.
    pub async fn run_database(
        &self,
        catalog: &TenantCatalog,
        database: &ResourceName,
        claim: &Claim,
    ) -> Result<Option<TableVersions>, RefreshFailure> {
        let gone = || RefreshFailure::Gone { what: format!("database {database}") };
        let definition = catalog.database(database.as_str()).ok_or_else(gone)?;
        let tables = DatabaseTables::of(catalog, database.as_str()).ok_or_else(gone)?;
        let mut failed: BTreeSet<&str> = BTreeSet::new();
        let mut read = TableVersions::new();
        for next in ordered(&definition.definition.tables) {
            let name = next.table.name.as_str();
            claim.begin_step(name, self.now()).await?;
            let outcome = if let Some(cause) = next.reads.iter().find(|read| failed.contains(*read)) {
                failed.insert(name);
                Outcome::Skipped(format!("not made: table {cause}, which it reads, could not be made"))
            } else {
                match self.make_table(catalog, database, &tables, next.table).await {
                    Ok((counts, versions)) => {
                        read.extend(versions);
                        Outcome::Succeeded(counts)
                    }
                    Err(failure) => {
                        tracing::warn!(tenant = %catalog.tenant(), %database, table = name, error = &failure as &dyn Error, "a table of a database was not made");
                        failed.insert(name);
                        Outcome::Failed(failure.to_string())
                    }
                }
            };
            claim.end_step(name, outcome, self.now()).await?;
        }
        Ok(failed.is_empty().then_some(read))
    }

    async fn make_table(
        &self,
        catalog: &TenantCatalog,
        database: &ResourceName,
        tables: &DatabaseTables,
        table: &SqlTable,
    ) -> Result<(Counts, TableVersions), RefreshFailure> {
        let (rows, versions) = self.answer(tables, &table.sql, None).await?;
        let schema = stored_schema(&rows)?;
        let path = made_table_path(catalog.tenant(), database, &table.name);
        let batches = rows.map(|batch| batch.and_then(|batch| stored(&batch, &schema)));
        let made = self.reader.tables().replace(&path, schema.clone(), batches).await?;
        let counts = [("rows", made.rows), ("bytes", made.bytes), ("version", made.version)];
        Ok((counts.map(|(name, count)| (name.to_owned(), count)).into(), versions))
    }
}
