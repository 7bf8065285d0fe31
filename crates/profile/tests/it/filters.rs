//! Filters: what they find, and what that may cost.

use std::sync::Arc;

use freshet_profile::{ProfileIndexes, ProfileRow};
use freshet_store::{RedbStore, Store};
use freshet_testkit::seed;
use serde_json::json;

use crate::memory::Memory;
use crate::support::{filters, ids, index, reader, refresh_with, row};

/// Profiles with `city` and `tier` as two functions of their number say.
fn rows(count: u32, city: impl Fn(u32) -> String, tier: impl Fn(u32) -> u32) -> Vec<ProfileRow> {
    let number = |number: u32| row(&format!("{number:06}"), &json!({"city": city(number), "tier": tier(number)}));
    (0..count).map(number).collect()
}

#[tokio::test]
async fn filters_find_what_a_look_at_every_profile_finds() {
    let store: Arc<dyn Store> = Arc::new(Memory::with_seed(seed()));
    let city = |number: u32| ((number / 13) % 5).to_string();
    let tier = |number: u32| number % 6;
    refresh_with(&*store, rows(400, city, tier)).await;
    let indexes = reader(&store);
    for wanted_city in 0..6_u32 {
        for wanted_tier in 0..7_u32 {
            let (city_text, tier_text) = (wanted_city.to_string(), wanted_tier.to_string());
            let expected: Vec<_> = (0..400)
                .filter(|number| city(*number) == city_text && tier(*number) == wanted_tier)
                .map(|number| format!("{number:06}"))
                .collect();
            for limit in [1, 7, 1_000] {
                assert_eq!(ids(&indexes, &[("city", &city_text), ("tier", &tier_text)], limit).await, expected);
            }
        }
    }
}

/// An index in a file of 120,000 profiles, half of which are in Oslo, the other half in tier 1.
async fn halves() -> (tempfile::TempDir, ProfileIndexes) {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap());
    let city = |number: u32| if number.is_multiple_of(2) { "Oslo" } else { "Bergen" }.to_owned();
    // One has both, at the very end.
    let tier = |number: u32| u32::from(!number.is_multiple_of(2) || number == 119_998);
    refresh_with(&*store, rows(120_000, city, tier)).await;
    (directory, reader(&store))
}

#[tokio::test]
async fn values_that_hardly_ever_meet_are_answered_by_short_pages_that_go_on() {
    let (_directory, indexes) = halves().await;
    let both = filters(&[("city", "Oslo"), ("tier", "1")]);
    let first = indexes.page(&index(), &both, None, 10).await.unwrap().value;
    assert!(first.profiles.is_empty());
    assert!(first.next.is_some(), "a page that gave up is not the last");
    assert_eq!(ids(&indexes, &[("city", "Oslo"), ("tier", "1")], 10).await, ["119998"]);
    let total = indexes.total(&index(), &both).await.unwrap().value;
    assert!(!total.is_exact);
    let oslo = indexes.total(&index(), &filters(&[("city", "Oslo")])).await.unwrap().value;
    assert_eq!((oslo.count, oslo.is_exact), (60_000, true));
}
