//! What the tests share.

use std::sync::Arc;

use bytes::Bytes;
use freshet_access::{Access, NewSecret, SigningKey};
use freshet_catalog::Catalog;
use freshet_model::{ApiKeyDefinition, Scope, TenantId};
use freshet_store::{Condition, Item, Key, Page, Query, RedbStore, Store, StoreError, Version, Write};
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

/// A store that can't be reached.
#[derive(Debug)]
pub(crate) struct Away;

fn away<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable { context: "a test".to_owned(), source: "away".into() })
}

#[async_trait::async_trait]
impl Store for Away {
    async fn get(&self, _: &Key) -> Result<Option<Item>, StoreError> {
        away()
    }
    async fn put(&self, _: &Key, _: Bytes, _: Condition) -> Result<Version, StoreError> {
        away()
    }
    async fn delete(&self, _: &Key, _: Condition) -> Result<(), StoreError> {
        away()
    }
    async fn query(&self, _: &Query) -> Result<Page, StoreError> {
        away()
    }
    async fn batch_get(&self, _: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        away()
    }
    async fn batch_put(&self, _: Vec<(Key, Bytes)>) -> Result<(), StoreError> {
        away()
    }
    async fn transact(&self, _: Vec<Write>) -> Result<(), StoreError> {
        away()
    }
    async fn ping(&self) -> Result<(), StoreError> {
        away()
    }
}
