//! A store in memory that can be killed at any write, and says what is in it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use freshet_store::{BatchWrite, Condition, Direction, Item, Key, Page, Query, Store, StoreError, Version, Write};

/// Items of a page: few, so that there are many pages.
const PAGE_ITEMS: usize = 5;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    items: BTreeMap<Key, (Bytes, Version)>,
    last_version: u64,
    writes: u64,
    /// The number of the write that is not done any more, nor is anything after it.
    dies_at: Option<u64>,
    /// Calls that still fail for a while.
    hiccups: u32,
    random: u64,
}

impl Inner {
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    fn check(&mut self) -> Result<(), StoreError> {
        if self.dies_at.is_some_and(|dies_at| self.writes >= dies_at) {
            return Err(StoreError::Refused { context: "killed".to_owned(), source: None });
        }
        if self.hiccups > 0 {
            self.hiccups -= 1;
            return Err(StoreError::Unavailable { context: "a hiccup".to_owned(), source: "of a test".into() });
        }
        Ok(())
    }

    fn write(&mut self, key: &Key, value: Option<Bytes>) -> Result<Version, StoreError> {
        self.check()?;
        self.writes += 1;
        self.last_version += 1;
        let version = Version(self.last_version);
        match value {
            Some(value) => drop(self.items.insert(key.clone(), (value, version))),
            None => drop(self.items.remove(key)),
        }
        Ok(version)
    }

    fn expect(&self, key: &Key, condition: Condition) -> Result<(), StoreError> {
        let version = self.items.get(key).map(|(_, version)| *version);
        let holds = match condition {
            Condition::Any => true,
            Condition::Absent => version.is_none(),
            Condition::Is(expected) => version == Some(expected),
        };
        if holds { Ok(()) } else { Err(StoreError::Conflict { key: key.clone() }) }
    }

    fn item(&self, key: &Key) -> Option<Item> {
        let (value, version) = self.items.get(key)?.clone();
        Some(Item { key: key.clone(), value, version })
    }
}

impl Memory {
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self { inner: Mutex::new(Inner { random: seed, ..Inner::default() }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others run, a random number of times.
    async fn wander(&self) {
        let turns = self.inner().random() % 3;
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// From now on, so many writes are done, and then nothing is any more.
    pub(crate) fn die_after(&self, writes: u64) {
        let mut inner = self.inner();
        inner.dies_at = Some(inner.writes + writes);
    }

    pub(crate) fn revive(&self) {
        self.inner().dies_at = None;
    }

    pub(crate) fn hiccup(&self, calls: u32) {
        self.inner().hiccups = calls;
    }

    pub(crate) fn items(&self) -> BTreeMap<Key, Bytes> {
        self.inner().items.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.wander().await;
        let mut inner = self.inner();
        inner.check()?;
        Ok(inner.item(key))
    }

    async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        self.wander().await;
        let mut inner = self.inner();
        inner.check()?;
        inner.expect(key, condition)?;
        inner.write(key, Some(value))
    }

    async fn delete(&self, key: &Key, condition: Condition) -> Result<(), StoreError> {
        self.wander().await;
        let mut inner = self.inner();
        inner.check()?;
        inner.expect(key, condition)?;
        inner.write(key, None)?;
        Ok(())
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        self.wander().await;
        let mut inner = self.inner();
        inner.check()?;
        assert_eq!((query.direction, &query.until), (Direction::Forward, &None), "not needed here");
        let within = inner.items.range(Key::new(&query.partition, &query.from)..);
        let mut keys = within
            .map(|(key, _)| key)
            .take_while(|key| key.partition == query.partition)
            .filter(|key| query.after.as_ref().is_none_or(|after| key.sort > *after));
        let limit = query.limit.min(PAGE_ITEMS);
        let items: Vec<_> = keys.by_ref().take(limit).filter_map(|key| inner.item(key)).collect();
        let next = keys.next().and_then(|_| items.last()).map(|item| item.key.sort.clone());
        Ok(Page { items, next })
    }

    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        let mut items = Vec::new();
        for key in keys {
            items.push(self.get(key).await?);
        }
        Ok(items)
    }

    /// The writes of a group in an order of chance, as DynamoDB does them.
    async fn batch_write(&self, groups: Vec<Vec<BatchWrite>>) -> Result<(), StoreError> {
        for mut group in groups {
            for place in (1..group.len()).rev() {
                let other = self.inner().random() % (place as u64 + 1);
                group.swap(place, usize::try_from(other).unwrap());
            }
            for write in group {
                self.wander().await;
                let (key, value) = match write {
                    BatchWrite::Put(key, value) => (key, Some(value)),
                    BatchWrite::Delete(key) => (key, None),
                };
                self.inner().write(&key, value)?;
            }
        }
        Ok(())
    }

    async fn transact(&self, _writes: Vec<Write>) -> Result<(), StoreError> {
        panic!("not needed here");
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
