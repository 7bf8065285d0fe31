//! What a writer works with, and what stays warm between batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freshet_catalog::Catalog;
use freshet_platform::Clock;
use freshet_queue::Queue;
use freshet_store::Store;
use freshet_table::Tables;
use jiff::Timestamp;

use crate::TableWriteError;

/// How long a table that could not be written is left alone before it is tried again.
const LEFT_ALONE: Duration = Duration::from_secs(30);
/// How often in a row a table may fail for reasons that should pass before it is left alone like one that is damaged.
const PATIENCE: u32 = 5;

/// How a table has failed lately.
#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    in_a_row: u32,
    left_alone_until: Option<Timestamp>,
}

/// What a writer works with.
#[derive(Debug)]
pub struct WriterContext {
    /// Where records come from.
    pub queue: Arc<dyn Queue>,
    /// Where progress is kept.
    pub store: Arc<dyn Store>,
    /// The definitions.
    pub catalog: Arc<Catalog>,
    /// The tables.
    pub tables: Arc<Tables>,
    /// The time.
    pub clock: Clock,
    /// Tables that could not be written lately.
    failures: Mutex<HashMap<String, Failures>>,
}

impl WriterContext {
    /// A writer over these.
    pub fn new(
        queue: Arc<dyn Queue>,
        store: Arc<dyn Store>,
        catalog: Arc<Catalog>,
        tables: Arc<Tables>,
        clock: Clock,
    ) -> Self {
        Self { queue, store, catalog, tables, clock, failures: Mutex::default() }
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a table failed so lately that it is not tried yet.
    pub(crate) fn is_left_alone(&self, table: &str) -> bool {
        let until = self.failures().get(table).and_then(|failures| failures.left_alone_until);
        until.is_some_and(|until| self.clock.now() < until)
    }

    /// Notes that a table was written.
    pub(crate) fn succeeded(&self, table: &str) {
        self.failures().remove(table);
    }

    /// Notes that a table could not be written; whether it is left alone from now on, so that it does not hold up the others. It is
    /// at once where only a person can mend it, and else when it has failed again and again while the files can be reached.
    pub(crate) async fn gives_up_on(&self, table: &str, source: &TableWriteError) -> bool {
        let in_a_row = {
            let mut failures = self.failures();
            let failures = failures.entry(table.to_owned()).or_default();
            failures.in_a_row = failures.in_a_row.saturating_add(1);
            failures.in_a_row
        };
        if source.is_temporary() && (in_a_row < PATIENCE || self.tables.ping().await.is_err()) {
            return false;
        }
        let until = self.clock.now().checked_add(LEFT_ALONE).unwrap_or(Timestamp::MAX);
        self.failures().insert(table.to_owned(), Failures { in_a_row, left_alone_until: Some(until) });
        true
    }
}
