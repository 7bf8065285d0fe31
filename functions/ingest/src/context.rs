//! What ingest works with, and what stays warm between requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use freshet_access::Access;
use freshet_catalog::Catalog;
use freshet_http::HealthCheck;
use freshet_platform::{Clock, Services};
use freshet_queue::Queue;
use freshet_store::Store;
use tokio::sync::Semaphore;

use crate::limits::{IngestLimits, Memory};
use crate::rate::RateLimits;

/// What ingest works with, and what stays warm between requests.
#[derive(Debug)]
pub struct IngestContext {
    store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) access: Arc<Access>,
    pub(crate) clock: Clock,
    pub(crate) append_time: Duration,
    pub(crate) memory: Memory,
    /// As many bodies are decompressed and parsed at once as there are cores: more would only hold more memory.
    pub(crate) parsers: Arc<Semaphore>,
    pub(crate) rates: RateLimits,
    requests: AtomicU64,
}

impl IngestContext {
    /// The context over the services of this process.
    pub fn of_services(services: &Services) -> Self {
        Self::new(
            Arc::clone(&services.store),
            Arc::clone(&services.queue),
            Arc::clone(&services.catalog),
            Arc::clone(&services.access),
            services.clock.clone(),
            IngestLimits::default(),
        )
    }

    /// The context over its parts.
    pub fn new(
        store: Arc<dyn Store>,
        queue: Arc<dyn Queue>,
        catalog: Arc<Catalog>,
        access: Arc<Access>,
        clock: Clock,
        limits: IngestLimits,
    ) -> Self {
        Self {
            store,
            queue,
            catalog,
            access,
            clock,
            append_time: limits.append_time,
            memory: Memory::of(limits.in_flight_bytes),
            parsers: Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))),
            rates: RateLimits::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// The shard of the next request to a stream of so many. Multiples of the golden ratio spread evenly over the shards of a
    /// stream, however often other streams come in between; simply counting up would not.
    pub(crate) fn next_shard(&self, shards: u32) -> u32 {
        const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
        let fraction = self.requests.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN_RATIO) >> 32;
        u32::try_from((fraction * u64::from(shards)) >> 32).unwrap_or(0)
    }

    /// Whether ingest can reach what it needs.
    pub async fn health(&self) -> Vec<HealthCheck> {
        let (store, queue) =
            tokio::join!(HealthCheck::of("store", self.store.ping()), HealthCheck::of("queue", self.queue.ping()));
        vec![store, queue]
    }
}
