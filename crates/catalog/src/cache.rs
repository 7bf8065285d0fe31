//! The definitions of tenants, kept in memory for those who look things up for every request or record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freshet_model::TenantId;
use freshet_store::Store;
use tokio::time::{Instant, timeout};

use crate::state::{Revision, State};
use crate::{CatalogError, TenantCatalog};

/// How old a snapshot may be before the store is asked whether something changed: the time within which a change is
/// seen everywhere (in the process that made it, at once).
pub const SNAPSHOT_MAX_AGE: Duration = Duration::from_secs(2);
/// How long a snapshot serves while the store can't be reached. It bounds for how long a changed definition may go
/// unnoticed in an outage; who can't wait for so long names a shorter time ([`crate::Catalog::snapshot_within`]).
pub const SNAPSHOT_MAX_STALE: Duration = Duration::from_mins(10);
/// How long a request waits for the store to say whether something changed, before a snapshot that is there serves.
const REVISION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it waits for all definitions, which are read only where something did: thousands of wide tables are
/// megabytes.
const LOAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long after a failure the store is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Most tenants kept.
const MAX_TENANTS: usize = 1_000;

/// What is known of one tenant. Its lock is held during a refresh, so that one request refreshes and the others wait
/// for it.
#[derive(Debug, Default)]
struct Slot {
    known: Option<Known>,
    failed_at: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    catalog: Arc<TenantCatalog>,
    revision: Revision,
    /// When the store last said that this is what it holds.
    confirmed_at: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Cache {
    tenants: Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<Slot>>>>,
}

impl Cache {
    /// The definitions of a tenant, not older than [`SNAPSHOT_MAX_AGE`], or than `max_stale` while the store can't be
    /// reached.
    pub(crate) async fn get(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
        max_stale: Duration,
    ) -> Result<Arc<TenantCatalog>, CatalogError> {
        let slot = self.slot(tenant);
        let mut slot = slot.lock().await;
        let max_age = SNAPSHOT_MAX_AGE.min(max_stale);
        if let Some(known) = slot.known.as_ref().filter(|known| known.confirmed_at.elapsed() < max_age) {
            return Ok(Arc::clone(&known.catalog));
        }
        if slot.failed_at.is_some_and(|failed_at| failed_at.elapsed() < RETRY_AFTER) {
            return slot.stale(
                Instant::now(),
                max_stale,
                CatalogError::Unavailable { reason: "the store could not be reached a moment ago" },
            );
        }
        match refresh(store, tenant, slot.known.as_ref()).await {
            Ok(known) => {
                let catalog = Arc::clone(&known.catalog);
                *slot = Slot { known: Some(known), failed_at: None };
                Ok(catalog)
            }
            Err(error) if error.is_temporary() => {
                slot.failed_at = Some(Instant::now());
                tracing::warn!(tenant = %tenant, error = &error as &dyn std::error::Error, "the catalog could not be refreshed");
                slot.stale(Instant::now(), max_stale, error)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the next [`Cache::get`] ask the store.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.tenants().remove(tenant);
    }

    fn slot(&self, tenant: &TenantId) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut tenants = self.tenants();
        if tenants.len() >= MAX_TENANTS && !tenants.contains_key(tenant) {
            tenants.clear();
        }
        Arc::clone(tenants.entry(tenant.clone()).or_default())
    }

    fn tenants(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Arc<tokio::sync::Mutex<Slot>>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// What serves while the store can't be reached.
    fn stale(
        &self,
        now: Instant,
        max_stale: Duration,
        error: CatalogError,
    ) -> Result<Arc<TenantCatalog>, CatalogError> {
        match &self.known {
            Some(known) if now.duration_since(known.confirmed_at) < max_stale => Ok(Arc::clone(&known.catalog)),
            _ => Err(error),
        }
    }
}

/// What the store holds now; reads all of it only where the revision is another than the one known.
async fn refresh(store: &dyn Store, tenant: &TenantId, known: Option<&Known>) -> Result<Known, CatalogError> {
    let too_slow = |_elapsed| CatalogError::Unavailable { reason: "the store did not answer in time" };
    let asked_at = Instant::now();
    if let Some(known) = known
        && timeout(REVISION_TIMEOUT, Revision::load(store, tenant)).await.map_err(too_slow)?? == known.revision
    {
        return Ok(Known { catalog: Arc::clone(&known.catalog), revision: known.revision, confirmed_at: asked_at });
    }
    let state = timeout(LOAD_TIMEOUT, State::load(store, tenant)).await.map_err(too_slow)??;
    let catalog = Arc::new(TenantCatalog::of(tenant.clone(), state.resources.values())?);
    Ok(Known { catalog, revision: state.revision, confirmed_at: asked_at })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::of_definitions(SNAPSHOT_MAX_STALE)]
    #[case::of_who_may_call(Duration::from_mins(1))]
    #[tokio::test]
    async fn a_snapshot_serves_through_an_outage_of_so_long_and_no_longer(#[case] max_stale: Duration) {
        let tenant = TenantId::parse("acme").unwrap();
        let catalog = Arc::new(TenantCatalog::of(tenant, std::iter::empty()).unwrap());
        let confirmed_at = Instant::now();
        let slot =
            Slot { known: Some(Known { catalog, revision: Revision::default(), confirmed_at }), failed_at: None };
        let outage = || CatalogError::Unavailable { reason: "a test" };
        assert!(slot.stale(confirmed_at + max_stale - Duration::from_secs(1), max_stale, outage()).is_ok());
        let refusal = slot.stale(confirmed_at + max_stale, max_stale, outage()).unwrap_err();
        assert!(matches!(refusal, CatalogError::Unavailable { .. }), "{refusal}");
    }

    #[test]
    fn the_number_of_tenants_kept_is_bounded() {
        let cache = Cache::default();
        for number in 0..=MAX_TENANTS {
            cache.slot(&TenantId::parse(&format!("tenant-{number}")).unwrap());
        }
        assert!(cache.tenants().len() <= MAX_TENANTS);
    }
}
