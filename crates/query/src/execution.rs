//! Planning a query and making its rows.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::common::Column;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SQLOptions;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser;
use freshet_sql::capped;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};

use crate::cells::type_name;
use crate::engine::{CATALOG, SCHEMA};
use crate::error::too_complex;
use crate::growth::{refuse_growth, refuse_large_rows, rows_at_once};
use crate::interrupt::{Interrupt, interruptible};
use crate::names::{Spellings, nearest};
use crate::origins::{Origins, origins};
use crate::plain::{part, plain_schema, ranges};
use crate::rows::{ResultColumn, Statistics, Summary};
use crate::tables::{schema_of, spellings};
use crate::windows::{accounted, refuse_gathering};
use crate::{Query, QueryError, QueryTable, Select, functions};

/// Most columns of a result: planning and writing cost by the column.
const MAX_COLUMNS: usize = 5_000;

/// What is known of a result before its rows.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) schema: SchemaRef,
    pub(crate) columns: Vec<ResultColumn>,
    pub(crate) origins: Option<Origins>,
}

/// Plans a query, tells the shape of its result, and makes its rows as they are taken.
pub(crate) async fn execute(
    session: SessionState,
    query: Query,
    interrupt: Interrupt,
    shape: oneshot::Sender<Shape>,
    batches: mpsc::Sender<RecordBatch>,
) -> Result<Summary, QueryError> {
    let started = Instant::now();
    let spellings = spellings(&query.tables);
    let reads_older = query.tables.iter().any(|table| table.version.is_some());
    let explain = |error| {
        if reads_older { QueryError::of_older_versions(error, &spellings) } else { QueryError::of(error, &spellings) }
    };
    let session = with_tables(session, &query.tables, &spellings).map_err(explain)?;
    let plan = plan(&session, &query, &spellings).await?;
    let (names, columns) = result_columns(&plan, &spellings);
    // Before it is optimized, which writes constants in the place of what is the same for one query and not for the next.
    let origins = origins(&plan, &query.tables);

    let plan = match &query.sorted_by_text {
        Some(column) => sorted_by_text(plan, column, &columns, explain)?,
        None => plan,
    };

    // One row more than asked tells whether there are more.
    let limited = match query.limit {
        Some(limit) => LogicalPlanBuilder::from(plan).limit(0, Some(limit.saturating_add(1))).map_err(explain)?.build(),
        None => Ok(plan),
    };
    let plan = session.optimize(&limited.map_err(explain)?).map_err(explain)?;
    refuse_large_rows(&plan)?;
    let rows = rows_at_once(&plan, session.config().batch_size())?;
    let config = session.config().clone().with_batch_size(rows);
    let session = SessionStateBuilder::new_from_existing(session).with_config(config).build();
    let physical = session.query_planner().create_physical_plan(&plan, &session).await.map_err(explain)?;
    let physical = accounted(physical).map_err(explain)?;
    let physical = interruptible(physical, &interrupt).map_err(explain)?;
    let schema = plain_schema(names.into_iter().zip(physical.schema().fields().iter().map(AsRef::as_ref)));
    if shape.send(Shape { schema: Arc::clone(&schema), columns, origins }).is_err() {
        return Err(QueryError::internal("nobody waits for the rows"));
    }

    let mut made = execute_stream(Arc::clone(&physical), session.task_ctx()).map_err(explain)?;
    let (mut rows, mut truncated) = (0, false);
    while let Some(batch) = made.next().await {
        let batch = batch.map_err(explain)?;
        let left = query.limit.map_or(usize::MAX, |limit| limit - rows);
        truncated = batch.num_rows() > left;
        let batch = batch.slice(0, batch.num_rows().min(left));
        for range in ranges(&batch)? {
            if batches.send(part(&batch, &range, &schema)?).await.is_err() {
                return Err(QueryError::internal("nobody takes the rows"));
            }
        }
        rows += batch.num_rows();
        if truncated {
            break;
        }
    }
    let mut statistics = Statistics::default();
    measure(physical.as_ref(), &mut statistics);
    statistics.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Summary { rows, truncated, statistics })
}

fn with_tables(
    session: SessionState,
    tables: &[QueryTable],
    spellings: &Spellings,
) -> Result<SessionState, DataFusionError> {
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, schema_of(tables, spellings)?)?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(SessionStateBuilder::new_from_existing(session).with_catalog_list(Arc::new(catalogs)).build())
}

/// The plan of a query with its parameters' values, if it is one that may run.
async fn plan(session: &SessionState, query: &Query, spellings: &Spellings) -> Result<LogicalPlan, QueryError> {
    let explain = |error| QueryError::of(error, spellings);
    let statement = statement(&query.select, spellings)?;
    let plan = session.statement_to_plan(statement).await.map_err(explain)?;
    let nothing_else = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    nothing_else.verify_plan(&plan).map_err(explain)?;
    if plan.schema().fields().len() > MAX_COLUMNS {
        return Err(too_complex(format!("its result has more than {MAX_COLUMNS} columns")));
    }
    let plan = functions::bound(plan, session).map_err(explain)?;
    refuse_growth(&plan)?;
    refuse_gathering(&plan)?;
    query.parameters.bind(plan, query.select.placeholders())?.map_err(explain)
}

/// The statement to plan, its quoted names in the spelling under which the tables are planned.
fn statement(select: &Select, spellings: &Spellings) -> Result<Statement, QueryError> {
    let query = select.query(|name| spellings.planned(name))?;
    Ok(Statement::Statement(Box::new(sqlparser::ast::Statement::Query(query))))
}

/// A plan whose rows come in the order of one column's values as texts.
fn sorted_by_text(
    plan: LogicalPlan,
    column: &str,
    columns: &[ResultColumn],
    explain: impl Fn(DataFusionError) -> QueryError + Copy,
) -> Result<LogicalPlan, QueryError> {
    let place = column_of(column, columns)?;
    let (qualifier, field) = plan.schema().qualified_field(place);
    if !is_text_well_known(field.data_type()) {
        let message = format!(
            "column {:?} is a {}, whose text has several forms: make it a string in the query, as with CAST",
            capped(column),
            type_name(field)
        );
        return Err(QueryError::Invalid { message });
    }
    let text = cast(Expr::Column(Column::new(qualifier.cloned(), field.name())), DataType::Utf8);
    LogicalPlanBuilder::from(plan).sort([text.sort(true, true)]).map_err(explain)?.build().map_err(explain)
}

/// Which column of a result is meant by a name: the one of this spelling, else the only one of it in another case.
///
/// # Errors
/// [`QueryError::UnknownColumn`] with the nearest name.
pub(crate) fn column_of(name: &str, columns: &[ResultColumn]) -> Result<usize, QueryError> {
    if let Some(exact) = columns.iter().position(|column| column.name == name) {
        return Ok(exact);
    }
    let mut ignoring_case =
        columns.iter().enumerate().filter(|(_, column)| column.name.eq_ignore_ascii_case(name)).map(|(place, _)| place);
    match (ignoring_case.next(), ignoring_case.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(QueryError::UnknownColumn {
            name: name.to_owned(),
            nearest: nearest(name, columns.iter().map(|column| column.name.as_str())).map(str::to_owned),
        }),
    }
}

/// Whether there is one text only that a value of a type is written as.
fn is_text_well_known(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_text_well_known(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean | DataType::Date32 => true,
        other => other.is_integer() || other.is_decimal(),
    }
}

/// The columns of a plan's result as they are spelt in their tables: their names, and with their types.
fn result_columns(plan: &LogicalPlan, spellings: &Spellings) -> (Vec<String>, Vec<ResultColumn>) {
    let fields = plan.schema().fields().iter();
    let column = |name: String, type_name: String| (name.clone(), ResultColumn { name, type_name });
    fields.map(|field| column(spellings.of_column(field.name()), type_name(field))).unzip()
}

/// Adds up what the parts of a plan measured.
fn measure(plan: &dyn ExecutionPlan, statistics: &mut Statistics) {
    let metrics = plan.metrics();
    let children = plan.children();
    if let Some(metrics) = metrics {
        statistics.bytes_spilled += metrics.spilled_bytes().unwrap_or(0);
        if children.is_empty() {
            statistics.rows_read += metrics.output_rows().unwrap_or(0);
        }
    }
    for child in children {
        measure(child.as_ref(), statistics);
    }
}
