//! A tenant with a database over a CSV file, whose content is the test's to change.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use freshet_catalog::Precondition;
use freshet_database::{DatabaseReader, ExternalFiles};
use freshet_job_runner::{RunnerContext, RunnerLimits, Worked, work};
use freshet_model::{Definition, IndexId, ResourceKind, ResourceName, TenantId};
use freshet_platform::{Clock, FileServices, Settings};
use freshet_profile::{IndexRef, ProfileIndexes};
use freshet_runs::{Run, RunKind, Runs, Subject, Trigger};
use freshet_table::Tables;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const INDEX: &str = "ix-people0001";

pub(crate) struct Scene {
    pub(crate) services: FileServices,
    time: Arc<Mutex<Timestamp>>,
    directory: TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = ("FRESHET_DATA".to_owned(), directory.path().display().to_string());
        let mut services = FileServices::open(&Settings::from_environment([data]).unwrap()).await.unwrap();
        // A whole hour.
        let time = Arc::new(Mutex::new("2026-06-14T12:00:00Z".parse::<Timestamp>().unwrap()));
        let moved = Arc::clone(&time);
        services.clock = Clock::from_fn(move || *moved.lock().unwrap());
        let scene = Self { services, time, directory };
        scene.people("id,city\n1,Oslo\n2,Bergen\n");
        let external = json!([{"name": "people", "location": "people.csv", "format": "csv"}]);
        scene.put(ResourceKind::Databases, "retail", &json!({ "external": external })).await;
        scene
    }

    pub(crate) fn people(&self, content: &str) {
        let folder = self.directory.path().join("files/external/acme");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("people.csv"), content).unwrap();
    }

    pub(crate) fn no_people(&self) {
        std::fs::remove_file(self.directory.path().join("files/external/acme/people.csv")).unwrap();
    }

    pub(crate) async fn put(&self, kind: ResourceKind, name: &str, definition: &Value) {
        let definition = Definition::read(kind, "", definition).unwrap();
        let now = self.now();
        self.services.catalog.put(&tenant(), kind, name, definition, Precondition::None, now).await.unwrap();
    }

    pub(crate) async fn index(&self, query: &str, refresh: &str) {
        let definition = json!({"id": INDEX, "database": "retail", "query": query, "key": "id", "refresh": refresh});
        self.put(ResourceKind::Indexes, "people", &definition).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        *self.time.lock().unwrap()
    }

    pub(crate) fn wait(&self, seconds: i64) {
        *self.time.lock().unwrap() += SignedDuration::from_secs(seconds);
    }

    /// A runner that has just started works until it has nothing to do.
    pub(crate) async fn work(&self) -> Worked {
        let services = &self.services;
        let tables = Arc::new(Tables::new(Arc::clone(&services.files), services.root.clone()));
        let external = ExternalFiles::new(Arc::clone(&services.files), []);
        let reader = Arc::new(DatabaseReader::new(tables, external));
        let limits = RunnerLimits::of(self.directory.path());
        let context = RunnerContext::of_services(services, reader, limits).unwrap();
        work(&context, Instant::now() + Duration::from_mins(1)).await.unwrap()
    }

    pub(crate) fn runs(&self) -> Runs {
        Runs::new(Arc::clone(&self.services.store))
    }

    pub(crate) async fn ask(&self) -> Run {
        self.runs().start(&subject(), Trigger::Manual { by: "test".to_owned() }, self.now()).await.unwrap()
    }

    /// The ids of the index's profiles; none: it has not been built.
    pub(crate) async fn ids(&self) -> Option<Vec<String>> {
        let indexes = ProfileIndexes::new(Arc::clone(&self.services.store));
        let index = IndexRef { tenant: tenant(), id: IndexId::parse(INDEX).unwrap() };
        let page = indexes.page(&index, &[], None, 1_000).await.ok()?;
        Some(page.value.profiles.into_iter().map(|profile| profile.id).collect())
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn subject() -> Subject {
    Subject { tenant: tenant(), kind: RunKind::Indexes, name: ResourceName::parse("people").unwrap() }
}

/// What a round comes to.
pub(crate) fn worked(started: usize, succeeded: usize, failed: usize) -> Worked {
    Worked { started, succeeded, failed }
}
