//! All resources of a tenant at one moment, as they lie in the store.
//!
//! A tenant is one partition of the store: an item a resource, and one item, the revision, that every change writes
//! too. So a change can say "if nothing else changed", and a reader knows whether what it read page by page was one
//! state.

use std::collections::BTreeMap;

use bytes::Bytes;
use freshet_model::{ResourceKind, TenantId};
use freshet_store::{Condition, Item, Key, Query, Store, Version, Write, query_all};

use crate::resource::{Identity, Kept, decode};
use crate::{CatalogError, Resource};

/// The sort key of the revision; no resource's, as those begin with `<kind>/`.
const REVISION: &str = "revision";

/// The partition of the tenants that have or had a resource.
const TENANTS: &str = "catalog-tenants";

/// How often a read is begun anew because the tenant changed meanwhile.
const READ_ATTEMPTS: usize = 8;

/// How often a tenant's resources have changed, and the version of the item that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Revision {
    number: u64,
    version: Option<Version>,
}

impl Revision {
    /// The number of the next change.
    pub(crate) fn next_number(self) -> u64 {
        self.number.saturating_add(1)
    }

    /// The write that makes a transaction happen only if nothing changed since this revision.
    pub(crate) fn advance(self, tenant: &TenantId) -> Write {
        Write::Put {
            key: Key::new(partition(tenant), REVISION),
            value: Bytes::from(self.next_number().to_string()),
            condition: self.version.map_or(Condition::Absent, Condition::Is),
        }
    }

    /// The entry of the tenant among all tenants, where this is its first change.
    pub(crate) fn registration(self, tenant: &TenantId) -> Option<Write> {
        self.version.is_none().then(|| Write::Put {
            key: Key::new(TENANTS, tenant.as_str()),
            value: Bytes::new(),
            condition: Condition::Any,
        })
    }

    /// The revision of a tenant now.
    pub(crate) async fn load(store: &dyn Store, tenant: &TenantId) -> Result<Self, CatalogError> {
        let item = store.get(&Key::new(partition(tenant), REVISION)).await.map_err(CatalogError::reading)?;
        item.map_or(Ok(Self::default()), |item| Self::of(&item))
    }

    fn of(item: &Item) -> Result<Self, CatalogError> {
        let text = std::str::from_utf8(&item.value).ok();
        let number = text.and_then(|text| text.parse().ok()).ok_or_else(|| CatalogError::Corrupt {
            key: format!("{}/{}", item.key.partition, item.key.sort),
            reason: "it is not a number".to_owned(),
        })?;
        Ok(Self { number, version: Some(item.version) })
    }
}

/// All resources of a tenant at one revision.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) resources: BTreeMap<Identity, Resource>,
    /// Tables that were deleted and whose rows are still there, as they were last.
    pub(crate) deleted: BTreeMap<Identity, Resource>,
}

impl State {
    /// The resources of a tenant now.
    pub(crate) async fn load(store: &dyn Store, tenant: &TenantId) -> Result<Self, CatalogError> {
        let mut before = Revision::load(store, tenant).await?;
        for _ in 0..READ_ATTEMPTS {
            let items = query_all(store, Query::prefix(partition(tenant), "")).await.map_err(CatalogError::reading)?;
            let after = Revision::load(store, tenant).await?;
            if before == after {
                return Self::of(before, &items);
            }
            before = after;
        }
        Err(CatalogError::Conflict)
    }

    fn of(revision: Revision, items: &[Item]) -> Result<Self, CatalogError> {
        let (mut resources, mut deleted) = (BTreeMap::new(), BTreeMap::new());
        for item in items.iter().filter(|item| item.key.sort != REVISION) {
            let kind = item.key.sort.split_once('/').and_then(|(kind, _)| kind.parse::<ResourceKind>().ok());
            let kind = kind.ok_or_else(|| CatalogError::Corrupt {
                key: format!("{}/{}", item.key.partition, item.key.sort),
                reason: "it is of no kind that this version knows".to_owned(),
            })?;
            match decode(kind, item)? {
                Kept::Live(resource) => resources.insert(Identity::new(kind, &resource.name), resource),
                Kept::Deleted(resource) => deleted.insert(Identity::new(kind, &resource.name), resource),
            };
        }
        Ok(Self { revision, resources, deleted })
    }
}

/// Where the item of a resource lies.
pub(crate) fn key(tenant: &TenantId, identity: &Identity) -> Key {
    Key::new(partition(tenant), identity.sort_key())
}

/// All resources of a kind.
pub(crate) async fn list(
    store: &dyn Store,
    tenant: &TenantId,
    kind: ResourceKind,
) -> Result<Vec<Resource>, CatalogError> {
    let query = Query::prefix(partition(tenant), format!("{kind}/"));
    let items = query_all(store, query).await.map_err(CatalogError::reading)?;
    items.iter().filter_map(|item| decode(kind, item).map(Kept::live).transpose()).collect()
}

/// Every tenant that has or had a resource, by name.
pub(crate) async fn tenants(store: &dyn Store) -> Result<Vec<TenantId>, CatalogError> {
    let items = query_all(store, Query::prefix(TENANTS, "")).await.map_err(CatalogError::reading)?;
    let parsed = items.iter().map(|item| {
        TenantId::parse(&item.key.sort).map_err(|error| CatalogError::Corrupt {
            key: format!("{}/{}", item.key.partition, item.key.sort),
            reason: error.to_string(),
        })
    });
    parsed.collect()
}

fn partition(tenant: &TenantId) -> String {
    format!("catalog/{tenant}")
}
