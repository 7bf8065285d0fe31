//! Another definition: built beside the one that serves, and served at once.

use std::sync::Arc;

use freshet_profile::{RETIREMENT, Shape, remove_index, remove_retired};
use freshet_store::Store;
use freshet_testkit::seed;
use serde_json::json;

use crate::memory::Memory;
use crate::support::{at, attributes, filters, ids, index, reader, row, shape, try_refresh};

fn oslo(id: &str, tier: u32) -> freshet_profile::ProfileRow {
    row(id, &json!({"city": "Oslo", "tier": tier}))
}

/// Partitions of one generation.
fn items_of(memory: &Memory, generation: u64) -> usize {
    let prefix = format!("p/acme/ix-buyers/{generation}/");
    memory.items().keys().filter(|key| key.partition.starts_with(&prefix)).count()
}

#[tokio::test]
async fn a_changed_definition_takes_the_place_of_the_old_one_which_goes_when_no_one_can_be_on_it() {
    let memory = Arc::new(Memory::with_seed(seed()));
    let store: Arc<dyn Store> = memory.clone();
    let first = try_refresh(&*store, &shape("1"), ["a", "b", "c", "d"].map(|id| oslo(id, 1)).to_vec(), at(0)).await;
    assert_eq!(first.unwrap().generation, 1);
    let indexes = reader(&store);
    let page = indexes.page(&index(), &filters(&[("city", "Oslo")]), None, 2).await.unwrap();
    assert_eq!((page.generation, page.value.next.as_deref()), (1, Some("b")));

    let other = Shape::of("retail", "2", "id", ["city", "name"]).unwrap();
    let rows = ["b", "c", "e"].map(|id| row(id, &json!({"city": "Oslo", "name": id}))).to_vec();
    let second = try_refresh(&*store, &other, rows, at(100)).await.unwrap();
    assert_eq!((second.generation, second.written, second.unchanged), (2, 3, 0));

    // A reader that remembers the old generation still reads all of it.
    assert_eq!(ids(&indexes, &[("tier", "1")], 10).await, ["a", "b", "c", "d"]);
    let new_indexes = reader(&store);
    assert_eq!(ids(&new_indexes, &[("name", "c")], 10).await, ["c"]);
    assert!(new_indexes.page(&index(), &filters(&[("tier", "1")]), None, 2).await.is_err());
    // Who began the walk on the old one goes on on the new one.
    let page = new_indexes.page(&index(), &filters(&[("city", "Oslo")]), Some("b"), 5).await.unwrap();
    assert_eq!((page.generation, page.as_of), (2, at(100)));
    assert_eq!(page.value.profiles.iter().map(|profile| profile.id.as_str()).collect::<Vec<_>>(), ["c", "e"]);

    let due = remove_retired(&*store, &index(), at(101)).await.unwrap();
    assert_eq!(due, Some(at(100) + RETIREMENT));
    assert!(items_of(&memory, 1) > 0);
    assert_eq!(remove_retired(&*store, &index(), due.unwrap()).await.unwrap(), None);
    assert_eq!(items_of(&memory, 1), 0);
    assert_eq!(ids(&reader(&store), &[], 10).await, ["b", "c", "e"]);
}

#[tokio::test]
async fn a_failed_build_leaves_what_serves_and_is_gone_on_with() {
    let memory = Arc::new(Memory::with_seed(seed()));
    let store: Arc<dyn Store> = memory.clone();
    let rows = |tier| (10..30).map(|number| oslo(&number.to_string(), tier)).collect::<Vec<_>>();
    try_refresh(&*store, &shape("1"), rows(1), at(0)).await.unwrap();
    memory.die_after(40);
    try_refresh(&*store, &shape("2"), rows(2), at(10)).await.unwrap_err();
    memory.revive();
    let indexes = reader(&store);
    assert_eq!(indexes.describe(&index()).await.unwrap().unwrap().as_of, at(0));
    assert_eq!(ids(&indexes, &[("tier", "1")], 50).await.len(), 20);

    // The definition is put back: what was begun is of no use.
    let report = try_refresh(&*store, &shape("1"), rows(1), at(20)).await.unwrap();
    assert_eq!((report.generation, report.unchanged), (1, 20));
    assert!(items_of(&memory, 2) > 0);
    assert_eq!(remove_retired(&*store, &index(), at(20)).await.unwrap(), None);
    assert_eq!(items_of(&memory, 2), 0);

    memory.die_after(40);
    try_refresh(&*store, &shape("2"), rows(2), at(30)).await.unwrap_err();
    memory.revive();
    let report = try_refresh(&*store, &shape("2"), rows(2), at(40)).await.unwrap();
    assert_eq!((report.generation, report.profiles), (3, 20));
    assert_eq!(remove_retired(&*store, &index(), at(200)).await.unwrap(), None);
    assert_eq!(items_of(&memory, 1), 0);
    assert_eq!(ids(&reader(&store), &[("tier", "2")], 50).await.len(), 20);
}

#[tokio::test]
async fn a_reader_finds_what_only_the_new_generation_has_before_it_says_unknown() {
    let memory = Arc::new(Memory::with_seed(seed()));
    let store: Arc<dyn Store> = memory.clone();
    try_refresh(&*store, &shape("1"), vec![oslo("a", 1)], at(0)).await.unwrap();
    let indexes = reader(&store);
    assert!(indexes.get(&index(), "a").await.unwrap().value.is_some());
    try_refresh(&*store, &shape("2"), vec![oslo("a", 1), oslo("b", 1)], at(10)).await.unwrap();
    let answer = indexes.get(&index(), "b").await.unwrap();
    assert!(answer.value.is_some());
    assert_eq!((answer.generation, answer.as_of), (2, at(10)));

    try_refresh(&*store, &shape("3"), vec![oslo("c", 1)], at(20)).await.unwrap();
    let answer = indexes.batch_get(&index(), &["c".to_owned(), "a".to_owned()]).await.unwrap();
    assert_eq!(answer.generation, 3);
    assert_eq!(answer.value.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn nothing_is_left_of_a_removed_index_whatever_was_half_done() {
    let memory = Arc::new(Memory::with_seed(seed()));
    let store: Arc<dyn Store> = memory.clone();
    let rows = |tier| (10..30).map(|number| oslo(&number.to_string(), tier)).collect::<Vec<_>>();
    try_refresh(&*store, &shape("1"), rows(1), at(0)).await.unwrap();
    try_refresh(&*store, &shape("2"), rows(2), at(10)).await.unwrap();
    for (shape_name, writes) in [("2", 50), ("3", 30)] {
        memory.die_after(writes);
        try_refresh(&*store, &shape(shape_name), rows(3), at(20)).await.unwrap_err();
        memory.revive();
    }
    memory.die_after(60);
    remove_index(&*store, &index(), at(30)).await.unwrap_err();
    memory.revive();
    assert!(reader(&store).describe(&index()).await.unwrap().is_none());
    remove_index(&*store, &index(), at(30)).await.unwrap();
    assert_eq!(memory.items().keys().collect::<Vec<_>>(), [] as [&freshet_store::Key; 0]);
    assert!(attributes_of_none(&store).await);
}

async fn attributes_of_none(store: &Arc<dyn Store>) -> bool {
    try_refresh(&**store, &shape("1"), vec![], at(0)).await.unwrap();
    attributes(store, "10").await.is_none()
}
