//! Runners that die at any write: another completes the run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use freshet_runs::{Counts, Outcome, RunState, Runs};
use freshet_store::{BatchWrite, Condition, Item, Key, Page, Query, RedbStore, Store, StoreError, Version, Write};

use crate::claims::{LEASE, at, manual, subject};

/// A store that is gone from a write on: before that write is done, or after it and before it is answered.
#[derive(Debug)]
struct Dying {
    store: Arc<dyn Store>,
    writes: AtomicUsize,
    dies_at: usize,
    after: bool,
}

impl Dying {
    fn gone() -> StoreError {
        StoreError::Unavailable { context: "the process is dead".to_owned(), source: "killed".into() }
    }

    async fn write<T>(&self, written: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if number > self.dies_at || (number == self.dies_at && !self.after) {
            return Err(Self::gone());
        }
        let done = written.await;
        if number == self.dies_at { Err(Self::gone()) } else { done }
    }
}

#[async_trait]
impl Store for Dying {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.store.get(key).await
    }
    async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        self.write(self.store.put(key, value, condition)).await
    }
    async fn delete(&self, key: &Key, condition: Condition) -> Result<(), StoreError> {
        self.write(self.store.delete(key, condition)).await
    }
    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        self.store.query(query).await
    }
    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.store.batch_get(keys).await
    }
    async fn batch_write(&self, groups: Vec<Vec<BatchWrite>>) -> Result<(), StoreError> {
        self.write(self.store.batch_write(groups)).await
    }
    async fn transact(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.write(self.store.transact(writes)).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}

async fn work(runs: &Runs, holder: &str, now: i64) -> Result<bool, freshet_runs::RunError> {
    runs.start(&subject("retail"), manual(), at(now)).await?;
    let Some(claim) = runs.claim(holder, LEASE, at(now)).await? else { return Ok(false) };
    claim.begin_step("totals", at(now)).await?;
    claim.end_step("totals", Outcome::Succeeded(Counts::from([("rows".to_owned(), 3)])), at(now)).await?;
    claim.finish(Ok(BTreeMap::new()), at(now)).await?;
    Ok(true)
}

#[tokio::test]
async fn whatever_write_a_runner_dies_at_another_completes_the_run() {
    let mut died = 0;
    for dies_at in 0..20 {
        for after in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let store: Arc<dyn Store> = Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap());
            let dying = Dying { store: Arc::clone(&store), writes: AtomicUsize::new(0), dies_at, after };
            let is_dead = work(&Runs::new(Arc::new(dying)), "a", 0).await.is_err();
            died += usize::from(is_dead);
            let runs = Runs::new(store);
            let mut now = 100;
            // Whoever asks again gets the run that is there, or a new one.
            assert!(work(&runs, "b", now).await.unwrap(), "at {dies_at}");
            while runs.is_open(&subject("retail")).await.unwrap() {
                now += 100;
                work(&runs, "b", now).await.unwrap();
                assert!(now < 1_000, "at {dies_at}");
            }
            let all = runs.list(&subject("retail"), 100, None).await.unwrap().runs;
            assert!(all.iter().all(|run| run.state == RunState::Succeeded), "at {dies_at}: {all:?}");
            let rows = all.iter().map(|run| run.steps.iter().map(|step| step.counts["rows"]).collect::<Vec<_>>());
            assert!(rows.into_iter().all(|rows| rows == [3]), "at {dies_at}: {all:?}");
            if !is_dead {
                assert!(died >= 8, "it died at {died} points only");
                return;
            }
        }
    }
    panic!("it never lived to the end");
}
