//! What look-ups work with, and what stays warm between requests.

use std::sync::Arc;

use freshet_access::{Access, AccessError, Sealer};
use freshet_catalog::Catalog;
use freshet_http::HealthCheck;
use freshet_platform::{Clock, StoreServices};
use freshet_profile::ProfileIndexes;
use freshet_store::Store;

/// What look-ups work with.
#[derive(Debug)]
pub struct ProfileContext {
    store: Arc<dyn Store>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) access: Arc<Access>,
    pub(crate) clock: Clock,
    pub(crate) indexes: ProfileIndexes,
    /// Of the tokens of pages.
    pub(crate) pages: Sealer,
}

impl ProfileContext {
    /// The context over the services of this process.
    ///
    /// # Errors
    /// See [`ProfileContext::new`].
    pub fn of_services(services: &StoreServices) -> Result<Self, AccessError> {
        let StoreServices { store, catalog, access, clock } = services;
        Self::new(Arc::clone(store), Arc::clone(catalog), Arc::clone(access), clock.clone())
    }

    /// The context over its parts.
    ///
    /// # Errors
    /// [`AccessError::Cryptography`]: no key can be derived to seal the tokens of pages with.
    pub fn new(
        store: Arc<dyn Store>,
        catalog: Arc<Catalog>,
        access: Arc<Access>,
        clock: Clock,
    ) -> Result<Self, AccessError> {
        let pages = access.sealer("profile pages")?;
        let indexes = ProfileIndexes::new(Arc::clone(&store));
        Ok(Self { store, catalog, access, clock, indexes, pages })
    }

    /// Whether look-ups can reach what they need. Why not goes to the log.
    pub async fn health(&self) -> Vec<HealthCheck> {
        vec![HealthCheck::of("store", self.store.ping()).await]
    }
}
