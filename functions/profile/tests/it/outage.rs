//! What is answered while the store can't be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::http::StatusCode;
use bytes::Bytes;
use freshet_store::{BatchWrite, Condition, Item, Key, Page, Query, Store, StoreError, Version, Write};
use rstest::rstest;
use serde_json::json;

use crate::scene::{Scene, UNAVAILABLE};

/// A store that can be cut off.
#[derive(Debug)]
pub(crate) struct CutOff {
    inner: Arc<dyn Store>,
    pub(crate) is_away: AtomicBool,
}

impl CutOff {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, is_away: AtomicBool::new(false) }
    }

    fn reached(&self) -> Result<&dyn Store, StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            let source = "10.0.0.7 is down".into();
            return Err(StoreError::Unavailable { context: "a test".to_owned(), source });
        }
        Ok(self.inner.as_ref())
    }
}

#[async_trait]
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

#[rstest]
#[case::and_nothing_is_known(&[], "the token can't be checked at the moment")]
#[case::and_tokens_and_definitions_are_known(
    &["/api/indexes/ix-nothing001"],
    "profiles can't be read at the moment; try again"
)]
#[tokio::test]
async fn every_call_is_503_where_the_store_is_away(#[case] before: &[&str], #[case] detail: &str) {
    let scene = Scene::new().await;
    for path in before {
        scene.get(path).await;
    }
    scene.cut_off();
    for request in scene.every_request() {
        let answer = scene.send(request).await;
        answer.assert_problem(UNAVAILABLE, detail);
        assert_eq!(answer.header("retry-after"), "2");
    }
}

#[tokio::test]
async fn health_says_so() {
    let scene = Scene::new().await;
    scene.cut_off();
    let health = scene.get("/health").await;
    let checks = json!([{"name": "store", "reachable": false}]);
    let expected = json!({"status": "unavailable", "checks": checks});
    assert_eq!((health.status, health.body()), (StatusCode::SERVICE_UNAVAILABLE, expected));
}
