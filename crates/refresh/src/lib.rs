//! What a run does: makes the tables of a database anew that are made by SQL, or the profiles of an index.
//!
//! What it promises:
//! - A table made by SQL is replaced in one version; one that fails keeps what it held, and says why; those that read it are left out,
//!   and the others are made all the same.
//! - A profile index is read as it was until the whole result of its query is known to be sorted and without fault; then each profile
//!   changes at once. A query that fails leaves the index as it is.
//! - Both work in bounded memory: what doesn't fit is spilled to disk, and a query that needs more is refused.
//! - Killed anywhere, what was there serves on, and the next run ends as if nothing had happened.
//!
//! Data goes: the SELECT of a table or index → the tables that it names, each at its newest version → the query engine → for a table
//! one new version of it, for an index its profiles in the order of their ids. An index whose query makes each row of one row of one table
//! reads no more of that than has changed since its last refresh (`incremental`).

mod database;
mod error;
mod incremental;
mod index;
mod order;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use freshet_database::{DatabaseReader, DatabaseTables, OpenTable, TableVersions};
use freshet_query::{Parameters, Query, QueryEngine, QueryTable, Rows, Select, parse_select};
use freshet_store::Store;
use jiff::Timestamp;

pub use error::RefreshFailure;
pub use index::fingerprint;

/// How long the SELECT of one table or index may take.
pub const TIMEOUT: Duration = Duration::from_hours(1);

/// What runs work with.
pub struct Refresher {
    reader: Arc<DatabaseReader>,
    engine: QueryEngine,
    store: Arc<dyn Store>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresher").finish_non_exhaustive()
    }
}

impl Refresher {
    /// Over the tables of databases, an engine for their queries, and the store of profiles.
    #[must_use]
    pub fn new(
        reader: Arc<DatabaseReader>,
        engine: QueryEngine,
        store: Arc<dyn Store>,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self { reader, engine, store, clock: Box::new(clock) }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The newest versions of the tables that a SELECT reads.
    ///
    /// # Errors
    /// It is none, or one of its tables can't be looked at.
    pub async fn versions(&self, tables: &DatabaseTables, sql: &str) -> Result<TableVersions, RefreshFailure> {
        let select = parse(sql)?;
        let named = tables.named(&select)?;
        Ok(self.reader.versions(tables, &named).await?)
    }

    /// Starts a SELECT, and says which versions of which tables it reads.
    ///
    /// # Errors
    /// It is none, one of its tables can't be opened, or it can't be planned.
    pub async fn answer(
        &self,
        tables: &DatabaseTables,
        sql: &str,
        sorted_by_text: Option<String>,
    ) -> Result<(Rows, TableVersions), RefreshFailure> {
        let opened = self.open(tables, sql).await?;
        let rows = self.start(&opened, opened.tables(), sorted_by_text).await?;
        Ok((rows, opened.versions()))
    }

    /// Opens what a SELECT reads.
    async fn open(&self, tables: &DatabaseTables, sql: &str) -> Result<Opened, RefreshFailure> {
        let select = parse(sql)?;
        let named = tables.named(&select)?;
        // Before the tables are opened: each is at this time or a little later, never before it.
        let as_of = self.now();
        let tables = self.reader.open(tables, &named).await?;
        Ok(Opened { select, tables, as_of })
    }

    /// Starts a SELECT over tables.
    async fn start(
        &self,
        opened: &Opened,
        tables: Vec<QueryTable>,
        sorted_by_text: Option<String>,
    ) -> Result<Rows, RefreshFailure> {
        let query = Query {
            select: opened.select.clone(),
            parameters: Parameters::default(),
            tables,
            limit: None,
            sorted_by_text,
            timeout: TIMEOUT,
            as_of: opened.as_of,
        };
        Ok(self.engine.start(query, ()).await?)
    }
}

/// A SELECT, and what it reads.
struct Opened {
    select: Select,
    tables: Vec<OpenTable>,
    as_of: Timestamp,
}

impl Opened {
    fn tables(&self) -> Vec<QueryTable> {
        self.tables.iter().map(|open| open.table.clone()).collect()
    }

    fn versions(&self) -> TableVersions {
        self.tables.iter().map(|open| (open.table.full_name(), open.version.clone())).collect()
    }
}

fn parse(sql: &str) -> Result<Select, RefreshFailure> {
    parse_select(sql).map_err(|refusal| RefreshFailure::Query(refusal.into()))
}
