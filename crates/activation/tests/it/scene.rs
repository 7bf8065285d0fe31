//! A tenant with a saved query over a CSV file, whose content is the test's to change, and what delivers its result.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use freshet_activation::{ActivationError, ActivationLimits, Activator, OutputFiles, Resolve, system_resolve};
use freshet_catalog::{Catalog, Precondition};
use freshet_database::{DatabaseReader, ExternalFiles};
use freshet_model::{Definition, ResourceKind, SecretName, TenantId};
use freshet_query::{EngineSettings, QueryEngine};
use freshet_refresh::Refresher;
use freshet_runs::{Counts, RunId};
use freshet_store::{RedbStore, Store};
use freshet_table::Tables;
use futures::FutureExt as _;
use jiff::Timestamp;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

pub(crate) const SECRET: &str = "0123456789abcdef-hunter2";

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn noon() -> Timestamp {
    "2026-06-14T12:00:00Z".parse().unwrap()
}

/// The id of a delivery.
pub(crate) fn delivery(number: u32) -> RunId {
    format!("01900000-0000-7000-8000-{number:012}").parse().unwrap()
}

pub(crate) struct Scene {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) files: Arc<dyn ObjectStore>,
    pub(crate) catalog: Catalog,
    pub(crate) limits: ActivationLimits,
    pub(crate) networks: Vec<&'static str>,
    pub(crate) resolve: Resolve,
    pub(crate) directory: TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap());
        let place = directory.path().join("files");
        std::fs::create_dir_all(place.join("external/acme")).unwrap();
        let files: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(place).unwrap());
        let limits = ActivationLimits {
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(50),
            request: Duration::from_secs(5),
            ..ActivationLimits::default()
        };
        let catalog = Catalog::new(Arc::clone(&store));
        let networks = vec!["127.0.0.1"];
        let scene = Self { store, files, catalog, limits, networks, resolve: system_resolve(), directory };
        scene.people(&[]);
        let external = json!([{"name": "people", "location": "people.csv", "format": "csv"}]);
        scene.put(ResourceKind::Databases, "retail", &json!({ "external": external })).await;
        scene.query("SELECT id, city FROM people").await;
        scene
    }

    pub(crate) async fn query(&self, sql: &str) {
        self.put(ResourceKind::Queries, "people", &json!({"database": "retail", "sql": sql})).await;
    }

    /// The rows of the query: ids and cities.
    pub(crate) fn people(&self, rows: &[(&str, &str)]) {
        let rows: Vec<String> = rows.iter().map(|(id, city)| format!("{id},{city}\n")).collect();
        let path = self.directory.path().join("files/external/acme/people.csv");
        std::fs::write(path, format!("id,city\n{}", rows.concat())).unwrap();
    }

    pub(crate) async fn put(&self, kind: ResourceKind, name: &str, definition: &Value) {
        let definition = Definition::read(kind, "", definition).unwrap();
        self.catalog.put(&tenant(), kind, name, definition, Precondition::None, noon()).await.unwrap();
    }

    pub(crate) async fn activation(&self, send: &str, destination: Value) {
        let mut definition = json!({"query": "people", "send": send, "destination": destination});
        if send == "changes" {
            definition["key"] = json!("id");
        }
        self.put(ResourceKind::Activations, "out", &definition).await;
    }

    /// Delivers as a process would whose store and files are these.
    pub(crate) async fn deliver_on(
        &self,
        store: Arc<dyn Store>,
        files: Arc<dyn ObjectStore>,
        number: u32,
    ) -> Result<Counts, ActivationError> {
        // What is read is not what dies.
        let tables = Arc::new(Tables::new(Arc::clone(&self.files), Url::parse("file:///").unwrap()));
        let reader = Arc::new(DatabaseReader::new(tables, ExternalFiles::new(Arc::clone(&self.files), [])));
        let engine = QueryEngine::new(EngineSettings {
            threads: 2,
            memory_bytes: 64 << 20,
            spill_directory: self.directory.path().join("spill"),
            spill_bytes: 1 << 30,
        });
        let refresher = Refresher::new(reader, engine.unwrap(), Arc::clone(&store), noon);
        let activator = Activator {
            refresher: Arc::new(refresher),
            store,
            files: Arc::clone(&files),
            outputs: OutputFiles::new(files, Vec::new()),
            secrets: Arc::new(|_: &TenantId, name: &SecretName| {
                Ok((name.as_str() == "HOOK").then(|| SecretString::from(SECRET)))
            }),
            networks: self.networks.iter().map(|network| network.parse().unwrap()).collect(),
            resolve: Arc::clone(&self.resolve),
            limits: self.limits,
            clock: Box::new(noon),
        };
        let catalog = self.catalog.snapshot(&tenant()).await.unwrap();
        let activation = catalog.activation("out").unwrap().clone();
        activator.deliver(&catalog, &activation, delivery(number)).await
    }

    pub(crate) async fn deliver(&self, number: u32) -> Result<Counts, ActivationError> {
        self.deliver_on(Arc::clone(&self.store), Arc::clone(&self.files), number).await
    }

    /// A file that was delivered to `out`.
    pub(crate) fn delivered(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.directory.path().join("files/activations/acme/out").join(path)).ok()
    }

    /// The files that are left of staging.
    pub(crate) fn staged(&self) -> usize {
        fn count(path: &std::path::Path) -> usize {
            let Ok(entries) = std::fs::read_dir(path) else { return 0 };
            entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(&self.directory.path().join("files/deliveries"))
    }
}

/// Names that resolve to these addresses, one set at each look.
pub(crate) fn resolves_to(sets: Vec<Vec<IpAddr>>) -> Resolve {
    let sets = std::sync::Mutex::new(sets.into_iter());
    Arc::new(move |_: String| {
        let next = sets.lock().unwrap().next().unwrap_or_default();
        async move { Ok(next) }.boxed()
    })
}
