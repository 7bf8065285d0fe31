//! Opening tables for a query.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use freshet_query::{QueryTable, ResultColumn, TableColumn};
use freshet_table::Tables;
use futures::future::try_join_all;

use crate::tables::Place;
use crate::{DatabaseError, DatabaseTable, DatabaseTables, ExternalFiles};

/// The version of a real-time table that nothing was written to yet.
const NOTHING_YET: &str = "none";

/// The versions of tables, by the tables' names. Two that are equal have the same rows; which of two is newer they don't say.
pub type TableVersions = BTreeMap<String, String>;

/// A table, open at one version.
#[derive(Debug)]
pub struct OpenTable {
    /// What the query engine takes.
    pub table: QueryTable,
    /// The version: the same as long as the table's rows are.
    pub version: String,
}

/// Opens the tables of databases.
#[derive(Debug)]
pub struct DatabaseReader {
    tables: Arc<Tables>,
    external: ExternalFiles,
}

impl DatabaseReader {
    /// Over the deployment's own tables and the files that external tables may be in.
    #[must_use]
    pub fn new(tables: Arc<Tables>, external: ExternalFiles) -> Self {
        Self { tables, external }
    }

    /// The deployment's own tables.
    #[must_use]
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// Opens tables of a database, each at its newest version.
    ///
    /// # Errors
    /// The first of them that can't be opened.
    pub async fn open(&self, of: &DatabaseTables, tables: &[&DatabaseTable]) -> Result<Vec<OpenTable>, DatabaseError> {
        try_join_all(tables.iter().map(|table| self.open_one(of, table))).await
    }

    /// The newest versions of tables of a database. Cheaper than opening them.
    ///
    /// # Errors
    /// The first of them that can't be looked at.
    pub async fn versions(
        &self,
        of: &DatabaseTables,
        tables: &[&DatabaseTable],
    ) -> Result<TableVersions, DatabaseError> {
        let versions = tables.iter().map(|table| async move {
            Ok::<_, DatabaseError>((table.name().to_owned(), self.version(of, table).await?))
        });
        Ok(try_join_all(versions).await?.into_iter().collect())
    }

    /// The columns of a table, as queries see them.
    ///
    /// # Errors
    /// It can't be opened.
    pub async fn columns(
        &self,
        of: &DatabaseTables,
        table: &DatabaseTable,
    ) -> Result<Vec<ResultColumn>, DatabaseError> {
        let columns = if let Place::Records { columns, .. } = &table.place {
            columns.clone()
        } else {
            self.open_one(of, table).await?.table.columns
        };
        Ok(columns.iter().map(TableColumn::result_column).collect())
    }

    async fn open_one(&self, of: &DatabaseTables, table: &DatabaseTable) -> Result<OpenTable, DatabaseError> {
        let name = table.name().to_owned();
        match &table.place {
            Place::Records { path, columns } => {
                let Some(open) = self.tables.open(path).await? else {
                    let table = QueryTable::empty(name, columns.clone());
                    return Ok(OpenTable { table, version: NOTHING_YET.to_owned() });
                };
                let (provider, version) = open.versioned_provider().await?;
                let table = QueryTable { name, provider, columns: columns.clone() };
                Ok(OpenTable { table, version: version.to_string() })
            }
            Place::Made { path } => {
                let open = self.tables.open(path).await?.ok_or_else(|| not_made(of, table))?;
                let (provider, version) = open.versioned_provider().await?;
                Ok(OpenTable { table: whole(name, provider), version: version.to_string() })
            }
            Place::External(external) => {
                let (provider, version) = self.external.open(&of.tenant, external).await?;
                Ok(OpenTable { table: whole(name, provider), version })
            }
        }
    }

    async fn version(&self, of: &DatabaseTables, table: &DatabaseTable) -> Result<String, DatabaseError> {
        match &table.place {
            Place::Records { path, .. } => match self.tables.open(path).await? {
                Some(open) => Ok(open.version().await?.to_string()),
                None => Ok(NOTHING_YET.to_owned()),
            },
            Place::Made { path } => {
                let open = self.tables.open(path).await?.ok_or_else(|| not_made(of, table))?;
                Ok(open.version().await?.to_string())
            }
            Place::External(external) => self.external.version(&of.tenant, external).await,
        }
    }
}

fn not_made(of: &DatabaseTables, table: &DatabaseTable) -> DatabaseError {
    DatabaseError::NotMade { table: table.name().to_owned(), database: of.database.to_string() }
}

/// A table with all the columns that it has.
fn whole(name: String, provider: Arc<dyn TableProvider>) -> QueryTable {
    let columns = provider.schema().fields().iter().map(|field| TableColumn::of(field)).collect();
    QueryTable { name, provider, columns }
}
