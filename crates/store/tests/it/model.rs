//! Random operations, against an ordered map.

use std::collections::{BTreeMap, HashSet};

use Platform::{DynamoDb, Redb};
use bytes::Bytes;
use freshet_store::{BatchWrite, Condition, Direction, Item, Key, Query, Store, StoreError, Version, Write};
use freshet_testkit::seed;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rstest::rstest;

use crate::platform::Platform;

/// A condition by what the model knows of the item at the time.
#[derive(Debug, Clone, Copy)]
enum Expect {
    Any,
    Absent,
    Current,
    /// A version that the item once had, or another item has.
    Stale,
}

#[derive(Debug, Clone)]
enum Change {
    Put(Key, Bytes, Expect),
    Delete(Key, Expect),
    Check(Key, Expect),
}

#[derive(Debug, Clone)]
enum Operation {
    Write(Change),
    Transact(Vec<Change>),
    /// Groups of puts and (without a value) deletes.
    BatchWrite(Vec<Vec<(Key, Option<Bytes>)>>),
    BatchGet(Vec<Key>),
    Query(Query),
}

fn sort_key() -> impl Strategy<Value = String> {
    select(vec!["a", "a\u{0}", "a/1", "a/2", "b", "é", "\u{ffff}", "\u{1d11e}"]).prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = Key> {
    (select(vec!["p", "p\u{0}", "q"]), sort_key()).prop_map(|(partition, sort)| Key::new(partition, sort))
}

fn value() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..4).prop_map(Bytes::from)
}

fn change() -> impl Strategy<Value = Change> {
    let expect = || prop_oneof![3 => Just(Expect::Any), 2 => Just(Expect::Absent), 3 => Just(Expect::Current), 1 => Just(Expect::Stale)];
    prop_oneof![
        4 => (key(), value(), expect()).prop_map(|(key, value, expect)| Change::Put(key, value, expect)),
        2 => (key(), expect()).prop_map(|(key, expect)| Change::Delete(key, expect)),
        1 => (key(), expect()).prop_map(|(key, expect)| Change::Check(key, expect)),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let bound = || prop::option::of(sort_key());
    let direction = select(vec![Direction::Forward, Direction::Backward]);
    (select(vec!["p", "p\u{0}", "q"]), bound(), bound(), bound(), direction, 1..5_usize).prop_map(
        |(partition, from, until, after, direction, limit)| {
            let from = from.unwrap_or_default();
            Query { partition: partition.to_owned(), from, until, direction, limit, after }
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => change().prop_map(Operation::Write),
        2 => prop::collection::vec(change(), 1..5).prop_map(Operation::Transact),
        2 => prop::collection::vec(prop::collection::vec((key(), prop::option::of(value())), 0..6), 0..4)
            .prop_map(Operation::BatchWrite),
        1 => prop::collection::vec(key(), 0..8).prop_map(Operation::BatchGet),
        3 => query().prop_map(Operation::Query),
    ]
}

/// What the store should hold, in partitions of this case alone.
struct Model<'a> {
    store: &'a dyn Store,
    case: String,
    items: BTreeMap<Key, (Bytes, Version)>,
    used: HashSet<(Key, Version)>,
}

impl Model<'_> {
    fn own(&self, key: &Key) -> Key {
        Key::new(format!("{}{}", self.case, key.partition), &key.sort)
    }

    fn condition(&self, key: &Key, expect: Expect) -> Condition {
        let current = self.items.get(key).map(|(_, version)| *version);
        match expect {
            Expect::Any => Condition::Any,
            Expect::Absent => Condition::Absent,
            Expect::Current => current.map_or(Condition::Absent, Condition::Is),
            Expect::Stale => {
                let stale = self.used.iter().map(|(_, version)| *version).find(|version| Some(*version) != current);
                Condition::Is(stale.unwrap_or(Version(7)))
            }
        }
    }

    fn holds(&self, write: &Write) -> bool {
        let current = self.items.get(write.key()).map(|(_, version)| *version);
        match write.condition() {
            Condition::Any => true,
            Condition::Absent => current.is_none(),
            Condition::Is(version) => current == Some(version),
        }
    }

    fn write(&self, change: &Change) -> Write {
        match change {
            Change::Put(key, value, expect) => {
                let key = self.own(key);
                let condition = self.condition(&key, *expect);
                Write::Put { key, value: value.clone(), condition }
            }
            Change::Delete(key, expect) => {
                let key = self.own(key);
                let condition = self.condition(&key, *expect);
                Write::Delete { key, condition }
            }
            Change::Check(key, expect) => {
                let key = self.own(key);
                let condition = self.condition(&key, *expect);
                Write::Check { key, condition }
            }
        }
    }

    /// Takes in a put that the store did: its item must be there, at a version never seen.
    async fn was_put(&mut self, key: Key, value: Bytes, returned: Option<Version>) {
        let item = self.store.get(&key).await.unwrap().unwrap();
        assert_eq!(item.value, value);
        if let Some(version) = returned {
            assert_eq!(item.version, version);
        }
        assert!(self.used.insert((key.clone(), item.version)), "{:?} came back", item.version);
        self.items.insert(key, (value, item.version));
    }

    async fn transact(&mut self, writes: Vec<Write>) {
        let outcome = self.store.transact(writes.clone()).await;
        if let Some(conflicting) = writes.iter().find(|write| !self.holds(write)) {
            let Err(StoreError::Conflict { key }) = outcome else {
                panic!("expected a conflict at {:?}, got {outcome:?}", conflicting.key());
            };
            assert_eq!(&key, conflicting.key());
            return;
        }
        outcome.unwrap();
        for write in writes {
            match write {
                Write::Put { key, value, .. } => self.was_put(key, value, None).await,
                Write::Delete { key, .. } => drop(self.items.remove(&key)),
                Write::Check { .. } => {}
            }
        }
    }

    async fn write_alone(&mut self, write: Write) {
        let should_happen = self.holds(&write);
        let outcome = match write.clone() {
            Write::Put { key, value, condition } => self.store.put(&key, value, condition).await.map(Some),
            Write::Delete { key, condition } => self.store.delete(&key, condition).await.map(|()| None),
            Write::Check { .. } => return self.transact(vec![write]).await,
        };
        match (should_happen, outcome, write) {
            (true, Ok(version), Write::Put { key, value, .. }) => self.was_put(key, value, version).await,
            (true, Ok(_), Write::Delete { key, .. }) => drop(self.items.remove(&key)),
            (false, Err(StoreError::Conflict { key }), write) => assert_eq!(&key, write.key()),
            (should_happen, outcome, write) => panic!("{write:?} should happen: {should_happen}, got {outcome:?}"),
        }
    }

    fn item(&self, key: &Key) -> Option<Item> {
        let (value, version) = self.items.get(key)?.clone();
        Some(Item { key: key.clone(), value, version })
    }

    /// Every item of a query from its `after` on, page by page.
    async fn query(&self, mut query: Query) {
        query.partition = format!("{}{}", self.case, query.partition);
        let is_within = |item: &Item| {
            let sort = &item.key.sort;
            let is_past = query.after.as_ref().is_none_or(|after| match query.direction {
                Direction::Forward => sort > after,
                Direction::Backward => sort < after,
            });
            item.key.partition == query.partition
                && *sort >= query.from
                && query.until.as_ref().is_none_or(|until| sort < until)
                && is_past
        };
        let mut expected: Vec<_> = self.items.keys().filter_map(|key| self.item(key)).filter(is_within).collect();
        if query.direction == Direction::Backward {
            expected.reverse();
        }
        let mut found = Vec::new();
        let mut next_query = query.clone();
        loop {
            let page = self.store.query(&next_query).await.unwrap();
            assert!(page.items.len() <= query.limit);
            found.extend(page.items);
            match page.next {
                Some(next) => next_query.after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, expected);
    }

    async fn batch_write(&mut self, groups: Vec<Vec<(Key, Option<Bytes>)>>) {
        let write = |(key, value): &(Key, Option<Bytes>)| match value {
            Some(value) => BatchWrite::Put(self.own(key), value.clone()),
            None => BatchWrite::Delete(self.own(key)),
        };
        let writes: Vec<Vec<_>> = groups.iter().map(|group| group.iter().map(write).collect()).collect();
        self.store.batch_write(writes).await.unwrap();
        for (key, value) in groups.into_iter().flatten().collect::<BTreeMap<_, _>>() {
            match value {
                Some(value) => self.was_put(self.own(&key), value, None).await,
                None => drop(self.items.remove(&self.own(&key))),
            }
        }
    }

    async fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Write(change) => self.write_alone(self.write(&change)).await,
            Operation::Transact(changes) => {
                let mut seen = HashSet::new();
                let mut writes: Vec<_> = changes.iter().map(|change| self.write(change)).collect();
                writes.retain(|write| seen.insert(write.key().clone()));
                self.transact(writes).await;
            }
            Operation::BatchWrite(groups) => self.batch_write(groups).await,
            Operation::BatchGet(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| self.own(key)).collect();
                let expected: Vec<_> = keys.iter().map(|key| self.item(key)).collect();
                assert_eq!(self.store.batch_get(&keys).await.unwrap(), expected);
            }
            Operation::Query(query) => self.query(query).await,
        }
    }
}

#[rstest]
fn random_operations_do_what_an_ordered_map_does(#[values(Redb, DynamoDb)] platform: Platform) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(platform.store());
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes));
    let cases = std::cell::Cell::new(0);
    runner
        .run(&prop::collection::vec(operation(), 1..30), |operations| {
            cases.set(cases.get() + 1);
            let mut model = Model {
                store: &*store,
                case: format!("{}/", cases.get()),
                items: BTreeMap::new(),
                used: HashSet::new(),
            };
            runtime.block_on(async {
                for operation in operations {
                    model.run(operation).await;
                }
            });
            Ok(())
        })
        .unwrap();
}
