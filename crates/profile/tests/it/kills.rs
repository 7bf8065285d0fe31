//! Refreshes that are killed at every write that they do.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use freshet_profile::{ProfileRow, Shape, remove_retired};
use freshet_store::{Key, Store};
use freshet_testkit::seed;
use rstest::rstest;
use serde_json::{Value, json};

use crate::memory::Memory;
use crate::support::{at, attributes, index, row, shape, try_refresh};

/// Attributes too large for one item, of digits that don't compress.
fn large(seed: u64) -> String {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from((state >> 33) % 64).unwrap())
    };
    std::iter::repeat_with(next).take(600_000).collect::<String>().replace('\\', "/")
}

fn profiles(all: &[(&str, Value)]) -> Vec<ProfileRow> {
    all.iter().map(|(id, attributes)| row(id, attributes)).collect()
}

static BEFORE: LazyLock<Vec<ProfileRow>> = LazyLock::new(|| {
    profiles(&[
        ("changed", json!({"city": "Oslo", "tier": 1})),
        ("gone", json!({"city": "Oslo", "tier": 2})),
        ("gone and large", json!({"city": "Oslo", "text": large(1)})),
        ("large", json!({"city": "Oslo", "tier": 3, "text": large(2)})),
        ("same", json!({"city": "Oslo", "tier": 1})),
        ("shrinks", json!({"city": "Bergen", "text": large(3)})),
    ])
});

static KILLED: LazyLock<Vec<ProfileRow>> = LazyLock::new(|| {
    profiles(&[
        ("changed", json!({"city": "Bergen", "tier": 1})),
        ("large", json!({"city": "Bergen", "tier": 3, "text": large(4)})),
        ("new", json!({"city": "Oslo", "tier": 4})),
        ("new and large", json!({"city": "Oslo", "text": large(5)})),
        ("same", json!({"city": "Oslo", "tier": 1})),
        ("shrinks", json!({"city": "Oslo"})),
    ])
});

static OTHER: LazyLock<Vec<ProfileRow>> = LazyLock::new(|| {
    profiles(&[
        ("changed", json!({"city": "Tromsø", "tier": 5})),
        ("gone", json!({"city": "Tromsø", "tier": 2})),
        ("large", json!({"city": "Oslo", "tier": 6, "text": large(6)})),
        ("same", json!({"city": "Oslo", "tier": 1})),
    ])
});

/// What is there before the refresh that is killed.
fn before() -> Vec<ProfileRow> {
    BEFORE.clone()
}

/// What the killed refresh is of.
fn killed() -> Vec<ProfileRow> {
    KILLED.clone()
}

/// What the next refresh is of: neither as before nor as the killed one has it.
fn other() -> Vec<ProfileRow> {
    OTHER.clone()
}

/// All that is stored but the state and the entries, which number refreshes; of entries it is enough that they are there, since a
/// refresh to nothing shows what they know.
fn content(memory: &Memory) -> BTreeMap<Key, Bytes> {
    let items = memory.items().into_iter().filter(|(key, _)| key.partition != "p/acme");
    items
        .map(|(Key { partition, sort }, value)| {
            let mut parts: Vec<_> = partition.split('/').collect();
            parts[3] = "generation";
            let value = if parts[4].starts_with('a') { Bytes::new() } else { value };
            (Key::new(parts.join("/"), sort), value)
        })
        .collect()
}

async fn fresh(rows: Vec<ProfileRow>) -> BTreeMap<Key, Bytes> {
    let memory = Memory::default();
    try_refresh(&memory, &shape("1"), rows, at(0)).await.unwrap();
    content(&memory)
}

async fn read_all(store: &Arc<dyn Store>, rows: &[ProfileRow]) -> Vec<Option<String>> {
    let mut read = Vec::new();
    for row in rows {
        read.push(attributes(store, row.id.as_deref().unwrap()).await);
    }
    read
}

/// Every profile is as it was, or, where the refresh is of the generation that serves, as it is to be.
async fn assert_whole(store: &Arc<dyn Store>, is_same_shape: bool) {
    let of = |rows: &[ProfileRow], id: &str| {
        rows.iter().find(|row| row.id.as_deref() == Some(id)).map(|row| row.attributes.clone())
    };
    let all: Vec<_> = before().into_iter().chain(killed()).collect();
    for (row, read) in all.iter().zip(read_all(store, &all).await) {
        let id = row.id.as_deref().unwrap();
        let (was, is) = (of(&before(), id), of(&killed(), id));
        assert!(read == was || (is_same_shape && read == is), "{id} is neither as it was nor as it is to be");
    }
}

#[rstest]
#[case::refresh_of_the_same(shape("1"), shape("1"), killed())]
#[case::refresh_of_what_changed_meanwhile(shape("1"), shape("1"), other())]
#[case::refresh_back_to_what_was(shape("1"), shape("1"), before())]
#[case::build_gone_on_with(shape("2"), shape("2"), killed())]
#[case::build_gone_on_with_after_a_change(shape("2"), shape("2"), other())]
#[case::build_given_up(shape("2"), shape("1"), other())]
#[case::build_of_yet_another(shape("2"), shape("3"), other())]
#[tokio::test]
async fn a_refresh_killed_at_any_write_is_mended_by_the_next(
    #[case] killed_shape: Shape,
    #[case] next_shape: Shape,
    #[case] next_rows: Vec<ProfileRow>,
) {
    let seed = seed();
    let expected = fresh(next_rows.clone()).await;
    let is_same_shape = killed_shape == shape("1");
    let mut writes = 0;
    loop {
        let memory = Arc::new(Memory::with_seed(seed.wrapping_add(writes)));
        let store: Arc<dyn Store> = memory.clone();
        try_refresh(&*store, &shape("1"), before(), at(0)).await.unwrap();
        memory.die_after(writes);
        let outcome = try_refresh(&*store, &killed_shape, killed(), at(1)).await;
        memory.revive();
        if outcome.is_ok() {
            assert!(writes > 25, "only {writes} writes");
            return;
        }
        assert_whole(&store, is_same_shape).await;

        // Killed once more at the same place, then not.
        memory.die_after(writes);
        drop(try_refresh(&*store, &next_shape, next_rows.clone(), at(2)).await);
        memory.revive();
        try_refresh(&*store, &next_shape, next_rows.clone(), at(3)).await.unwrap();
        assert_eq!(remove_retired(&*store, &index(), at(100)).await.unwrap(), None);
        let found = content(&memory);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "killed after {writes} writes"
        );
        assert!(found == expected, "a value differs, killed after {writes} writes");

        try_refresh(&*store, &next_shape, vec![], at(200)).await.unwrap();
        assert_eq!(content(&memory).keys().collect::<Vec<_>>(), [] as [&Key; 0], "killed after {writes} writes");
        writes += 1;
    }
}

/// More than two chunks of 20,000 changes.
const MANY: u32 = 42_000;

/// Many profiles, without filters.
fn many(version: impl Fn(u32) -> u32) -> Vec<ProfileRow> {
    (0..MANY).map(|number| row(&format!("{number:06}"), &json!({"version": version(number)}))).collect()
}

#[tokio::test]
async fn what_was_whole_when_a_long_refresh_was_killed_is_not_done_again() {
    let no_filters = Shape::of("retail", "1", "id", [""; 0]).unwrap();
    let seed = seed();
    for (number, chunks) in [(1, 0), (2, 1), (3, 2)] {
        let memory = Memory::with_seed(seed.wrapping_add(number));
        try_refresh(&memory, &no_filters, many(|_| 1), at(0)).await.unwrap();
        // The state when the refresh begins; an entry, a head and then the state for each chunk; and half of the next one.
        memory.die_after(1 + chunks * 40_001 + 3_000);
        try_refresh(&memory, &no_filters, many(|_| 2), at(1)).await.unwrap_err();
        memory.revive();
        // Every third profile goes back to what it was.
        let version = |number: u32| if number.is_multiple_of(3) { 1 } else { 2 };
        let report = try_refresh(&memory, &no_filters, many(version), at(2)).await.unwrap();
        let whole = (0..20_000 * u32::try_from(chunks).unwrap()).filter(|number| !number.is_multiple_of(3)).count();
        assert!(report.unchanged >= whole as u64, "{} are unchanged, not {whole}", report.unchanged);
        let expected = Memory::default();
        try_refresh(&expected, &no_filters, many(version), at(0)).await.unwrap();
        assert!(content(&memory) == content(&expected), "killed in chunk {chunks}");
    }
}

#[rstest]
#[tokio::test]
async fn a_removal_killed_at_any_write_is_finished_by_the_next() {
    for writes in 0.. {
        let memory = Memory::with_seed(seed().wrapping_add(writes));
        try_refresh(&memory, &shape("1"), before(), at(0)).await.unwrap();
        try_refresh(&memory, &shape("2"), killed(), at(1)).await.unwrap();
        memory.die_after(writes);
        let outcome = remove_retired(&memory, &index(), at(100)).await;
        memory.revive();
        remove_retired(&memory, &index(), at(100)).await.unwrap();
        assert!(content(&memory) == fresh(killed()).await, "killed after {writes} writes");
        if outcome.is_ok() {
            return;
        }
    }
}
