//! Removing what is left of indexes: generations that no reader is on any more, and indexes that are deleted.

use bytes::Bytes;
use freshet_catalog::TenantCatalog;
use freshet_model::{IndexId, TenantId};
use freshet_profile::{IndexRef, remove_index, remove_retired};
use freshet_store::{Condition, Key, Query, Store, StoreError, query_all};
use jiff::Timestamp;

/// The partition of the indexes of a tenant that may hold profiles.
fn partition(tenant: &TenantId) -> String {
    format!("indexes-built/{tenant}")
}

/// Notes that an index may hold profiles from now on.
pub(crate) async fn note_built(store: &dyn Store, index: &IndexRef) -> Result<(), StoreError> {
    let key = Key::new(partition(&index.tenant), index.id.as_str());
    store.put(&key, Bytes::new(), Condition::Any).await.map(drop)
}

/// Removes what a tenant's indexes left behind, and says how many profiles' worth of indexes are gone for good.
pub(crate) async fn clean(store: &dyn Store, catalog: &TenantCatalog, now: Timestamp) -> Result<(), StoreError> {
    let tenant = catalog.tenant();
    for item in query_all(store, Query::prefix(partition(tenant), "")).await? {
        let Ok(id) = IndexId::parse(&item.key.sort) else { continue };
        let index = IndexRef { tenant: tenant.clone(), id };
        if catalog.index_by_id(&index.id).is_some() {
            remove_retired(store, &index, now).await?;
            continue;
        }
        remove_index(store, &index, now).await?;
        // Readers may be on its last generation for a while; the next round removes that.
        if remove_retired(store, &index, now).await?.is_none() {
            store.delete(&item.key, Condition::Any).await?;
            tracing::info!(%tenant, index = %index.id, "a deleted index is removed");
        }
    }
    Ok(())
}
