//! What profile indexes do on every store.

use std::convert::Infallible;

use Platform::{DynamoDb, Redb};
use freshet_model::IndexId;
use freshet_profile::{
    IndexRef, MAX_ATTRIBUTES_BYTES, MAX_BATCH, MAX_ID_BYTES, ProfileRow, ReadError, RefreshError, Total, refresh,
    remove_index,
};
use futures::stream;
use jiff::Timestamp;
use rstest::rstest;
use serde_json::json;

use crate::platform::Platform;
use crate::support::{
    at, attributes, filters, ids, index, profiles, reader, refresh_with, row, shape, try_refresh, walk,
};

fn buyer(id: &str, city: &str, tier: u32) -> ProfileRow {
    row(id, &json!({"id": id, "city": city, "tier": tier}))
}

#[rstest]
#[tokio::test]
async fn a_profile_is_answered_as_its_row_was_written(#[values(Redb, DynamoDb)] platform: Platform) {
    let test_store = platform.store().await;
    let store = &test_store.store;
    let text = r#"{"z": 1.50, "a": "é\n", "city": null, "big": 12345678901234567890.5, "nested": {"b": [1, 2]}}"#;
    let rows = vec![ProfileRow { id: Some("7".to_owned()), attributes: text.to_owned() }];
    let rows = stream::iter(rows.into_iter().map(Ok::<_, Infallible>));
    let report = refresh(&**store, &index(), &shape("1"), rows, at(5), &|| at(9)).await.unwrap();
    assert_eq!((report.rows, report.profiles, report.written, report.generation), (1, 1, 1, 1));

    let indexes = reader(store);
    let answer = indexes.get(&index(), "7").await.unwrap();
    assert_eq!((answer.as_of, answer.generation), (at(5), 1));
    let profile = answer.value.unwrap();
    assert_eq!((profile.id.as_str(), profile.attributes.get()), ("7", text));
    let serving = indexes.describe(&index()).await.unwrap().unwrap();
    assert_eq!((serving.as_of, serving.refreshed_at, serving.profiles), (at(5), at(9), 1));
    assert_eq!(serving.filters, ["city", "tier"]);
    for missing in ["8", "", "77", &"x".repeat(MAX_ID_BYTES + 1)] {
        assert!(indexes.get(&index(), missing).await.unwrap().value.is_none());
    }
}

#[rstest]
#[tokio::test]
async fn an_index_that_was_never_refreshed_is_not_built(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    let indexes = reader(&store);
    assert!(indexes.describe(&index()).await.unwrap().is_none());
    assert!(matches!(indexes.get(&index(), "a").await, Err(ReadError::NotBuilt)));
    assert!(matches!(indexes.batch_get(&index(), &[]).await, Err(ReadError::NotBuilt)));
    assert!(matches!(indexes.page(&index(), &[], None, 1).await, Err(ReadError::NotBuilt)));
    assert!(matches!(indexes.total(&index(), &[]).await, Err(ReadError::NotBuilt)));
    refresh_with(&*store, vec![]).await;
    let indexes = reader(&store);
    assert!(indexes.get(&index(), "a").await.unwrap().value.is_none());
    assert!(walk(&indexes, &[], 1).await[0].profiles.is_empty());
}

#[rstest]
#[tokio::test]
async fn some_indexes_are_as_fresh_as_the_least_fresh_of_them(#[values(Redb, DynamoDb)] platform: Platform) {
    let test_store = platform.store().await;
    let store = &test_store.store;
    let named = |name: &str| IndexRef { id: IndexId::parse(name).unwrap(), ..index() };
    let (newer, older, unbuilt) = (named("ix-newer"), named("ix-older"), named("ix-unbuilt"));
    for (index, as_of) in [(&newer, at(9)), (&older, at(5))] {
        let none = stream::iter(Vec::<Result<ProfileRow, Infallible>>::new());
        refresh(&**store, index, &shape("1"), none, as_of, &|| at(9)).await.unwrap();
    }
    let indexes = reader(store);
    assert_eq!(indexes.as_of(vec![]).await.unwrap(), None);
    assert_eq!(indexes.as_of(vec![newer.clone()]).await.unwrap(), Some(at(9)));
    assert_eq!(indexes.as_of(vec![newer.clone(), older.clone()]).await.unwrap(), Some(at(5)));
    assert_eq!(indexes.as_of(vec![older, unbuilt, newer]).await.unwrap(), Some(Timestamp::UNIX_EPOCH));
}

#[rstest]
#[tokio::test]
async fn a_refresh_writes_what_changed(#[values(Redb, DynamoDb)] platform: Platform) {
    let test_store = platform.store().await;
    let store = &test_store.store;
    let first = refresh_with(&**store, ["a", "b", "c", "d"].map(|id| buyer(id, "Oslo", 1)).to_vec()).await;
    assert_eq!((first.written, first.unchanged, first.removed), (4, 0, 0));
    let rows = vec![buyer("a", "Oslo", 1), buyer("b", "Bergen", 1), buyer("d", "Oslo", 2), buyer("e", "Oslo", 1)];
    let second = refresh_with(&**store, rows.clone()).await;
    assert_eq!((second.written, second.unchanged, second.removed, second.profiles), (3, 1, 1, 4));
    let third = refresh_with(&**store, rows).await;
    assert_eq!((third.written, third.unchanged, third.removed), (0, 4, 0));

    assert_eq!(attributes(store, "b").await.unwrap(), json!({"id": "b", "city": "Bergen", "tier": 1}).to_string());
    assert_eq!(attributes(store, "c").await, None);
    let indexes = reader(store);
    assert_eq!(ids(&indexes, &[], 10).await, ["a", "b", "d", "e"]);
    assert_eq!(ids(&indexes, &[("city", "Oslo")], 10).await, ["a", "d", "e"]);
    assert_eq!(ids(&indexes, &[("city", "Oslo"), ("tier", "1")], 10).await, ["a", "e"]);
    assert_eq!(ids(&indexes, &[("city", "Bergen")], 10).await, ["b"]);
}

#[rstest]
#[tokio::test]
async fn rows_that_make_no_profile_are_counted(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    let null_key = || ProfileRow { id: None, attributes: "{}".to_owned() };
    let (longest, too_long) = ("x".repeat(MAX_ID_BYTES), "y".repeat(MAX_ID_BYTES + 1));
    let too_large = row("f", &json!({"text": "x".repeat(MAX_ATTRIBUTES_BYTES)}));
    let rows = vec![
        null_key(),
        row("", &json!({})),
        buyer("a", "Oslo", 3),
        buyer("a", "Oslo", 1),
        buyer("a", "Oslo", 2),
        null_key(),
        too_large.clone(),
        buyer("f", "Oslo", 1),
        too_large,
        buyer(&longest, "Oslo", 1),
        buyer(&too_long, "Oslo", 1),
    ];
    let report = refresh_with(&*store, rows).await;
    assert_eq!((report.rows, report.profiles), (11, 3));
    assert_eq!((report.null_keys, report.unusable_keys, report.duplicate_keys, report.too_large), (2, 2, 2, 2));
    assert_eq!(attributes(&store, "a").await.unwrap(), json!({"id": "a", "city": "Oslo", "tier": 1}).to_string());
    assert_eq!(ids(&reader(&store), &[("city", "Oslo")], 1).await, ["a", "f", &longest]);
}

#[rstest]
#[tokio::test]
async fn ids_are_any_text_in_the_order_of_its_bytes(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    let mut names =
        ["Z", "a", "a/b", "a b", "a\"\\", "é", "日本", "\u{fffd}", "\u{1d11e}", "\u{0}", "%2F", "head", "=x", "#x"];
    names.sort_unstable();
    refresh_with(&*store, names.iter().map(|id| buyer(id, id, 1)).collect()).await;
    let indexes = reader(&store);
    for id in names {
        assert_eq!(indexes.get(&index(), id).await.unwrap().value.unwrap().id, id);
        assert_eq!(ids(&indexes, &[("city", id)], 5).await, [id]);
    }
    for limit in [1, 2, 5, 100] {
        assert_eq!(ids(&indexes, &[], limit).await, names);
        assert_eq!(ids(&indexes, &[("tier", "1")], limit).await, names);
    }
}

#[rstest]
#[tokio::test]
async fn filters_compare_values_as_texts(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    let (long, longer) = ("v".repeat(201), "v".repeat(10_000));
    let cities = [
        ("a", json!("Oslo")),
        ("b", json!("")),
        ("c", json!(null)),
        ("d", json!("null")),
        ("e", json!(true)),
        ("f", json!(12.5)),
        ("g", json!("12.5")),
        ("h", json!(long)),
        ("i", json!(longer)),
        ("j", json!("v".repeat(10_001))),
        ("k", json!("oslo")),
    ];
    let mut rows: Vec<_> = cities.iter().map(|(id, city)| row(id, &json!({"city": city}))).collect();
    rows.push(row("z", &json!({"other": "Oslo"})));
    refresh_with(&*store, rows).await;
    let indexes = reader(&store);
    let cases: [(&str, &[&str]); 10] = [
        ("Oslo", &["a"]),
        ("", &["b"]),
        ("null", &["d"]),
        ("true", &["e"]),
        ("12.5", &["f", "g"]),
        ("12.50", &[]),
        (&long, &["h"]),
        (&longer, &["i"]),
        ("Osl", &[]),
        ("Oslo ", &[]),
    ];
    for (value, expected) in cases {
        assert_eq!(ids(&indexes, &[("city", value)], 10).await, expected, "{value:.20}");
    }
    assert_eq!(ids(&indexes, &[("city", "Oslo"), ("city", "oslo")], 10).await, [""; 0]);
    assert_eq!(ids(&indexes, &[("city", "Oslo"), ("city", "Oslo")], 10).await, ["a"]);

    let refused = indexes.page(&index(), &filters(&[("city", &"v".repeat(10_001))]), None, 1).await.unwrap_err();
    assert_eq!(refused.to_string(), "the value of filter \"city\" has 10001 bytes, at most 10000 are allowed");
    let refused = indexes.total(&index(), &filters(&[("ctiy", "Oslo")])).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "\"ctiy\" is not a filter of the index, which has city, tier; did you mean \"city\"?"
    );
    let many = filters(&[("city", "Oslo"); 21]);
    assert!(matches!(indexes.page(&index(), &many, None, 1).await, Err(ReadError::TooManyFilters { count: 21 })));
}

#[rstest]
#[tokio::test]
async fn profiles_of_any_size_are_replaced_and_removed(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    // Digits of chance, which hardly compress: the largest is in several parts.
    let text = |seed: u64, length: usize| {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + u8::try_from((state >> 33) % 75).unwrap())
        };
        std::iter::repeat_with(next).filter(|c| *c != '\\').take(length).collect::<String>()
    };
    let with = |seed, length| row("a", &json!({"city": "Oslo", "text": text(seed, length)}));
    let sizes = [1_000_000, 3_900_000, 3_900_000, 100, 500_000, 5_000, 1_000_000];
    for (seed, size) in (1..).zip(sizes) {
        let wanted = with(seed, size);
        let report = refresh_with(&*store, vec![wanted.clone()]).await;
        assert_eq!((report.written, report.too_large), (1, 0));
        assert_eq!(attributes(&store, "a").await.unwrap(), wanted.attributes);
    }
    assert_eq!(ids(&reader(&store), &[("city", "Oslo")], 5).await, ["a"]);
    refresh_with(&*store, vec![]).await;
    assert_eq!(attributes(&store, "a").await, None);
    assert_eq!(ids(&reader(&store), &[("city", "Oslo")], 5).await, [""; 0]);
}

#[rstest]
#[tokio::test]
async fn answers_have_a_greatest_size(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    let large = |id: &str| row(id, &json!({"city": "Oslo", "text": "x".repeat(2_000_000)}));
    refresh_with(&*store, ["a", "b", "c", "d", "e"].map(large).to_vec()).await;
    let indexes = reader(&store);
    for pairs in [&[][..], &[("city", "Oslo")]] {
        let pages = walk(&indexes, &filters(pairs), 100).await;
        let sizes: Vec<_> = pages.iter().map(|page| page.profiles.len()).collect();
        assert_eq!(sizes, [2, 2, 1]);
        let found: Vec<_> = profiles(pages).into_iter().map(|profile| profile.id).collect();
        assert_eq!(found, ["a", "b", "c", "d", "e"]);
    }
    let some = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(indexes.batch_get(&index(), &some(&["a", "b"])).await.unwrap().value.len(), 2);
    let refused = indexes.batch_get(&index(), &some(&["a", "b", "c"])).await;
    assert!(matches!(refused, Err(ReadError::AnswerTooLarge)));
}

#[rstest]
#[tokio::test]
async fn many_are_got_in_the_order_asked(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    let all: Vec<_> = (100..350).map(|number| number.to_string()).collect();
    refresh_with(&*store, all.iter().map(|id| buyer(id, "Oslo", 1)).collect()).await;
    let indexes = reader(&store);
    let mut asked: Vec<String> = all.iter().rev().cloned().collect();
    asked.splice(3..3, ["none".to_owned(), "100".to_owned(), String::new(), "x".repeat(2_000)]);
    let answer = indexes.batch_get(&index(), &asked).await.unwrap();
    let got: Vec<_> = answer.value.into_iter().map(|profile| profile.map(|profile| profile.id)).collect();
    let expected: Vec<_> = asked.iter().map(|id| all.contains(id).then(|| id.clone())).collect();
    assert_eq!(got, expected);
    let too_many = vec![String::new(); MAX_BATCH + 1];
    assert!(matches!(indexes.batch_get(&index(), &too_many).await, Err(ReadError::TooManyIds { count: 1_001 })));
}

#[rstest]
#[tokio::test]
async fn totals_count_what_a_walk_finds(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    let city = |number: u32| if number.is_multiple_of(3) { "Oslo" } else { "Bergen" };
    let rows = (1_000..1_400).map(|number| buyer(&number.to_string(), city(number), number % 7)).collect();
    refresh_with(&*store, rows).await;
    let indexes = reader(&store);
    for pairs in [&[][..], &[("city", "Oslo")], &[("city", "Oslo"), ("tier", "3")], &[("tier", "8")]] {
        let total = indexes.total(&index(), &filters(pairs)).await.unwrap().value;
        let count = ids(&indexes, pairs, 90).await.len() as u64;
        assert_eq!(total, Total { count, is_exact: true }, "{pairs:?}");
    }
}

#[rstest]
#[tokio::test]
async fn rows_that_are_not_as_described_end_a_refresh(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    refresh_with(&*store, vec![buyer("a", "Oslo", 1)]).await;
    let error = try_refresh(&*store, &shape("1"), vec![buyer("b", "Oslo", 1), buyer("a", "Oslo", 1)], at(0)).await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "the rows are not in the order of their ids: \"a\" came after \"b\"");
    let not_an_object = ProfileRow { id: Some("a".to_owned()), attributes: "[1]".to_owned() };
    let error = try_refresh(&*store, &shape("1"), vec![not_an_object], at(0)).await.unwrap_err();
    assert!(matches!(&error, RefreshError::Attributes { id, .. } if id == "a"), "{error:?}");
    assert!(!error.is_temporary(|never| match *never {}));
    assert_eq!(ids(&reader(&store), &[], 5).await, ["a"]);
}

#[rstest]
#[tokio::test]
async fn a_removed_index_is_gone_and_can_be_made_again(#[values(Redb, DynamoDb)] platform: Platform) {
    let store = platform.store().await.store;
    refresh_with(&*store, vec![buyer("a", "Oslo", 1), buyer("b", "Oslo", 1)]).await;
    remove_index(&*store, &index(), at(1)).await.unwrap();
    assert!(reader(&store).describe(&index()).await.unwrap().is_none());
    let report = refresh_with(&*store, vec![buyer("b", "Oslo", 1)]).await;
    assert_eq!((report.written, report.unchanged, report.removed), (1, 0, 0));
    assert_eq!(ids(&reader(&store), &[("city", "Oslo")], 5).await, ["b"]);
}
