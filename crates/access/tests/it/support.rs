//! What the tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use freshet_access::{Access, NewSecret, SigningKey};
use freshet_catalog::{Catalog, Precondition};
use freshet_model::{ApiKeyDefinition, Definition, ResourceKind, Scope, TenantId};
use freshet_store::{BatchWrite, Condition, Item, Key, Page, Query, RedbStore, Store, StoreError, Version, Write};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Setup {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) access: Access,
    pub(crate) signing_key: SigningKey,
    pub(crate) tenant: TenantId,
    _directory: TempDir,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap());
        let catalog = Arc::new(Catalog::new(Arc::clone(&store)));
        let signing_key = SigningKey::generate().unwrap();
        let access = Access::new(Arc::clone(&store), Arc::clone(&catalog), signing_key.clone());
        Self { store, catalog, access, signing_key, tenant: TenantId::parse("acme").unwrap(), _directory: directory }
    }

    pub(crate) async fn put(&self, kind: ResourceKind, name: &str, definition: Value) {
        let definition = Definition::read(kind, "", &definition).unwrap();
        self.catalog.put(&self.tenant, kind, name, definition, Precondition::None, now()).await.unwrap();
    }

    /// Databases `retail` and `press`, and indexes `buyers` and `visitors` over the first.
    pub(crate) async fn with_indexes(self) -> Self {
        for name in ["retail", "press"] {
            self.put(ResourceKind::Databases, name, json!({})).await;
        }
        for name in ["buyers", "visitors"] {
            let index = json!({"database": "retail", "query": "SELECT 'a' AS id", "key": "id"});
            self.put(ResourceKind::Indexes, name, index).await;
        }
        self
    }

    pub(crate) async fn key(&self, name: &str, definition: Value) -> NewSecret {
        let definition = ApiKeyDefinition::read("", &definition).unwrap();
        self.access.create_key(&self.tenant, name, definition, now()).await.unwrap()
    }

    pub(crate) async fn admin(&self) -> NewSecret {
        self.key("ops", json!({"scopes": ["admin", "tokens:issue"]})).await
    }

    pub(crate) fn token(&self, made: &NewSecret) -> String {
        let token = self.access.issue(&self.tenant, &made.key, &Scope::ALL, now() + hours(1), now()).unwrap();
        token.expose_secret().to_owned()
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-06-14T00:00:00Z".parse().unwrap()
}

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// A store that can be cut off.
#[derive(Debug)]
pub(crate) struct CutOff {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) away: AtomicBool,
}

impl CutOff {
    fn reached(&self) -> Result<&dyn Store, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { context: "a test".to_owned(), source: "away".into() });
        }
        Ok(self.inner.as_ref())
    }
}

#[async_trait::async_trait]
impl Store for CutOff {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.reached()?.get(key).await
    }
    async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        self.reached()?.put(key, value, condition).await
    }
    async fn delete(&self, key: &Key, condition: Condition) -> Result<(), StoreError> {
        self.reached()?.delete(key, condition).await
    }
    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        self.reached()?.query(query).await
    }
    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.reached()?.batch_get(keys).await
    }
    async fn batch_write(&self, groups: Vec<Vec<BatchWrite>>) -> Result<(), StoreError> {
        self.reached()?.batch_write(groups).await
    }
    async fn transact(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.reached()?.transact(writes).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.reached()?.ping().await
    }
}
