//! What maintenance works with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use freshet_catalog::Catalog;
use freshet_table::{Maintenance, Tables};
use tokio::sync::Mutex;

/// What maintenance works with.
#[derive(Debug)]
pub struct MaintainContext {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) maintenance: Maintenance,
    /// When this process last removed files of a table, by its path.
    pub(crate) cleaned: Mutex<HashMap<String, Instant>>,
}

impl MaintainContext {
    /// The context over the definitions of tables, and the tables.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, tables: Arc<Tables>, maintenance: Maintenance) -> Self {
        Self { catalog, tables, maintenance, cleaned: Mutex::default() }
    }
}
