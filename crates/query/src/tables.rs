//! The tables of a query, as its SQL sees them.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, lit};
use freshet_sql::TableVersion;

use crate::cells::{is_json, json_mark, type_name};
use crate::names::{Spellings, find_table};
use crate::{QueryError, ResultColumn, Select};

/// One table that a query may read.
#[derive(Clone)]
pub struct QueryTable {
    /// Its name in SQL.
    pub name: String,
    /// At which version it is read; none: the newest.
    pub version: Option<TableVersion>,
    /// Its rows.
    pub provider: Arc<dyn TableProvider>,
    /// The columns that queries see, in their order. One that the provider lacks is NULL in all rows; what the provider
    /// has beyond them is shown to no query and reached by none.
    pub columns: Vec<TableColumn>,
}

/// One column that queries see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type, where the provider doesn't tell it.
    pub data_type: DataType,
    /// Whether its text is JSON: the type of a result's column says so.
    pub json: bool,
}

impl TableColumn {
    /// A column as it is stored. Its metadata says whether its text is JSON.
    #[must_use]
    pub fn of(field: &Field) -> Self {
        Self { name: field.name().clone(), data_type: field.data_type().clone(), json: is_json(field) }
    }

    /// What a stored field says that holds JSON texts.
    #[must_use]
    pub fn json_metadata() -> HashMap<String, String> {
        json_mark().to_hashmap()
    }

    /// Its name and its type, in the words of table definitions.
    #[must_use]
    pub fn result_column(&self) -> ResultColumn {
        let type_name =
            if self.json { "json".to_owned() } else { type_name(&Field::new("", self.data_type.clone(), true)) };
        ResultColumn { name: self.name.clone(), type_name }
    }
}

impl QueryTable {
    /// A table without rows.
    #[must_use]
    pub fn empty(name: String, columns: Vec<TableColumn>) -> Self {
        let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { name, version: None, provider: Arc::new(EmptyTable::new(schema)), columns }
    }

    /// Its name, with its version where that is an older one: no two tables of a query have the same.
    #[must_use]
    pub fn full_name(&self) -> String {
        full_name(&self.name, self.version)
    }
}

impl fmt::Debug for QueryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryTable")
            .field("name", &self.full_name())
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

/// The name of a table in the tree of a query that reads it at this version; none: the newest.
pub(crate) fn full_name(table: &str, version: Option<TableVersion>) -> String {
    version.map_or_else(|| table.to_owned(), |version| version.of_table(table))
}

/// Which of the `known` tables a query reads, each once at each version.
///
/// # Errors
/// [`QueryError::UnknownTable`] with the nearest known name.
pub fn find_tables<'a>(
    select: &Select,
    known: &'a [String],
) -> Result<Vec<(&'a String, Option<TableVersion>)>, QueryError> {
    let reads = select.reads().iter();
    let found: Result<BTreeSet<_>, QueryError> =
        reads.map(|read| Ok((find_table(&read.name, known)?, read.version))).collect();
    Ok(found?.into_iter().collect())
}

pub(crate) fn spellings(tables: &[QueryTable]) -> Spellings {
    Spellings::of(tables.iter().map(|table| {
        let columns = table.columns.iter().map(|column| column.name.as_str()).collect();
        (table.name.as_str(), columns)
    }))
}

/// The schema in which a query is planned: its tables under the names of the [`Spellings`].
pub(crate) fn schema_of(
    tables: &[QueryTable],
    spellings: &Spellings,
) -> Result<Arc<dyn SchemaProvider>, DataFusionError> {
    let schema = MemorySchemaProvider::new();
    for table in tables {
        let name = spellings.planned(&table.name).unwrap_or(&table.name);
        schema.register_table(full_name(name, table.version), Arc::new(table.view(spellings)?))?;
    }
    Ok(Arc::new(schema))
}

impl QueryTable {
    /// The planner sees the view's columns only, and puts its plan in place of it: filters, projections and limits
    /// reach the provider as if it were named itself.
    fn view(&self, spellings: &Spellings) -> Result<ViewTable, DataFusionError> {
        let source = TableReference::bare(self.name.as_str());
        let stored = self.provider.schema();
        let columns = self.columns.iter().map(|column| {
            let value = match stored.index_of(&column.name) {
                Ok(_stored) => Expr::Column(Column::new(Some(source.clone()), &column.name)),
                Err(_absent) => cast(lit(ScalarValue::Null), column.data_type.clone()),
            };
            let planned = spellings.planned(&column.name).unwrap_or(&column.name);
            value.alias_with_metadata(planned, column.json.then(json_mark))
        });
        let columns: Vec<Expr> = columns.collect();
        let scan = LogicalPlanBuilder::scan(source, provider_as_source(Arc::clone(&self.provider)), None)?;
        Ok(ViewTable::new(scan.project(columns)?.build()?, None))
    }
}
