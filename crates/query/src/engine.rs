//! Running a query within its bounds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, SessionStateDefaults, TaskContext};
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser;
use futures::StreamExt;
use jiff::Timestamp;
use tokio::runtime::Runtime;

use crate::answer::{AnswerWriter, ResultColumn, Statistics};
use crate::cells::type_name;
use crate::concatenation::ConcatenationPlanner;
use crate::error::too_complex;
use crate::growth::{refuse_growth, refuse_large_rows, rows_at_once};
use crate::held::{holding, pass_on};
use crate::interrupt::{Interrupt, interruptible};
use crate::names::Spellings;
use crate::tables::{schema_of, spellings};
use crate::{Answer, Parameters, QueryError, QueryTable, Select, functions};

/// Most rows of an answer.
pub const MAX_ROWS: usize = 100_000;
/// Most columns of a result: planning and writing cost by the column.
const MAX_COLUMNS: usize = 5_000;
/// Where the tables of a query are planned; no name of a query holds them.
const CATALOG: &str = "freshet";
const SCHEMA: &str = "database";
/// The stack of a query's threads: expressions are walked recursively, to the depth that the text may have. Memory is
/// taken only as far as a stack grows.
const STACK_BYTES: usize = 16 << 20;

/// What the queries of one process may take.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Threads that run queries, and parts into which one query is split.
    pub threads: usize,
    /// Memory of one query in bytes: sorts, groups and joins are counted, batches on their way are not.
    pub memory_bytes: usize,
    /// Where sorts and groups go that do not fit into memory; made if absent, emptied after each query.
    pub spill_directory: PathBuf,
    /// Disk of one query there in bytes.
    pub spill_bytes: u64,
    /// Most bytes of an answer's body.
    pub answer_bytes: usize,
}

/// One query.
#[derive(Debug)]
pub struct Query {
    /// What is asked.
    pub select: Select,
    /// The values of its parameters.
    pub parameters: Parameters,
    /// The tables that it names ([`find_tables`](crate::find_tables)); it can read no other.
    pub tables: Vec<QueryTable>,
    /// Most rows of the answer, up to [`MAX_ROWS`].
    pub limit: usize,
    /// How long it may take.
    pub timeout: Duration,
    /// The time of the tables' snapshots, to be told in the answer.
    pub as_of: Timestamp,
}

/// Runs queries on threads of its own, so that they never starve what else the process does.
#[derive(Debug)]
pub struct QueryEngine {
    /// There until the engine is dropped.
    runtime: Option<Runtime>,
    template: SessionState,
    settings: EngineSettings,
}

impl QueryEngine {
    /// An engine with its threads.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`]: the threads or the directory for spilling can't be made.
    pub fn new(settings: EngineSettings) -> Result<Self, QueryError> {
        let unavailable = |error| QueryError::Unavailable { source: DataFusionError::IoError(error) };
        std::fs::create_dir_all(&settings.spill_directory).map_err(unavailable)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("freshet-query")
            .worker_threads(settings.threads.max(1))
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(unavailable)?;
        pass_on();
        let template = template(&settings);
        Ok(Self { runtime: Some(runtime), template, settings })
    }

    /// Runs a query. Dropping the future stops its work, as its timeout does; but work ends only where it yields, and
    /// `permit` is dropped when the last of it has ended.
    ///
    /// # Errors
    /// Any of [`QueryError`]'s variants.
    pub async fn run<P: Send + Sync + 'static>(&self, query: Query, permit: P) -> Result<Answer, QueryError> {
        let started = Instant::now();
        let timeout = query.timeout;
        let session = self.session()?;
        let most_bytes = self.settings.answer_bytes;
        let runtime = self.runtime.as_ref().ok_or_else(|| QueryError::internal("the engine has no threads"))?;
        let interrupt = Interrupt::default();
        let task =
            runtime.spawn(holding(Arc::new(permit), run(session, query, most_bytes, started, interrupt.clone())));
        let work = Work { task, interrupt };
        match tokio::time::timeout(timeout, work).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(QueryError::Timeout { timeout }),
        }
    }

    /// A session for one query, with memory and disk of its own.
    fn session(&self) -> Result<SessionState, QueryError> {
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![self.settings.spill_directory.clone()]))
            .with_max_temp_directory_size(self.settings.spill_bytes);
        let environment: Arc<RuntimeEnv> = RuntimeEnvBuilder::from_runtime_env(self.template.runtime_env())
            .with_memory_pool(Arc::new(FairSpillPool::new(self.settings.memory_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|source| QueryError::Unavailable { source })?;
        Ok(SessionStateBuilder::new_from_existing(self.template.clone()).with_runtime_env(environment).build())
    }
}

impl Drop for QueryEngine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for the threads would block an async caller.
            runtime.shutdown_background();
        }
    }
}

/// A running query, which ends when nobody waits for it any more.
struct Work {
    task: tokio::task::JoinHandle<Result<Answer, QueryError>>,
    interrupt: Interrupt,
}

impl Future for Work {
    type Output = Result<Answer, QueryError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.task).poll(context).map(|joined| match joined {
            Ok(outcome) => outcome,
            Err(error) => Err(QueryError::Internal { source: DataFusionError::ExecutionJoin(Box::new(error)) }),
        })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.interrupt.give_up();
        self.task.abort();
    }
}

/// What all sessions have in common: settings and functions, no tables.
fn template(settings: &EngineSettings) -> SessionState {
    let threads = settings.threads.max(1);
    // What a sort keeps aside for its merge, in each part: an eighth of the memory in all.
    let sort_reserve = (settings.memory_bytes / (8 * threads)).min(10 << 20);
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_sort_spill_reservation_bytes(sort_reserve)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.enforce_batch_size_in_joins = true;
    let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(ConcatenationPlanner::new())];
    planners.extend(SessionStateDefaults::default_expr_planners());
    let builder = SessionStateBuilder::new_with_default_features().with_expr_planners(planners);
    let state = builder.with_config(config).build();
    let context = SessionContext::new_with_state(state);
    functions::restrict(&context);
    context.state()
}

async fn run(
    session: SessionState,
    query: Query,
    most_bytes: usize,
    started: Instant,
    interrupt: Interrupt,
) -> Result<Answer, QueryError> {
    let spellings = spellings(&query.tables);
    let explain = |error| QueryError::of(error, &spellings);
    let session = with_tables(session, &query.tables, &spellings).map_err(explain)?;
    let statement = statement(&query.select, &spellings)?;
    let plan = session.statement_to_plan(statement).await.map_err(explain)?;
    let nothing_else = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    nothing_else.verify_plan(&plan).map_err(explain)?;
    if plan.schema().fields().len() > MAX_COLUMNS {
        return Err(too_complex(format!("its result has more than {MAX_COLUMNS} columns")));
    }
    let plan = functions::bound(plan, &session).map_err(explain)?;
    refuse_growth(&plan)?;
    let plan = query.parameters.bind(plan, query.select.placeholders())?.map_err(explain)?;
    let columns: Vec<ResultColumn> = plan
        .schema()
        .fields()
        .iter()
        .map(|field| ResultColumn { name: spellings.of_column(field.name()), type_name: type_name(field) })
        .collect();

    // One row more than asked tells whether there are more.
    let plan = LogicalPlanBuilder::from(plan).limit(0, Some(query.limit.saturating_add(1))).map_err(explain)?;
    let plan = session.optimize(&plan.build().map_err(explain)?).map_err(explain)?;
    refuse_large_rows(&plan)?;
    let rows = rows_at_once(&plan, session.config().batch_size())?;
    let config = session.config().clone().with_batch_size(rows);
    let session = SessionStateBuilder::new_from_existing(session).with_config(config).build();
    let physical = session.query_planner().create_physical_plan(&plan, &session).await.map_err(explain)?;
    let task: Arc<TaskContext> = session.task_ctx();
    let physical = interruptible(physical, &interrupt).map_err(explain)?;
    let mut batches = execute_stream(Arc::clone(&physical), task).map_err(explain)?;
    let mut writer = AnswerWriter::new(&columns, query.limit, most_bytes)?;
    while let Some(batch) = batches.next().await {
        if !writer.push(&batch.map_err(explain)?)? {
            break;
        }
    }
    let mut statistics = Statistics { elapsed_ms: 0, rows_read: 0, bytes_spilled: 0 };
    measure(physical.as_ref(), &mut statistics);
    statistics.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    writer.finish(query.as_of, &statistics)
}

/// The statement to plan, its quoted names in the spelling under which the tables are planned.
fn statement(select: &Select, spellings: &Spellings) -> Result<Statement, QueryError> {
    let query = select.query(|name| spellings.planned(name))?;
    Ok(Statement::Statement(Box::new(sqlparser::ast::Statement::Query(query))))
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
