//! What a writer works with, and what stays warm between batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freshet_catalog::Catalog;
use freshet_platform::Clock;
use freshet_queue::Queue;
use freshet_store::Store;
use freshet_table::Tables;
use jiff::Timestamp;

/// How long a table that could not be written is left alone before it is tried again.
const LEFT_ALONE: Duration = Duration::from_secs(30);

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
    /// Tables that could not be written, and until when they are left alone.
    left_alone: Mutex<HashMap<String, Timestamp>>,
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
        Self { queue, store, catalog, tables, clock, left_alone: Mutex::default() }
    }

    /// Whether a table failed so lately that it is not tried yet.
    pub(crate) fn is_left_alone(&self, table: &str) -> bool {
        let left_alone = self.left_alone.lock().unwrap_or_else(PoisonError::into_inner);
        left_alone.get(table).is_some_and(|until| self.clock.now() < *until)
    }

    /// Leaves a table alone for a while.
    pub(crate) fn leave_alone(&self, table: &str) {
        let until = self.clock.now().checked_add(LEFT_ALONE).unwrap_or(Timestamp::MAX);
        self.left_alone.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), until);
    }
}
