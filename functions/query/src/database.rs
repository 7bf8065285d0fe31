//! The tables of a database, as queries see them.

use std::sync::Arc;

use freshet_catalog::{Table as CatalogTable, TenantCatalog};
use freshet_decode::{failed_schema, table_schema};
use freshet_http::Problem;
use freshet_model::{ColumnType, INTERNAL_COLUMNS, ResourceName, TableDefinition, TenantId};
use freshet_platform::{failed_table_path, table_path};
use freshet_query::{QueryTable, Select, TableColumn, find_tables};
use freshet_table::{Table, TableError, Tables};
use futures::future::try_join_all;

use crate::error;

/// A table of a database: a real-time table, or that of its failed rows.
pub(crate) struct DatabaseTable {
    pub(crate) name: String,
    path: String,
    columns: Vec<TableColumn>,
}

/// The tables of a database that a query names.
///
/// # Errors
/// 400: it names another.
pub(crate) fn named_tables(
    catalog: &TenantCatalog,
    database: &ResourceName,
    select: &Select,
) -> Result<Vec<DatabaseTable>, Problem> {
    let tables = catalog.tables_of_database(database.as_str());
    let of_table = |table: &Arc<CatalogTable>| [table.name.to_string(), table.name.failed()];
    let known: Vec<String> = tables.iter().flat_map(of_table).collect();
    let named = find_tables(select, &known).map_err(|refusal| error::of_query(&refusal))?;
    let mut found = Vec::with_capacity(named.len());
    for table in tables {
        let [rows, failed] = of_table(table);
        if named.contains(&&rows) {
            found.push(DatabaseTable::of_rows(catalog.tenant(), table));
        }
        if named.contains(&&failed) {
            found.push(DatabaseTable::of_failed_rows(catalog.tenant(), table));
        }
    }
    Ok(found)
}

/// Opens tables, each at its newest version.
pub(crate) async fn open(tables: &Tables, named: Vec<DatabaseTable>) -> Result<Vec<QueryTable>, TableError> {
    try_join_all(named.into_iter().map(|table| table.open(tables))).await
}

impl DatabaseTable {
    fn of_rows(tenant: &TenantId, table: &CatalogTable) -> Self {
        Self {
            name: table.name.to_string(),
            path: table_path(tenant, &table.name),
            columns: shown_columns(&table.definition),
        }
    }

    fn of_failed_rows(tenant: &TenantId, table: &CatalogTable) -> Self {
        let schema = failed_schema();
        let columns = schema.fields().iter().map(|field| TableColumn {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            json: false,
        });
        Self { name: table.name.failed(), path: failed_table_path(tenant, &table.name), columns: columns.collect() }
    }

    /// A table that nothing was written to yet isn't there; to a query it is empty.
    async fn open(self, tables: &Tables) -> Result<QueryTable, TableError> {
        let Some(table): Option<Arc<Table>> = tables.open(&self.path).await? else {
            return Ok(QueryTable::empty(self.name, self.columns));
        };
        Ok(QueryTable { name: self.name, provider: table.provider().await?, columns: self.columns })
    }
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
