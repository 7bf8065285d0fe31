//! What the tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use freshet_catalog::{Catalog, CatalogError, Precondition, PutOutcome};
use freshet_model::{Definition, ResourceKind, TenantId};
use freshet_store::{BatchWrite, Condition, Item, Key, Page, Query, RedbStore, Store, StoreError, Version, Write};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Setup {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: Catalog,
    pub(crate) tenant: TenantId,
    _directory: TempDir,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap());
        let catalog = Catalog::new(Arc::clone(&store));
        Self { store, catalog, tenant: TenantId::parse("acme").unwrap(), _directory: directory }
    }

    /// A catalog of another process over the same store.
    pub(crate) fn other_catalog(&self) -> Catalog {
        Catalog::new(Arc::clone(&self.store))
    }

    pub(crate) async fn put(
        &self,
        kind: ResourceKind,
        name: &str,
        definition: Value,
    ) -> Result<PutOutcome, CatalogError> {
        self.put_at(kind, name, definition, time("2026-06-14T00:00:00Z")).await
    }

    pub(crate) async fn put_at(
        &self,
        kind: ResourceKind,
        name: &str,
        definition: Value,
        now: Timestamp,
    ) -> Result<PutOutcome, CatalogError> {
        let definition = Definition::read(kind, "", &definition).unwrap();
        self.catalog.put(&self.tenant, kind, name, definition, Precondition::None, now).await
    }

    /// A stream `orders`, a database `retail` and a table `orders` over them.
    pub(crate) async fn with_orders(self) -> Self {
        self.put(ResourceKind::Streams, "orders", json!({})).await.unwrap();
        self.put(ResourceKind::Databases, "retail", json!({})).await.unwrap();
        self.put(ResourceKind::Tables, "orders", orders_table()).await.unwrap();
        self
    }
}

pub(crate) fn orders_table() -> Value {
    json!({
        "stream": "orders", "databases": ["retail"], "key": ["order_id"], "order_by": "at",
        "columns": [
            {"name": "order_id", "type": "string"},
            {"name": "at", "type": "timestamp", "required": true},
            {"name": "city", "type": "string", "path": "customer.city"},
        ],
    })
}

pub(crate) fn orders_of() -> Value {
    json!({
        "database": "retail", "sql": "SELECT * FROM orders WHERE order_id = $id", "parameters": {"id": "string"},
    })
}

pub(crate) fn buyers() -> Value {
    json!({
        "database": "retail", "query": "SELECT order_id, city FROM orders", "key": "order_id", "filters": ["city"],
    })
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A store that can be cut off.
#[derive(Debug)]
pub(crate) struct CutOff {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) away: AtomicBool,
    pub(crate) refused: AtomicUsize,
}

impl CutOff {
    fn check(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::Unavailable { context: "a test".to_owned(), source: "cut off".into() });
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Store for CutOff {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.check()?;
        self.inner.get(key).await
    }
    async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        self.check()?;
        self.inner.put(key, value, condition).await
    }
    async fn delete(&self, key: &Key, condition: Condition) -> Result<(), StoreError> {
        self.check()?;
        self.inner.delete(key, condition).await
    }
    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        self.check()?;
        self.inner.query(query).await
    }
    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.check()?;
        self.inner.batch_get(keys).await
    }
    async fn batch_write(&self, groups: Vec<Vec<BatchWrite>>) -> Result<(), StoreError> {
        self.check()?;
        self.inner.batch_write(groups).await
    }
    async fn transact(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.check()?;
        self.inner.transact(writes).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.check()
    }
}
