//! What the runner works with.

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use freshet_activation::{ActivationLimits, Activator, OutputFiles, system_resolve};
use freshet_catalog::Catalog;
use freshet_database::DatabaseReader;
use freshet_model::{SecretName, TenantId};
use freshet_platform::{Clock, FileServices};
use freshet_query::{EngineSettings, QueryEngine, QueryError};
use freshet_refresh::Refresher;
use freshet_runs::Runs;
use freshet_store::Store;
use object_store::ObjectStore;
use uuid::Uuid;

const MEBIBYTE: usize = 1 << 20;

/// What runs may take.
#[derive(Debug, Clone)]
pub struct RunnerLimits {
    /// What the query of one table or index may take.
    pub engine: EngineSettings,
}

impl RunnerLimits {
    /// Of a process whose data directory is this one.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        let engine = EngineSettings {
            threads: available_parallelism().map_or(2, usize::from),
            memory_bytes: 256 * MEBIBYTE,
            spill_directory: data.join("runs"),
            spill_bytes: 16_384 * (MEBIBYTE as u64),
        };
        Self { engine }
    }
}

/// What the runner works with.
#[derive(Debug)]
pub struct RunnerContext {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) runs: Runs,
    pub(crate) files: Arc<dyn ObjectStore>,
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) activator: Activator,
    pub(crate) clock: Clock,
    /// Who claims runs: another for each process.
    pub(crate) holder: String,
}

impl RunnerContext {
    /// The context over the services of this process and what reads their tables.
    ///
    /// # Errors
    /// The threads or the directory for spilling can't be made.
    pub fn of_services(
        services: &FileServices,
        reader: Arc<DatabaseReader>,
        limits: RunnerLimits,
    ) -> Result<Self, QueryError> {
        let engine = QueryEngine::new(limits.engine)?;
        let (clock, now) = (services.clock.clone(), services.clock.clone());
        let store = Arc::clone(&services.store);
        let refresher = Arc::new(Refresher::new(reader, engine, Arc::clone(&store), move || now.now()));
        let (secrets, now) = (services.activations.secrets.clone(), services.clock.clone());
        let activator = Activator {
            refresher: Arc::clone(&refresher),
            store: Arc::clone(&store),
            files: Arc::clone(&services.files),
            outputs: OutputFiles::new(Arc::clone(&services.files), services.activations.outputs.clone()),
            secrets: Arc::new(move |tenant: &TenantId, name: &SecretName| secrets.find(tenant, name)),
            networks: Arc::clone(&services.activations.networks),
            resolve: system_resolve(),
            limits: ActivationLimits::default(),
            clock: Box::new(move || now.now()),
        };
        Ok(Self {
            catalog: Arc::clone(&services.catalog),
            runs: Runs::new(Arc::clone(&store)),
            files: Arc::clone(&services.files),
            refresher,
            activator,
            store,
            clock,
            holder: Uuid::new_v4().to_string(),
        })
    }
}
