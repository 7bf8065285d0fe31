//! What queries work with, and what stays warm between requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use freshet_access::Access;
use freshet_catalog::Catalog;
use freshet_database::DatabaseReader;
use freshet_http::HealthCheck;
use freshet_platform::{Clock, FileServices};
use freshet_query::{EngineSettings, QueryEngine, QueryError};
use freshet_store::Store;

use crate::admission::Admission;
use crate::stored::StoredAnswers;

const MEBIBYTE: usize = 1 << 20;
/// What Lambda passes on of an answer, its headers left out: 6 MB in all.
const GATEWAY_BYTES: u64 = 5_980_000;

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
    /// Most bytes of an answer that is made before it is sent: in JSON, in Parquet, and any behind a gateway.
    pub answer_bytes: usize,
    /// Most bytes of a Lambda event's body, where answers go through one: larger ones go to the files, if these can be linked
    /// to.
    pub gateway_bytes: Option<u64>,
}

impl QueryLimits {
    /// Behind an API gateway, which gives up after 29 s and passes answers of 6 MB on.
    #[must_use]
    pub fn behind_gateway(data: &Path) -> Self {
        Self { longest: Duration::from_secs(25), gateway_bytes: Some(GATEWAY_BYTES), ..Self::of_server(data) }
    }

    /// On a server of one's own.
    #[must_use]
    pub fn of_server(data: &Path) -> Self {
        let engine = EngineSettings {
            threads: available_parallelism().map_or(2, usize::from),
            memory_bytes: 256 * MEBIBYTE,
            spill_directory: data.join("query"),
            spill_bytes: 4_096 * (MEBIBYTE as u64),
        };
        Self {
            engine,
            running: 4,
            waiting: 16,
            longest: Duration::from_mins(5),
            answer_bytes: 64 * MEBIBYTE,
            gateway_bytes: None,
        }
    }
}

/// What queries work with.
#[derive(Debug)]
pub struct QueryContext {
    store: Arc<dyn Store>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) access: Arc<Access>,
    pub(crate) reader: Arc<DatabaseReader>,
    pub(crate) clock: Clock,
    pub(crate) engine: QueryEngine,
    pub(crate) admission: Admission,
    pub(crate) longest: Duration,
    pub(crate) answer_bytes: usize,
    pub(crate) gateway_bytes: Option<u64>,
    /// Where answers go that are too large to be kept in memory.
    pub(crate) spool_directory: PathBuf,
    /// None where the files can't be linked to.
    pub(crate) stored_answers: Option<StoredAnswers>,
}

impl QueryContext {
    /// The context over the services of this process and what reads their tables.
    ///
    /// # Errors
    /// See [`QueryEngine::new`].
    pub fn of_services(
        services: &FileServices,
        reader: Arc<DatabaseReader>,
        limits: QueryLimits,
    ) -> Result<Self, QueryError> {
        let files = Arc::clone(&services.files);
        let stored_answers = services.signer.clone().map(|signer| StoredAnswers::new(files, signer));
        Self::new(
            Arc::clone(&services.store),
            Arc::clone(&services.catalog),
            Arc::clone(&services.access),
            reader,
            services.clock.clone(),
            limits,
            stored_answers,
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
        reader: Arc<DatabaseReader>,
        clock: Clock,
        limits: QueryLimits,
        stored_answers: Option<StoredAnswers>,
    ) -> Result<Self, QueryError> {
        let QueryLimits { engine, running, waiting, longest, answer_bytes, gateway_bytes } = limits;
        Ok(Self {
            store,
            catalog,
            access,
            reader,
            clock,
            spool_directory: engine.spill_directory.clone(),
            engine: QueryEngine::new(engine)?,
            admission: Admission::new(running, waiting),
            longest,
            answer_bytes,
            gateway_bytes,
            stored_answers,
        })
    }

    /// Whether queries can reach what they need.
    pub async fn health(&self) -> Vec<HealthCheck> {
        let (store, files) = tokio::join!(
            HealthCheck::of("store", self.store.ping()),
            HealthCheck::of("files", self.reader.tables().ping())
        );
        vec![store, files]
    }
}
