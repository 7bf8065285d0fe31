//! A tenant with streams and keys, and ingest over it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use freshet_access::{Access, SigningKey};
use freshet_catalog::{Catalog, Precondition};
use freshet_function_ingest::{IngestContext, IngestLimits, router};
use freshet_model::{ApiKeyDefinition, Definition, ResourceKind, ResourceName, Scope, StreamDefinition, TenantId};
use freshet_platform::Clock;
use freshet_queue::Queue;
use freshet_store::RedbStore;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::shelf::{Appending, Shelf};

/// Stream `orders` of tenant `acme`.
pub(crate) const ORDERS: &str = "is-0rders001";
/// Stream `slow`: 100 records a second.
pub(crate) const SLOW: &str = "is-sl0w00001";
/// Stream `wide`: four shards.
pub(crate) const WIDE: &str = "is-w1de00001";

/// Stream `letters`: XML.
pub(crate) const LETTERS: &str = "is-1etters01";

/// Tenant `acme` with its streams and keys, and ingest over them. Time stands still until a test moves it.
pub(crate) struct Scene {
    pub(crate) router: Router,
    /// A token of key `shop`, which may write to every stream.
    pub(crate) shop: String,
    /// A token of key `narrow`, which may write to `orders` alone.
    pub(crate) narrow: String,
    /// A token of key `analyst`, which may only query.
    pub(crate) analyst: String,
    /// A token of tenant `umbrella`, which has a stream of the same id as `orders`.
    pub(crate) elsewhere: String,
    pub(crate) catalog: Arc<Catalog>,
    time: Arc<Mutex<Timestamp>>,
    _directory: tempfile::TempDir,
}

impl Scene {
    /// Over a queue in memory that works.
    pub(crate) async fn new() -> (Self, Arc<Shelf>) {
        Self::appending(Appending::Works, IngestLimits::default()).await
    }

    /// Over a queue in memory.
    pub(crate) async fn appending(appending: Appending, limits: IngestLimits) -> (Self, Arc<Shelf>) {
        let shelf = Shelf::new(appending);
        (Self::over(Arc::clone(&shelf) as Arc<dyn Queue>, limits).await, shelf)
    }

    pub(crate) async fn over(queue: Arc<dyn Queue>, limits: IngestLimits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(RedbStore::open(&directory.path().join("store")).unwrap());
        let catalog = Arc::new(Catalog::new(Arc::clone(&store) as _));
        let access =
            Arc::new(Access::new(Arc::clone(&store) as _, Arc::clone(&catalog), SigningKey::generate().unwrap()));
        let time = Arc::new(Mutex::new(noon()));
        let umbrella = TenantId::parse("umbrella").unwrap();
        for (tenant, name, definition) in [
            (&tenant(), "orders", json!({"id": ORDERS})),
            (&tenant(), "slow", json!({"id": SLOW, "rate_limit": 100})),
            (&tenant(), "wide", json!({"id": WIDE, "shards": 4})),
            (&tenant(), "letters", json!({"id": LETTERS, "format": "xml"})),
            (&umbrella, "orders", json!({"id": ORDERS})),
        ] {
            let stream = StreamDefinition::read("", &definition).unwrap();
            let definition = Definition::Stream(stream);
            let made = catalog.put(tenant, ResourceKind::Streams, name, definition, Precondition::None, noon()).await;
            made.unwrap();
        }
        let orders_alone = Some(vec![ResourceName::parse("orders").unwrap()]);
        let shop = token(&access, &tenant(), "shop", Scope::StreamsWrite, None).await;
        let narrow = token(&access, &tenant(), "narrow", Scope::StreamsWrite, orders_alone).await;
        let analyst = token(&access, &tenant(), "analyst", Scope::TablesQuery, None).await;
        let elsewhere = token(&access, &umbrella, "shop", Scope::StreamsWrite, None).await;
        let moved = Arc::clone(&time);
        let clock = Clock::from_fn(move || *moved.lock().unwrap());
        let context = IngestContext::new(store, queue, Arc::clone(&catalog), access, clock, limits);
        Self {
            router: router(Arc::new(context)),
            shop,
            narrow,
            analyst,
            elsewhere,
            catalog,
            time,
            _directory: directory,
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut time = self.time.lock().unwrap();
        *time += by;
    }
}

/// When every test begins.
pub(crate) fn noon() -> Timestamp {
    "2026-06-14T12:00:00Z".parse().unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

/// A token, valid for an hour, of a new key with one scope.
async fn token(
    access: &Access,
    tenant: &TenantId,
    name: &str,
    scope: Scope,
    streams: Option<Vec<ResourceName>>,
) -> String {
    let definition = ApiKeyDefinition { scopes: vec![scope], streams, databases: None, indexes: None };
    let made = access.create_key(tenant, name, definition, noon()).await.unwrap();
    let expires_at = noon() + SignedDuration::from_hours(1);
    access.issue(tenant, &made.key, &[scope], expires_at, noon()).unwrap().expose_secret().to_owned()
}
