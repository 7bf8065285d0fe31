//! Which tables a database has.

use freshet_catalog::TenantCatalog;
use freshet_decode::{failed_schema, table_schema};
use freshet_model::{ColumnType, ExternalTable, INTERNAL_COLUMNS, ResourceName, TableDefinition, TableName, TenantId};
use freshet_query::{QueryError, Select, TableColumn, TableVersion, find_tables};
use freshet_table::{failed_table_path, made_table_path, table_path};

/// What a table of a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Fed by a stream.
    RealTime,
    /// The failed rows of one that is.
    Failed,
    /// Written by others.
    External,
    /// Made by SQL whenever the database is run.
    Sql,
}

impl TableKind {
    /// As the API says it: `real_time`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RealTime => "real_time",
            Self::Failed => "failed",
            Self::External => "external",
            Self::Sql => "sql",
        }
    }
}

/// A table of a database.
#[derive(Debug, Clone)]
pub struct DatabaseTable {
    name: String,
    kind: TableKind,
    pub(crate) place: Place,
}

/// Where a table's rows come from.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A Delta table of ours with these columns; where it is not there, nothing was written to it yet.
    Records { path: String, columns: Vec<TableColumn> },
    /// Files of others.
    External(ExternalTable),
    /// A Delta table of ours that a run makes.
    Made { path: String },
}

impl DatabaseTable {
    /// Its name in SQL.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> TableKind {
        self.kind
    }
}

/// A table of a database as a query reads it.
#[derive(Debug, Clone, Copy)]
pub struct TableRead<'a> {
    /// Which.
    pub table: &'a DatabaseTable,
    /// At which version; none: the newest.
    pub version: Option<TableVersion>,
}

/// At its newest version.
impl<'a> From<&'a DatabaseTable> for TableRead<'a> {
    fn from(table: &'a DatabaseTable) -> Self {
        Self { table, version: None }
    }
}

/// The tables of a database.
#[derive(Debug, Clone)]
pub struct DatabaseTables {
    pub(crate) tenant: TenantId,
    pub(crate) database: ResourceName,
    tables: Vec<DatabaseTable>,
    names: Vec<String>,
}

impl DatabaseTables {
    /// Those of a tenant's database; none: it has no such database.
    #[must_use]
    pub fn of(catalog: &TenantCatalog, database: &str) -> Option<Self> {
        let database = catalog.database(database)?;
        let tenant = catalog.tenant().clone();
        let mut tables = Vec::new();
        for table in catalog.tables_of_database(database.name.as_str()) {
            tables.push(real_time(&tenant, &table.name, &table.definition));
            tables.push(failed(&tenant, &table.name));
        }
        for table in &database.definition.external {
            let place = Place::External(table.clone());
            tables.push(DatabaseTable { name: table.name.to_string(), kind: TableKind::External, place });
        }
        for table in &database.definition.tables {
            let place = Place::Made { path: made_table_path(&tenant, &database.name, &table.name) };
            tables.push(DatabaseTable { name: table.name.to_string(), kind: TableKind::Sql, place });
        }
        tables.sort_by(|left, right| left.name.cmp(&right.name));
        let names = tables.iter().map(|table| table.name.clone()).collect();
        Some(Self { tenant, database: database.name.clone(), tables, names })
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &DatabaseTable> {
        self.tables.iter()
    }

    /// Their names, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The table of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&DatabaseTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Those that a SELECT reads, each once at each version.
    ///
    /// # Errors
    /// [`QueryError::UnknownTable`]: it reads another.
    pub fn named(&self, select: &Select) -> Result<Vec<TableRead<'_>>, QueryError> {
        let named = find_tables(select, &self.names)?.into_iter();
        Ok(named.filter_map(|(name, version)| Some(TableRead { table: self.get(name)?, version })).collect())
    }
}

fn real_time(tenant: &TenantId, name: &TableName, definition: &TableDefinition) -> DatabaseTable {
    let place = Place::Records { path: table_path(tenant, name), columns: shown_columns(definition) };
    DatabaseTable { name: name.to_string(), kind: TableKind::RealTime, place }
}

fn failed(tenant: &TenantId, name: &TableName) -> DatabaseTable {
    let schema = failed_schema();
    let columns = schema.fields().iter().map(|field| TableColumn {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        json: false,
    });
    let place = Place::Records { path: failed_table_path(tenant, name), columns: columns.collect() };
    DatabaseTable { name: name.failed(), kind: TableKind::Failed, place }
}

/// The columns of the definition and those of ours that queries show.
fn shown_columns(definition: &TableDefinition) -> Vec<TableColumn> {
    let is_json = |name: &str| {
        definition.columns.iter().any(|column| column.name.as_str() == name && column.column_type == ColumnType::Json)
    };
    let schema = table_schema(definition);
    let shown = schema.fields().iter().filter(|field| !INTERNAL_COLUMNS.contains(&field.name().as_str()));
    shown
        .map(|field| TableColumn {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            json: is_json(field.name()),
        })
        .collect()
}
