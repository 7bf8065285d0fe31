//! Refreshes of the profiles that are known to have changed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use freshet_profile::{
    Basis, Changed, Origin, ProfileRow, RefreshError, RefreshReport, Shape, Source, refresh, refresh_changed,
    remove_retired,
};
use freshet_store::Store;
use freshet_testkit::seed;
use futures::stream;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::memory::Memory;
use crate::support::{at, attributes, ids, index, reader, row, shape, try_refresh};

fn source(version: u64) -> Source {
    Source::new(version, &format!("commit {version}"), ["as ever"])
}

fn origin(version: u64, now: Timestamp) -> Origin {
    Origin { as_of: now, source: Some(source(version)) }
}

async fn whole(
    store: &dyn Store,
    rows: Vec<ProfileRow>,
    version: u64,
    now: Timestamp,
) -> Result<RefreshReport, RefreshError<Infallible>> {
    let rows = stream::iter(rows.into_iter().map(Ok));
    refresh(store, &index(), &shape("1"), rows, origin(version, now), &move || now).await
}

async fn changed(
    store: &dyn Store,
    shape: &Shape,
    changed: Changed,
    rows: Vec<ProfileRow>,
    version: u64,
    now: Timestamp,
) -> Result<RefreshReport, RefreshError<Infallible>> {
    let rows = stream::iter(rows.into_iter().map(Ok));
    refresh_changed(store, &index(), shape, changed, rows, origin(version, now), &move || now).await
}

async fn basis(store: &dyn Store) -> Option<Basis> {
    Basis::load(store, &index()).await.unwrap()
}

fn people(all: &[(&str, &str)]) -> Vec<ProfileRow> {
    all.iter().map(|(id, city)| row(id, &json!({"city": city, "tier": 1}))).collect()
}

fn of(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn what_has_changed_is_written_and_the_rest_stays() {
    let memory = Arc::new(Memory::with_seed(seed()));
    let store: Arc<dyn Store> = memory.clone();
    whole(&*store, people(&[("a", "Oslo"), ("b", "Oslo"), ("c", "Oslo"), ("d", "Oslo")]), 5, at(1)).await.unwrap();
    let basis = basis(&*store).await.unwrap();
    assert_eq!((basis.source(), basis.is_of(&shape("1")), basis.is_of(&shape("2"))), (&source(5), true, false));
    // In any order, twice, and what never was there or can't be an id.
    let long = "x".repeat(600);
    let ids_changed = of(&["new", "c", "b", "a", "c", "never", "", &long]);
    let rows = people(&[("a", "Bergen"), ("c", "Oslo"), ("new", "Oslo")]);
    let report = changed(&*store, &shape("1"), Changed { basis, ids: ids_changed }, rows, 8, at(2)).await.unwrap();
    assert_eq!((report.rows, report.profiles, report.written, report.unchanged, report.removed), (3, 4, 2, 1, 1));
    assert_eq!(ids(&reader(&store), &[], 9).await, ["a", "c", "d", "new"]);
    assert_eq!(ids(&reader(&store), &[("city", "Oslo")], 9).await, ["c", "d", "new"]);
    assert_eq!(ids(&reader(&store), &[("city", "Bergen")], 9).await, ["a"]);
    let serving = reader(&store).describe(&index()).await.unwrap().unwrap();
    assert_eq!((serving.as_of, serving.refreshed_at, serving.profiles), (at(2), at(2), 4));
    let next = Basis::load(&*store, &index()).await.unwrap().unwrap();
    assert_eq!((next.source(), next.whole_at()), (&source(8), at(1)));
}

#[tokio::test]
async fn nothing_that_changed_moves_the_time_alone() {
    let store: Arc<dyn Store> = Arc::new(Memory::with_seed(seed()));
    whole(&*store, people(&[("a", "Oslo")]), 1, at(1)).await.unwrap();
    let basis = basis(&*store).await.unwrap();
    let report = changed(&*store, &shape("1"), Changed { basis, ids: vec![] }, vec![], 2, at(2)).await.unwrap();
    assert_eq!((report.profiles, report.written, report.unchanged, report.removed), (1, 0, 0, 0));
    let serving = reader(&store).describe(&index()).await.unwrap().unwrap();
    assert_eq!((serving.as_of, serving.profiles), (at(2), 1));
}

#[tokio::test]
async fn there_is_no_basis_where_something_is_not_known() {
    let memory = Memory::with_seed(seed());
    assert_eq!(basis(&memory).await, None, "never built");
    try_refresh(&memory, &shape("1"), people(&[("a", "Oslo")]), at(0)).await.unwrap();
    assert_eq!(basis(&memory).await, None, "of no version");
    whole(&memory, people(&[("a", "Oslo"), ("a", "Bergen")]), 1, at(1)).await.unwrap();
    assert_eq!(basis(&memory).await, None, "an id came twice");
    whole(&memory, people(&[("a", "Oslo")]), 1, at(1)).await.unwrap();
    let held = basis(&memory).await.unwrap();
    memory.die_after(1);
    whole(&memory, people(&[("a", "Bergen")]), 2, at(2)).await.unwrap_err();
    memory.revive();
    assert_eq!(basis(&memory).await, None, "a refresh was killed");
    whole(&memory, people(&[("a", "Bergen")]), 2, at(2)).await.unwrap();

    // One that was held while others came and went is none any more, and neither is one of another definition.
    let stale = Changed { basis: held, ids: of(&["a"]) };
    let error = changed(&memory, &shape("1"), stale, vec![], 3, at(3)).await.unwrap_err();
    assert!(matches!(error, RefreshError::Superseded), "{error:?}");
    let current = Changed { basis: basis(&memory).await.unwrap(), ids: of(&["a"]) };
    let error = changed(&memory, &shape("2"), current, vec![], 3, at(3)).await.unwrap_err();
    assert!(matches!(error, RefreshError::Superseded), "{error:?}");
    assert_eq!(basis(&memory).await.unwrap().source(), &source(2), "neither has begun");
}

#[tokio::test]
async fn a_row_that_nobody_asked_for_ends_it() {
    let store: Arc<dyn Store> = Arc::new(Memory::with_seed(seed()));
    whole(&*store, people(&[("a", "Oslo"), ("b", "Oslo")]), 1, at(1)).await.unwrap();
    let asked = Changed { basis: basis(&*store).await.unwrap(), ids: of(&["a"]) };
    let error = changed(&*store, &shape("1"), asked, people(&[("a", "Bergen"), ("b", "Bergen")]), 2, at(2)).await;
    assert!(matches!(error.unwrap_err(), RefreshError::Unasked { id } if id == "b"));
    assert!(attributes(&store, "b").await.unwrap().contains("Oslo"));
    assert_eq!(basis(&*store).await, None, "the next one is of all rows");
}

/// City, tier.
type Content = (u8, u8);

#[derive(Debug, Clone)]
struct Step {
    /// What becomes of some ids; none: they leave.
    changes: BTreeMap<u8, Option<Content>>,
    /// Ids that are said to have changed and have not.
    others: Vec<u8>,
    /// The write at which it is killed.
    dies_after: Option<u64>,
}

fn step() -> impl Strategy<Value = Step> {
    let content = prop::option::weighted(0.7, (0..3_u8, 0..3_u8));
    let changes = prop::collection::btree_map(0..24_u8, content, 0..8);
    let others = prop::collection::vec(0..24_u8, 0..4);
    let dies_after = prop::option::weighted(0.3, 0..40_u64);
    (changes, others, dies_after).prop_map(|(changes, others, dies_after)| Step { changes, others, dies_after })
}

fn id_of(number: u8) -> String {
    format!("{}{number}", "x".repeat(usize::from(number % 3)))
}

fn rows_of<'a>(all: impl IntoIterator<Item = (&'a u8, &'a Content)>) -> Vec<ProfileRow> {
    let mut rows: Vec<ProfileRow> =
        all.into_iter().map(|(id, (city, tier))| row(&id_of(*id), &json!({"city": city, "tier": tier}))).collect();
    rows.sort_by(|left, right| left.id.cmp(&right.id));
    rows
}

/// All that is stored but the state and the entries' own words, which number refreshes.
fn content(memory: &Memory) -> BTreeMap<freshet_store::Key, bytes::Bytes> {
    let items = memory.items().into_iter().filter(|(key, _)| key.partition != "p/acme");
    items
        .map(|(key, value)| {
            let is_entry = key.partition.split('/').nth(4).is_some_and(|part| part.starts_with('a'));
            (key, if is_entry { bytes::Bytes::new() } else { value })
        })
        .collect()
}

async fn run(seed: u64, steps: Vec<Step>) {
    let memory = Arc::new(Memory::with_seed(seed));
    let store: Arc<dyn Store> = memory.clone();
    let mut held = BTreeMap::<u8, Content>::new();
    // What a table's log would tell: what has changed since the last refresh that ended.
    let mut told = Vec::new();
    whole(&*store, vec![], 0, at(0)).await.unwrap();
    for (number, step) in (1..).zip(steps) {
        for (id, content) in &step.changes {
            match content {
                Some(content) => held.insert(*id, *content),
                None => held.remove(id),
            };
        }
        told.extend(step.changes.keys().copied().chain(step.others));
        let now = at(i64::try_from(number).unwrap());
        let basis = basis(&*store).await;
        if let Some(writes) = step.dies_after {
            memory.die_after(writes);
        }
        let report = match basis {
            Some(basis) => {
                let rows = rows_of(held.iter().filter(|(id, _)| told.contains(id)));
                let ids = told.iter().map(|id| id_of(*id)).collect();
                changed(&*store, &shape("1"), Changed { basis, ids }, rows, number, now).await
            }
            None => whole(&*store, rows_of(&held), number, now).await,
        };
        memory.revive();
        if let Ok(report) = report {
            told.clear();
            assert_eq!(report.profiles, held.len() as u64);
            let expected = Memory::default();
            whole(&expected, rows_of(&held), 0, at(0)).await.unwrap();
            assert_eq!(content(&memory), content(&expected));
        }
    }
    try_refresh(&*store, &shape("1"), vec![], at(1_000_000)).await.unwrap();
    assert_eq!(remove_retired(&*store, &index(), at(2_000_000)).await.unwrap(), None);
    assert_eq!(content(&memory), BTreeMap::new(), "something is left that no profile needs");
}

#[test]
fn random_changes_and_kills_leave_what_a_refresh_of_all_leaves() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seed = seed();
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes));
    runner
        .run(&prop::collection::vec(step(), 1..10), |steps| {
            runtime.block_on(run(seed, steps));
            Ok(())
        })
        .unwrap();
}
