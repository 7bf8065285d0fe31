//! What queries work with, and what stays warm between requests.

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use freshet_access::Access;
use freshet_catalog::Catalog;
use freshet_http::HealthCheck;
use freshet_platform::{Clock, Services};
use freshet_query::{EngineSettings, QueryEngine, QueryError};
use freshet_store::Store;
use freshet_table::Tables;

use crate::admission::Admission;

const MEBIBYTE: usize = 1 << 20;

/// What queries may take.
#[derive(Debug, Clone)]
pub struct QueryLimits {
    /// What one query may take.
    pub engine: EngineSettings,
    /// Queries that run at once: times the memory of one, this is what queries take of the machine.
    pub running: usize,
    /// Queries that may wait for one of these to end; more are refused at once.
    pub waiting: usize,
    /// Longest time that a caller may ask for.
    pub longest: Duration,
}

impl QueryLimits {
    /// Behind an API gateway, which gives up after 29 s and passes answers of 6 MB on. Lambda wraps the answer into a JSON
    /// string, in which each quote takes two bytes more: at worst the answer doubles.
    #[must_use]
    pub fn behind_gateway(data: &Path) -> Self {
        let engine = EngineSettings { answer_bytes: 2_900_000, ..engine(data) };
        Self { engine, running: 4, waiting: 16, longest: Duration::from_secs(25) }
    }

    /// On a server of one's own.
    #[must_use]
    pub fn of_server(data: &Path) -> Self {
        Self { engine: engine(data), running: 4, waiting: 16, longest: Duration::from_mins(5) }
    }
}

fn engine(data: &Path) -> EngineSettings {
    EngineSettings {
        threads: available_parallelism().map_or(2, usize::from),
        memory_bytes: 256 * MEBIBYTE,
        spill_directory: data.join("query"),
        spill_bytes: 4_096 * (MEBIBYTE as u64),
        answer_bytes: 64 * MEBIBYTE,
    }
}

/// What queries work with.
#[derive(Debug)]
pub struct QueryContext {
    store: Arc<dyn Store>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) access: Arc<Access>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) clock: Clock,
    pub(crate) engine: QueryEngine,
    pub(crate) admission: Admission,
    pub(crate) longest: Duration,
}

impl QueryContext {
    /// The context over the services of this process and the tables in their files.
    ///
    /// # Errors
    /// See [`QueryEngine::new`].
    pub fn of_services(services: &Services, tables: Arc<Tables>, limits: QueryLimits) -> Result<Self, QueryError> {
        Self::new(
            Arc::clone(&services.store),
            Arc::clone(&services.catalog),
            Arc::clone(&services.access),
            tables,
            services.clock.clone(),
            limits,
        )
    }

    /// The context over its parts.
    ///
    /// # Errors
    /// See [`QueryEngine::new`].
    pub fn new(
        store: Arc<dyn Store>,
        catalog: Arc<Catalog>,
        access: Arc<Access>,
        tables: Arc<Tables>,
        clock: Clock,
        limits: QueryLimits,
    ) -> Result<Self, QueryError> {
        let QueryLimits { engine, running, waiting, longest } = limits;
        let admission = Admission::new(running, waiting);
        Ok(Self { store, catalog, access, tables, clock, engine: QueryEngine::new(engine)?, admission, longest })
    }

    /// Whether queries can reach what they need.
    pub async fn health(&self) -> Vec<HealthCheck> {
        let (store, files) = tokio::join!(self.store.ping(), self.tables.ping());
        vec![check("store", &store), check("files", &files)]
    }
}

fn check<E: std::error::Error + 'static>(name: &'static str, answer: &Result<(), E>) -> HealthCheck {
    if let Err(error) = answer {
        tracing::warn!(name, error = error as &dyn std::error::Error, "it can't be reached");
    }
    HealthCheck { name, reachable: answer.is_ok() }
}
