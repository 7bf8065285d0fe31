//! What admin works with, and what stays warm between requests.

use std::sync::Arc;

use freshet_access::Access;
use freshet_catalog::Catalog;
use freshet_http::HealthCheck;
use freshet_platform::Clock;
use freshet_queue::Queue;
use freshet_store::Store;
use freshet_table::Tables;

/// What admin works with.
#[derive(Debug)]
pub struct AdminContext {
    /// Where definitions, keys and the writer's progress are kept.
    pub store: Arc<dyn Store>,
    /// The definitions.
    pub catalog: Arc<Catalog>,
    /// Keys and tokens.
    pub access: Arc<Access>,
    /// Where records come from, for the status.
    pub queue: Arc<dyn Queue>,
    /// The tables, for the status.
    pub tables: Arc<Tables>,
    /// The time.
    pub clock: Clock,
}

impl AdminContext {
    /// Whether admin can reach what it needs. Why not goes to the log.
    pub async fn health(&self) -> Vec<HealthCheck> {
        let (store, queue, files) = tokio::join!(
            HealthCheck::of("store", self.store.ping()),
            HealthCheck::of("queue", self.queue.ping()),
            HealthCheck::of("files", self.tables.ping()),
        );
        vec![store, queue, files]
    }
}
