//! Random refreshes, kills and walks, against a map.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_profile::{ProfileIndexes, ProfileRow, remove_retired};
use freshet_store::Store;
use freshet_testkit::seed;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::memory::Memory;
use crate::support::{at, filters, index, reader, row, shape, try_refresh, walk};

type Profiles = BTreeMap<String, String>;

/// City, tier, and a number that no filter is of.
type Content = (u8, u8, u8);

#[derive(Debug, Clone)]
struct Step {
    /// The definition.
    query: &'static str,
    /// What its rows are.
    rows: BTreeMap<u8, Content>,
    /// The write at which it is killed.
    dies_after: Option<u64>,
    /// What is read meanwhile: city, tier, and profiles a page.
    walk: (Option<u8>, Option<u8>, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let content = || (0..3_u8, 0..3_u8, 0..2_u8);
    let rows = prop::collection::btree_map(0..24_u8, content(), 0..20);
    let read = (prop::option::of(0..3_u8), prop::option::of(0..3_u8), 1..6_usize);
    let query = prop_oneof![6 => Just("1"), 1 => select(vec!["2", "3"])];
    (query, rows, prop::option::weighted(0.4, 0..150_u64), read).prop_map(|(query, rows, dies_after, walk)| Step {
        query,
        rows,
        dies_after,
        walk,
    })
}

fn profiles(rows: &BTreeMap<u8, Content>) -> Profiles {
    rows.iter()
        .map(|(id, (city, tier, other))| (id_of(*id), json!({"city": city, "tier": tier, "n": other}).to_string()))
        .collect()
}

/// Ids of several lengths, not in the order of the numbers.
fn id_of(number: u8) -> String {
    format!("{}{}", "x".repeat(usize::from(number % 3)), number)
}

fn has(attributes: &str, field: &str, value: Option<u8>) -> bool {
    let attributes: serde_json::Value = serde_json::from_str(attributes).unwrap();
    value.is_none_or(|value| attributes[field] == json!(value))
}

/// Walks while profiles are refreshed from `before` to `after`, and looks at what it saw.
async fn walk_meanwhile(
    indexes: &ProfileIndexes,
    (city, tier, limit): (Option<u8>, Option<u8>, usize),
    before: &Profiles,
    after: &Profiles,
) {
    let wanted = |attributes: &String| has(attributes, "city", city) && has(attributes, "tier", tier);
    let mut pairs = Vec::new();
    pairs.extend(city.map(|city| ("city".to_owned(), city.to_string())));
    pairs.extend(tier.map(|tier| ("tier".to_owned(), tier.to_string())));
    let seen: Vec<_> = walk(indexes, &pairs, limit).await.into_iter().flat_map(|page| page.profiles).collect();
    assert!(seen.is_sorted_by(|left, right| left.id < right.id), "out of order, or twice");
    for profile in &seen {
        let attributes = profile.attributes.get().to_owned();
        assert!(wanted(&attributes), "{profile:?} has not the values");
        let possible = [before.get(&profile.id), after.get(&profile.id)];
        assert!(possible.contains(&Some(&attributes)), "{profile:?} never was that");
    }
    let seen: BTreeSet<_> = seen.into_iter().map(|profile| profile.id).collect();
    for (id, attributes) in before {
        let stays = wanted(attributes) && after.get(id).is_some_and(wanted);
        assert!(!stays || seen.contains(id), "{id} stayed and was not seen");
    }
}

async fn check(store: &Arc<dyn Store>, expected: &Profiles) {
    let indexes = reader(store);
    let all: Profiles = walk(&indexes, &[], 7)
        .await
        .into_iter()
        .flat_map(|page| page.profiles)
        .map(|profile| (profile.id, profile.attributes.get().to_owned()))
        .collect();
    assert_eq!(&all, expected);
    for city in 0..3_u8 {
        for tier in 0..3_u8 {
            let pairs = filters(&[("city", &city.to_string()), ("tier", &tier.to_string())]);
            let count = indexes.total(&index(), &pairs).await.unwrap().value.count;
            let of = |attributes: &&String| has(attributes, "city", Some(city)) && has(attributes, "tier", Some(tier));
            assert_eq!(count, expected.values().filter(of).count() as u64);
        }
    }
}

async fn run(seed: u64, steps: Vec<Step>) {
    let memory = Arc::new(Memory::with_seed(seed));
    let store: Arc<dyn Store> = memory.clone();
    // What a profile may be: what serves for certain, and what a killed refresh may have made of it.
    let mut served = Profiles::new();
    let mut half_done = false;
    try_refresh(&*store, &shape("1"), vec![], at(0)).await.unwrap();
    for (number, step) in (1..).zip(steps) {
        let now = at(number * 100);
        let next = profiles(&step.rows);
        let rows: Vec<ProfileRow> =
            next.iter().map(|(id, attributes)| row(id, &serde_json::from_str(attributes).unwrap())).collect();
        let indexes = reader(&store);
        if let Some(writes) = step.dies_after {
            memory.die_after(writes);
        }
        let shape = shape(step.query);
        let refreshing = try_refresh(&*store, &shape, rows, now);
        let outcome = if half_done || step.dies_after.is_some() {
            refreshing.await
        } else {
            let walking = walk_meanwhile(&indexes, step.walk, &served, &next);
            futures::future::join(refreshing, walking).await.0
        };
        memory.revive();
        match outcome {
            Ok(report) => {
                assert_eq!(report.profiles, next.len() as u64);
                served = next;
                half_done = false;
                check(&store, &served).await;
            }
            Err(_) => half_done = true,
        }
        remove_retired(&*store, &index(), now).await.unwrap();
    }
    // Nothing is left that no profile needs.
    try_refresh(&*store, &shape("1"), vec![], at(1_000_000)).await.unwrap();
    assert_eq!(remove_retired(&*store, &index(), at(2_000_000)).await.unwrap(), None);
    let left: Vec<_> = memory.items().into_keys().filter(|key| key.partition != "p/acme").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn random_refreshes_kills_and_walks_do_what_a_map_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seed = seed();
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes));
    runner
        .run(&prop::collection::vec(step(), 1..8), |steps| {
            runtime.block_on(run(seed, steps));
            Ok(())
        })
        .unwrap();
}
