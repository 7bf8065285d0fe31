//! Running a query within its bounds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::DefaultObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, SessionStateDefaults};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::prelude::{SessionConfig, SessionContext};
use jiff::Timestamp;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::concatenation::ConcatenationPlanner;
use crate::execution::{Shape, execute};
use crate::flow::{Deadline, Flow};
use crate::held::{Held, pass_on};
use crate::interrupt::Interrupt;
use crate::{Parameters, QueryError, QueryTable, Rows, Select, functions};

/// Most rows of an answer.
pub const MAX_ROWS: usize = 100_000;
/// Where the tables of a query are planned; no name of a query holds them.
pub(crate) const CATALOG: &str = "freshet";
pub(crate) const SCHEMA: &str = "database";
/// Memory of a thread for each row of a batch.
const BYTES_OF_ROW: usize = 32 << 10;
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
    /// Most rows of its result; none: all.
    pub limit: Option<usize>,
    /// The column, in whatever case, by whose values' texts the rows are sorted, byte by byte, before they are limited; none: as they
    /// come.
    pub sorted_by_text: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// The time of the tables' snapshots.
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

    /// Starts a query: plans it, and makes its rows as they are taken. Dropping the [`Rows`] stops its work, as its timeout
    /// does; but work ends only where it yields, and `permit` is dropped when the last of it has ended.
    ///
    /// # Errors
    /// Any of [`QueryError`]'s variants; what only the data tell, the rows do.
    pub async fn start<P: Send + Sync + 'static>(&self, query: Query, permit: P) -> Result<Rows, QueryError> {
        let deadline = Deadline::after(query.timeout);
        let session = self.session()?;
        let runtime = self.runtime.as_ref().ok_or_else(|| QueryError::internal("the engine has no threads"))?;
        let (threads, held): (_, Held) = (runtime.handle().clone(), Arc::new(permit));
        let (interrupt, as_of) = (Interrupt::default(), query.as_of);
        let (announce, announcement) = oneshot::channel();
        let mut batches = Flow::start(&threads, Arc::clone(&held), deadline, interrupt.clone(), |batches| {
            execute(session, query, interrupt, announce, batches)
        });
        let Shape { schema, columns, origins } = batches.announced(announcement).await?;
        Ok(Rows { schema, columns, origins, as_of, batches, threads, held })
    }

    /// A session for one query, with memory and disk of its own.
    fn session(&self) -> Result<SessionState, QueryError> {
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![self.settings.spill_directory.clone()]))
            .with_max_temp_directory_size(self.settings.spill_bytes);
        let environment: Arc<RuntimeEnv> = RuntimeEnvBuilder::from_runtime_env(self.template.runtime_env())
            // Tables register their files where they are scanned: those of one query go with it.
            .with_object_store_registry(Arc::new(DefaultObjectStoreRegistry::new()))
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

/// Rows of a batch on its way. A sort that has spilled holds a batch of each of several files at once: with wide rows and little memory,
/// batches of the usual size would not fit.
fn rows_of_batch(memory_of_thread: usize) -> usize {
    (memory_of_thread / BYTES_OF_ROW).clamp(512, 8_192)
}

/// What all sessions have in common: settings and functions, no tables.
fn template(settings: &EngineSettings) -> SessionState {
    let threads = settings.threads.max(1);
    // What a sort keeps aside for its merge, in each part: an eighth of the memory in all.
    let sort_reserve = (settings.memory_bytes / (8 * threads)).min(10 << 20);
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_batch_size(rows_of_batch(settings.memory_bytes / threads))
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
