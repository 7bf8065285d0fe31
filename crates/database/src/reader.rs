//! Opening tables for a query.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use freshet_query::{QueryTable, ResultColumn, TableColumn, TableVersion};
use freshet_table::{Table, TableError, Tables, VersionedTable};
use futures::future::try_join_all;

use crate::tables::Place;
use crate::{DatabaseError, DatabaseTable, DatabaseTables, ExternalFiles, TableRead};

/// The version of a real-time table that nothing was written to yet.
const NOTHING_YET: &str = "none";
/// Why an external table has no older versions for queries.
const ONLY_NEWEST: &str = "an external table is read at its newest version alone";

/// The versions of tables, by the tables' [full names](QueryTable::full_name). Two that are equal have the same rows; which of two is newer they don't say.
pub type TableVersions = BTreeMap<String, String>;

/// A table, open at one version.
#[derive(Debug)]
pub struct OpenTable {
    /// What the query engine takes.
    pub table: QueryTable,
    /// The version: the same as long as the table's rows are.
    pub version: String,
    /// The same, to be asked what changed since an earlier one: of a table that a stream feeds, at its newest version, once something was
    /// written to it.
    pub fed: Option<VersionedTable>,
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

    /// Opens tables of a database, each at its newest version or the one that is asked for.
    ///
    /// # Errors
    /// The first of them that can't be opened.
    pub async fn open(&self, of: &DatabaseTables, reads: &[TableRead<'_>]) -> Result<Vec<OpenTable>, DatabaseError> {
        try_join_all(reads.iter().map(|read| self.open_one(of, *read))).await
    }

    /// The versions at which [`Self::open`] would open tables of a database. Cheaper than opening them.
    ///
    /// # Errors
    /// The first of them that can't be looked at.
    pub async fn versions(&self, of: &DatabaseTables, reads: &[TableRead<'_>]) -> Result<TableVersions, DatabaseError> {
        let versions = reads.iter().map(|read| async move {
            let name = read.table.name();
            let name = read.version.map_or_else(|| name.to_owned(), |version| version.of_table(name));
            Ok::<_, DatabaseError>((name, self.version(of, *read).await?))
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
            self.open_one(of, table.into()).await?.table.columns
        };
        Ok(columns.iter().map(TableColumn::result_column).collect())
    }

    async fn open_one(&self, of: &DatabaseTables, read: TableRead<'_>) -> Result<OpenTable, DatabaseError> {
        let TableRead { table, version: asked } = read;
        let name = table.name().to_owned();
        let (provider, columns, version) = match &table.place {
            Place::Records { path, columns } => {
                let Some(open) = self.tables.open(path).await? else {
                    read.refuse_older("nothing was written to it yet")?;
                    let table = QueryTable::empty(name, columns.clone());
                    return Ok(OpenTable { table, version: NOTHING_YET.to_owned(), fed: None });
                };
                if read.version.is_none() {
                    let fed = open.newest_version().await?;
                    let (provider, version) = (fed.provider(), fed.number().to_string());
                    let table = QueryTable { name, version: None, provider, columns: columns.clone() };
                    return Ok(OpenTable { table, version, fed: Some(fed) });
                }
                let (provider, version) = provider_of(&open, read).await?;
                (provider, columns.clone(), version.to_string())
            }
            Place::Made { path } => {
                let open = self.tables.open(path).await?.ok_or_else(|| not_made(of, table))?;
                let (provider, version) = provider_of(&open, read).await?;
                let columns = all_columns(&*provider);
                (provider, columns, version.to_string())
            }
            Place::External(external) => {
                read.refuse_older(ONLY_NEWEST)?;
                let (provider, version) = self.external.open(&of.tenant, external).await?;
                let columns = all_columns(&*provider);
                (provider, columns, version)
            }
        };
        Ok(OpenTable { table: QueryTable { name, version: asked, provider, columns }, version, fed: None })
    }

    async fn version(&self, of: &DatabaseTables, read: TableRead<'_>) -> Result<String, DatabaseError> {
        match &read.table.place {
            Place::Records { path, .. } => match self.tables.open(path).await? {
                Some(open) => Ok(version_of(&open, read).await?.to_string()),
                None => Ok(NOTHING_YET.to_owned()),
            },
            Place::Made { path } => {
                let open = self.tables.open(path).await?.ok_or_else(|| not_made(of, read.table))?;
                Ok(version_of(&open, read).await?.to_string())
            }
            Place::External(external) => {
                read.refuse_older(ONLY_NEWEST)?;
                self.external.version(&of.tenant, external).await
            }
        }
    }
}

/// A table of ours at the version that a query asks for, and the version's number.
async fn provider_of(open: &Table, read: TableRead<'_>) -> Result<(Arc<dyn TableProvider>, u64), DatabaseError> {
    let opened = match read.version {
        None => open.versioned_provider().await,
        Some(TableVersion::Number(number)) => open.provider_at(number).await.map(|provider| (provider, number)),
        Some(TableVersion::Time(time)) => open.provider_as_of(time).await,
    };
    opened.map_err(|error| read.explain(error))
}

/// The number of the version that a query asks for. If it asks by number, that it is there isn't said.
async fn version_of(open: &Table, read: TableRead<'_>) -> Result<u64, DatabaseError> {
    match read.version {
        None => Ok(open.version().await?),
        Some(TableVersion::Number(number)) => Ok(number),
        Some(TableVersion::Time(_)) => Ok(provider_of(open, read).await?.1),
    }
}

impl TableRead<'_> {
    /// Refuses any version but the newest.
    fn refuse_older(self, problem: &str) -> Result<(), DatabaseError> {
        self.version.map_or(Ok(()), |version| Err(self.no_version(version, problem.to_owned())))
    }

    fn explain(self, error: TableError) -> DatabaseError {
        match (error, self.version) {
            (TableError::NoVersion { first, newest, .. }, Some(version)) => {
                self.no_version(version, format!("it can be read from version {first} to {newest}"))
            }
            (other, _) => other.into(),
        }
    }

    fn no_version(self, version: TableVersion, problem: String) -> DatabaseError {
        DatabaseError::NoVersion { table: self.table.name().to_owned(), version, problem }
    }
}

fn not_made(of: &DatabaseTables, table: &DatabaseTable) -> DatabaseError {
    DatabaseError::NotMade { table: table.name().to_owned(), database: of.database.to_string() }
}

/// All the columns that a table has.
fn all_columns(provider: &dyn TableProvider) -> Vec<TableColumn> {
    provider.schema().fields().iter().map(|field| TableColumn::of(field)).collect()
}
