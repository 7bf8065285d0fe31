//! What every store promises.

use std::collections::HashSet;

use Platform::{DynamoDb, Redb};
use bytes::Bytes;
use freshet_store::{
    BatchWrite, Condition, Direction, Key, MAX_KEY_BYTES, MAX_TRANSACTION, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES,
    Page, Query, Store, StoreError, Version, Write, query_all,
};
use rstest::rstest;

use crate::platform::Platform;

fn key(sort: &str) -> Key {
    Key::new("p", sort)
}

fn put(sort: &str, value: &'static str, condition: Condition) -> Write {
    Write::Put { key: key(sort), value: Bytes::from_static(value.as_bytes()), condition }
}

fn delete(sort: &str, condition: Condition) -> Write {
    Write::Delete { key: key(sort), condition }
}

fn check(sort: &str, condition: Condition) -> Write {
    Write::Check { key: key(sort), condition }
}

async fn put_any(store: &dyn Store, sort: &str, value: &'static str) -> Version {
    store.put(&key(sort), Bytes::from_static(value.as_bytes()), Condition::Any).await.unwrap()
}

async fn put_all(store: &dyn Store, items: impl IntoIterator<Item = (Key, Bytes)>) -> Result<(), StoreError> {
    store.batch_write(vec![items.into_iter().map(|(key, value)| BatchWrite::Put(key, value)).collect()]).await
}

async fn value_at(store: &dyn Store, sort: &str) -> Option<Bytes> {
    store.get(&key(sort)).await.unwrap().map(|item| item.value)
}

fn sorts(page: &Page) -> Vec<&str> {
    page.items.iter().map(|item| item.key.sort.as_str()).collect()
}

/// Asserts that nothing was written because of the item at `sort`.
#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(outcome: Result<T, StoreError>, sort: &str) {
    match outcome {
        Err(StoreError::Conflict { key: conflict }) => assert_eq!(conflict, key(sort)),
        other => panic!("expected a conflict at {sort}, got {other:?}"),
    }
}

/// Asserts a refusal that says `part`.
#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, StoreError>, part: &str) {
    match outcome {
        Err(error @ StoreError::Refused { .. }) => assert!(error.to_string().contains(part), "{error}"),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[rstest]
#[tokio::test]
async fn a_put_is_read_back_until_it_is_deleted(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    let version = put_any(&*store, "a", "one").await;
    let item = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((item.key, item.value, item.version), (key("a"), Bytes::from_static(b"one"), version));
    assert_eq!(store.get(&Key::new("other", "a")).await.unwrap(), None);
    store.delete(&key("a"), Condition::Any).await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    store.delete(&key("a"), Condition::Any).await.unwrap();
    store.ping().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_put_happens_only_if_its_condition_holds(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let value = || Bytes::from_static(b"new");
    let other = put_any(&*store, "other", "other").await;
    assert_conflict(store.put(&key("a"), value(), Condition::Is(other)).await, "a");
    assert_eq!(value_at(&*store, "a").await, None);

    let first = store.put(&key("a"), Bytes::from_static(b"first"), Condition::Absent).await.unwrap();
    assert_conflict(store.put(&key("a"), value(), Condition::Absent).await, "a");
    let second = store.put(&key("a"), Bytes::from_static(b"second"), Condition::Is(first)).await.unwrap();
    assert_conflict(store.put(&key("a"), value(), Condition::Is(first)).await, "a");
    let item = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((item.value, item.version), (Bytes::from_static(b"second"), second));
}

#[rstest]
#[tokio::test]
async fn a_delete_happens_only_if_its_condition_holds(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let first = put_any(&*store, "a", "one").await;
    let second = put_any(&*store, "a", "two").await;
    assert_conflict(store.delete(&key("a"), Condition::Is(first)).await, "a");
    assert_conflict(store.delete(&key("a"), Condition::Absent).await, "a");
    assert_eq!(value_at(&*store, "a").await.unwrap(), "two");
    store.delete(&key("a"), Condition::Is(second)).await.unwrap();
    assert_conflict(store.delete(&key("a"), Condition::Is(second)).await, "a");
    store.delete(&key("a"), Condition::Absent).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_version_is_never_used_again_for_its_key(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let mut seen = HashSet::new();
    let mut stale = None;
    for _ in 0..5 {
        let version = put_any(&*store, "a", "same value").await;
        assert!(seen.insert(version), "{version:?} came back");
        if let Some(stale) = stale {
            assert_conflict(store.put(&key("a"), Bytes::from_static(b"x"), Condition::Is(stale)).await, "a");
        }
        stale = Some(version);
        store.delete(&key("a"), Condition::Is(version)).await.unwrap();
        store.transact(vec![put("a", "by a transaction", Condition::Absent)]).await.unwrap();
        assert!(seen.insert(store.get(&key("a")).await.unwrap().unwrap().version));
        store.transact(vec![delete("a", Condition::Any)]).await.unwrap();
        put_all(&*store, [(key("a"), Bytes::from_static(b"by a batch"))]).await.unwrap();
        assert!(seen.insert(store.get(&key("a")).await.unwrap().unwrap().version));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_that_race_exactly_one_wins(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let mut condition = Condition::Absent;
    for round in 0..5 {
        let writers: Vec<_> = (0..16)
            .map(|writer: u8| {
                let store = store.store.clone();
                tokio::spawn(async move { store.put(&key("a"), Bytes::from(vec![round, writer]), condition).await })
            })
            .collect();
        let mut winners = Vec::new();
        for (writer, outcome) in (0..).zip(futures::future::join_all(writers).await) {
            match outcome.unwrap() {
                Ok(version) => winners.push((version, vec![round, writer])),
                outcome => assert_conflict(outcome, "a"),
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        let item = store.get(&key("a")).await.unwrap().unwrap();
        assert_eq!((item.version, item.value.to_vec()), winners[0]);
        condition = Condition::Is(item.version);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost_among_transactions_that_race(#[values(Redb, DynamoDb)] platform: Platform) {
    const WRITERS: u64 = 6;
    const UPDATES: u64 = 10;
    let store = platform.store().await;
    put_any(&*store, "a", "0").await;
    put_any(&*store, "b", "0").await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = store.store.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < UPDATES {
                    let mut writes = Vec::new();
                    for sort in ["a", "b"] {
                        let item = store.get(&key(sort)).await.unwrap().unwrap();
                        let count: u64 = std::str::from_utf8(&item.value).unwrap().parse().unwrap();
                        let value = Bytes::from((count + 1).to_string());
                        writes.push(Write::Put { key: item.key, value, condition: Condition::Is(item.version) });
                    }
                    match store.transact(writes).await {
                        Ok(()) => done += 1,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let expected = (WRITERS * UPDATES).to_string();
    assert_eq!(value_at(&*store, "a").await.unwrap(), expected);
    assert_eq!(value_at(&*store, "b").await.unwrap(), expected);
}

#[rstest]
#[tokio::test]
async fn a_query_goes_through_its_range_in_both_directions(
    #[values(Redb, DynamoDb)] platform: Platform,
    #[values(1, 2, 3, 10)] limit: usize,
) {
    let store = platform.store().await;
    let keys = ["a", "b", "c", "d", "e"];
    put_all(&*store, keys.map(|sort| (key(sort), Bytes::from_static(b"x")))).await.unwrap();
    for other_partition in ["o", "p\u{0}", "p1", "q"] {
        store.put(&Key::new(other_partition, "c"), Bytes::new(), Condition::Any).await.unwrap();
    }
    let cases: [(&str, Option<&str>, &[&str]); 8] = [
        ("", None, &keys),
        ("b", None, &["b", "c", "d", "e"]),
        ("", Some("d"), &["a", "b", "c"]),
        ("b", Some("d"), &["b", "c"]),
        ("aa", Some("da"), &["b", "c", "d"]),
        ("b", Some("b"), &[]),
        ("d", Some("b"), &[]),
        ("f", None, &[]),
    ];
    for (from, until, expected) in cases {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut query = Query {
                partition: "p".to_owned(),
                from: from.to_owned(),
                until: until.map(str::to_owned),
                direction,
                limit,
                after: None,
            };
            let mut found = Vec::new();
            loop {
                let page = store.query(&query).await.unwrap();
                assert!(page.items.len() <= limit);
                found.extend(page.items.into_iter().map(|item| item.key.sort));
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            if direction == Direction::Backward {
                found.reverse();
            }
            assert_eq!(found, expected, "{from}..{until:?} {direction:?}");
        }
    }
}

#[rstest]
#[tokio::test]
async fn a_page_begins_after_a_key_whether_it_is_there_or_not(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    put_all(&*store, ["b", "d", "f"].map(|sort| (key(sort), Bytes::new()))).await.unwrap();
    let page = async |direction, after: &str| {
        let range = Query { until: Some("f".to_owned()), from: "b".to_owned(), ..Query::prefix("p", "") };
        let page = store.query(&Query { direction, after: Some(after.to_owned()), ..range }).await.unwrap();
        sorts(&page).join(" ")
    };
    assert_eq!(page(Direction::Forward, "b").await, "d");
    assert_eq!(page(Direction::Forward, "c").await, "d");
    assert_eq!(page(Direction::Forward, "a").await, "b d");
    assert_eq!(page(Direction::Forward, "f").await, "");
    assert_eq!(page(Direction::Backward, "d").await, "b");
    assert_eq!(page(Direction::Backward, "e").await, "d b");
    assert_eq!(page(Direction::Backward, "z").await, "d b");
    assert_eq!(page(Direction::Backward, "b").await, "");
}

#[rstest]
#[tokio::test]
async fn a_prefix_query_finds_all_that_begins_with_it(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let keys = ["table", "table/", "table/a", "table/\u{10ffff}", "table/\u{10ffff}z", "table0", "tablet", "u"];
    put_all(&*store, keys.map(|sort| (key(sort), Bytes::new()))).await.unwrap();
    let with_prefix = async |prefix: &str| {
        let items = query_all(&*store, Query { limit: 2, ..Query::prefix("p", prefix) }).await.unwrap();
        items.into_iter().map(|item| item.key.sort).collect::<Vec<_>>()
    };
    assert_eq!(with_prefix("table/").await, ["table/", "table/a", "table/\u{10ffff}", "table/\u{10ffff}z"]);
    assert_eq!(with_prefix("table/\u{10ffff}").await, ["table/\u{10ffff}", "table/\u{10ffff}z"]);
    assert_eq!(with_prefix("tab").await, &keys[..7]);
    assert_eq!(with_prefix("").await, keys);
    assert!(with_prefix("x").await.is_empty());
}

#[rstest]
#[tokio::test]
async fn keys_are_any_text_in_the_order_of_its_bytes(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    // U+FFFD comes before U+1D11E in UTF-8, and after it in UTF-16.
    let mut keys =
        ["Z", "a", "a b", "a\"\\/'", "e\u{301}", "é", "ß", "日本", "\u{fffd}", "\u{1d11e}", " ", "\u{7f}", "a\u{0}"];
    for (index, sort) in keys.into_iter().enumerate() {
        store.put(&Key::new("Ünïcödé/🦀", sort), index.to_string().into(), Condition::Absent).await.unwrap();
    }
    for (index, sort) in keys.into_iter().enumerate() {
        let item = store.get(&Key::new("Ünïcödé/🦀", sort)).await.unwrap().unwrap();
        assert_eq!(item.value, index.to_string());
    }
    keys.sort_by(|left, right| left.as_bytes().cmp(right.as_bytes()));
    let page = store.query(&Query::prefix("Ünïcödé/🦀", "")).await.unwrap();
    assert_eq!(sorts(&page), keys);
}

#[rstest]
#[tokio::test]
async fn what_is_at_a_limit_is_kept_and_what_is_over_it_refused(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let longest = "k".repeat(MAX_KEY_BYTES);
    let longest_key = Key::new(&longest, &longest);
    let biggest = Bytes::from((0..=u8::MAX).cycle().take(MAX_VALUE_BYTES).collect::<Vec<_>>());
    store.put(&longest_key, biggest.clone(), Condition::Absent).await.unwrap();
    assert_eq!(store.get(&longest_key).await.unwrap().unwrap().value, biggest);
    store.put(&key("empty"), Bytes::new(), Condition::Any).await.unwrap();
    assert_eq!(value_at(&*store, "empty").await.unwrap(), "");

    let too_long = "é".repeat(MAX_KEY_BYTES / 2) + "k";
    let too_big = Bytes::from(vec![0; MAX_VALUE_BYTES + 1]);
    for (bad_key, part) in [
        (Key::new("", "a"), "a partition key is empty"),
        (Key::new("p", ""), "a sort key is empty"),
        (Key::new(&too_long, "a"), "a partition key has 1025 bytes, at most 1024"),
        (Key::new("p", &too_long), "a sort key has 1025 bytes, at most 1024"),
    ] {
        let value = || Bytes::from_static(b"x");
        assert_refused(store.get(&bad_key).await, part);
        assert_refused(store.put(&bad_key, value(), Condition::Any).await, part);
        assert_refused(store.delete(&bad_key, Condition::Any).await, part);
        assert_refused(store.batch_get(&[key("a"), bad_key.clone()]).await, part);
        assert_refused(put_all(&*store, [(key("a"), value()), (bad_key.clone(), value())]).await, part);
        let delete = BatchWrite::Delete(bad_key.clone());
        let write = BatchWrite::Put(key("a"), value());
        assert_refused(store.batch_write(vec![vec![write], vec![delete]]).await, part);
        assert_refused(store.transact(vec![Write::Check { key: bad_key, condition: Condition::Any }]).await, part);
    }
    let part = "a value has 380001 bytes, at most 380000";
    assert_refused(store.put(&key("a"), too_big.clone(), Condition::Any).await, part);
    assert_refused(put_all(&*store, [(key("b"), Bytes::new()), (key("a"), too_big.clone())]).await, part);
    let condition = Condition::Any;
    assert_refused(store.transact(vec![Write::Put { key: key("a"), value: too_big, condition }]).await, part);

    let whole = Query::prefix("p", "");
    assert_refused(store.query(&Query { limit: 0, ..whole.clone() }).await, "limit is 0, the least is 1");
    assert_refused(store.query(&Query { partition: String::new(), ..whole.clone() }).await, "partition key is empty");
    assert_refused(store.query(&Query { from: too_long.clone(), ..whole.clone() }).await, "lower bound has 1025");
    assert_refused(store.query(&Query { until: Some(too_long), ..whole.clone() }).await, "upper bound has 1025");
    assert_refused(store.query(&Query { after: Some(String::new()), ..whole }).await, "to begin after is empty");
    assert_eq!(value_at(&*store, "a").await, None, "a refused call wrote something");
}

#[rstest]
#[tokio::test]
async fn a_page_of_big_values_ends_early_and_goes_on(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let items = (0..8).map(|index| (key(&index.to_string()), Bytes::from(vec![index; MAX_VALUE_BYTES])));
    put_all(&*store, items).await.unwrap();
    let query = Query { limit: 1_000, ..Query::prefix("p", "") };
    let page = store.query(&query).await.unwrap();
    assert!((1..8).contains(&page.items.len()), "a page of {} items is as much as 2 MB", page.items.len());
    let items = query_all(&*store, query).await.unwrap();
    let found: Vec<_> = items.iter().map(|item| (item.key.sort.as_str(), item.value[0], item.value.len())).collect();
    let expected = ["0", "1", "2", "3", "4", "5", "6", "7"].into_iter().zip(0..);
    assert_eq!(found, expected.map(|(sort, byte)| (sort, byte, MAX_VALUE_BYTES)).collect::<Vec<_>>());
}

#[rstest]
#[tokio::test]
async fn a_batch_of_any_size_is_put_and_got_in_order(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let items = (0..1_000).step_by(2).map(|index| (key(&index.to_string()), Bytes::from(index.to_string())));
    let mut items: Vec<_> = items.collect();
    items.insert(0, (key("0"), Bytes::from_static(b"the later of two stands")));
    put_all(&*store, items).await.unwrap();
    // Backwards, with keys that aren't there between those that are, and two keys twice.
    let mut keys: Vec<_> = (0..1_000).rev().map(|index| key(&index.to_string())).collect();
    keys.extend([key("10"), key("11")]);
    let found = store.batch_get(&keys).await.unwrap();
    assert_eq!(found.len(), keys.len());
    for (wanted, item) in keys.iter().zip(found) {
        let is_there = wanted.sort.parse::<u32>().unwrap().is_multiple_of(2);
        let expected = is_there.then(|| (wanted.clone(), Bytes::from(wanted.sort.clone())));
        assert_eq!(item.map(|item| (item.key, item.value)), expected);
    }
    assert_eq!(store.batch_get(&[]).await.unwrap(), []);
    store.batch_write(Vec::new()).await.unwrap();
    store.batch_write(vec![Vec::new(), Vec::new()]).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_batch_puts_and_deletes_and_the_later_of_two_writes_stands(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let puts = |value: &'static str| {
        let put = move |index: u32| BatchWrite::Put(key(&index.to_string()), Bytes::from_static(value.as_bytes()));
        (0..60).map(put).collect::<Vec<_>>()
    };
    let deletes = |step| (0..60).step_by(step).map(|index| BatchWrite::Delete(key(&index.to_string()))).collect();
    store.batch_write(vec![puts("first"), deletes(2), puts("second"), deletes(3)]).await.unwrap();
    for index in 0..60_u32 {
        let expected = (!index.is_multiple_of(3)).then_some("second");
        assert_eq!(value_at(&*store, &index.to_string()).await.as_deref(), expected.map(str::as_bytes), "{index}");
    }

    let delete_and_put = vec![BatchWrite::Delete(key("a")), BatchWrite::Put(key("a"), Bytes::from_static(b"there"))];
    let put_and_delete = vec![BatchWrite::Put(key("b"), Bytes::from_static(b"x")), BatchWrite::Delete(key("b"))];
    store.batch_write(vec![delete_and_put, put_and_delete]).await.unwrap();
    assert_eq!(value_at(&*store, "a").await.unwrap(), "there");
    assert_eq!(value_at(&*store, "b").await, None);
}

#[rstest]
#[tokio::test]
async fn a_transaction_happens_wholly(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let changed = put_any(&*store, "changed", "old").await;
    let removed = put_any(&*store, "removed", "old").await;
    let checked = put_any(&*store, "checked", "old").await;
    store
        .transact(vec![
            put("made", "new", Condition::Absent),
            put("changed", "new", Condition::Is(changed)),
            delete("removed", Condition::Is(removed)),
            delete("never there", Condition::Any),
            check("checked", Condition::Is(checked)),
            check("absent", Condition::Absent),
            check("of nothing", Condition::Any),
        ])
        .await
        .unwrap();
    assert_eq!(value_at(&*store, "made").await.unwrap(), "new");
    assert_eq!(value_at(&*store, "changed").await.unwrap(), "new");
    assert_eq!(value_at(&*store, "removed").await, None);
    assert_eq!(store.get(&key("checked")).await.unwrap().unwrap().version, checked, "a check wrote something");
    store.transact(vec![]).await.unwrap();
    store.transact(vec![check("of nothing", Condition::Any)]).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_transaction_with_a_conflict_does_nothing(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let stale = put_any(&*store, "there", "old").await;
    let version = put_any(&*store, "there", "still here").await;
    let other = put_any(&*store, "other", "x").await;
    let cases = [
        (vec![put("there", "new", Condition::Absent)], "there"),
        (vec![put("there", "new", Condition::Is(stale))], "there"),
        (vec![put("absent", "new", Condition::Is(other))], "absent"),
        (vec![delete("there", Condition::Is(stale))], "there"),
        (vec![check("there", Condition::Absent)], "there"),
        (vec![check("absent", Condition::Is(other)), check("there", Condition::Absent)], "absent"),
    ];
    for (conflicting, conflict) in cases {
        for first in [true, false] {
            let mut writes = vec![put("made", "new", Condition::Any), delete("other", Condition::Any)];
            let place = if first { 0 } else { writes.len() };
            writes.splice(place..place, conflicting.clone());
            assert_conflict(store.transact(writes).await, conflict);
            assert_eq!(value_at(&*store, "made").await, None);
            assert_eq!(store.get(&key("there")).await.unwrap().unwrap().version, version);
            assert_eq!(store.get(&key("other")).await.unwrap().unwrap().version, other);
        }
    }
}

#[rstest]
#[tokio::test]
async fn a_transaction_has_limits(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await;
    let many = |count| (0..count).map(|index| put(&format!("{index}"), "x", Condition::Absent)).collect::<Vec<_>>();
    store.transact(many(MAX_TRANSACTION)).await.unwrap();
    assert_eq!(store.query(&Query::prefix("p", "")).await.unwrap().items.len(), MAX_TRANSACTION);
    assert_refused(store.transact(many(MAX_TRANSACTION + 1)).await, "has 101 writes, at most 100");
    assert_refused(
        store.transact(vec![put("a", "x", Condition::Any), delete("a", Condition::Any)]).await,
        "has two writes of p/a, one a key",
    );

    let big = |count, last: usize| {
        let sizes = std::iter::repeat_n(MAX_TRANSACTION_BYTES / 8, count).chain([last]);
        let writes = sizes.enumerate().map(|(index, size)| {
            let item_key = Key::new("big", index.to_string());
            let value = Bytes::from(vec![0; size - item_key.partition.len() - item_key.sort.len()]);
            Write::Put { key: item_key, value, condition: Condition::Any }
        });
        writes.collect::<Vec<_>>()
    };
    let eighth = MAX_TRANSACTION_BYTES / 8;
    store.transact(big(7, eighth)).await.unwrap();
    assert_refused(store.transact(big(7, eighth + 1)).await, "has 2800001 bytes, at most 2800000");
}
