//! Refreshes that meet others, and stores that fail for a while.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use freshet_profile::{ProfileRow, RefreshError, refresh};
use freshet_store::{Condition, Key, Store};
use freshet_testkit::seed;
use futures::{StreamExt, stream};
use serde_json::json;

use crate::memory::Memory;
use crate::support::{at, attributes, ids, index, reader, refresh_with, row, shape, try_refresh};

fn rows(city: &str) -> Vec<ProfileRow> {
    ["a", "b", "c"].map(|id| row(id, &json!({"city": city, "tier": 1}))).to_vec()
}

#[tokio::test]
async fn of_two_refreshes_at_once_the_first_stops() {
    let memory = Arc::new(Memory::with_seed(seed()));
    let store: Arc<dyn Store> = memory.clone();
    refresh_with(&*store, rows("Oslo")).await;
    // The first waits for its first row until the second has ended.
    let second = async {
        refresh_with(&*store, rows("Bergen")).await;
        Ok::<_, Infallible>(rows("Tromsø").remove(0))
    };
    let rest = rows("Tromsø").into_iter().skip(1).map(Ok);
    let first_rows = stream::once(second).chain(stream::iter(rest));
    let first = refresh(&*store, &index(), &shape("1"), first_rows, at(5), &|| at(5)).await;
    let error = first.unwrap_err();
    assert!(matches!(error, RefreshError::Superseded), "{error:?}");
    let serving = reader(&store).describe(&index()).await.unwrap().unwrap();
    assert_eq!(serving.as_of, at(0));

    let report = refresh_with(&*store, rows("Bergen")).await;
    assert_eq!(report.profiles, 3);
}

#[tokio::test]
async fn rows_that_fail_leave_whole_profiles_and_the_old_time() {
    let store: Arc<dyn Store> = Arc::new(Memory::with_seed(seed()));
    refresh_with(&*store, rows("Oslo")).await;
    let failing = stream::iter(rows("Bergen").into_iter().take(2).map(Ok)).chain(stream::iter([Err("cut off")]));
    let error = refresh(&*store, &index(), &shape("1"), failing, at(5), &|| at(5)).await.unwrap_err();
    assert!(matches!(error, RefreshError::Rows("cut off")));
    assert!(error.is_temporary(|source| *source == "cut off"));
    assert_eq!(reader(&store).describe(&index()).await.unwrap().unwrap().as_of, at(0));
    refresh_with(&*store, rows("Bergen")).await;
    assert_eq!(ids(&reader(&store), &[("city", "Bergen")], 5).await, ["a", "b", "c"]);
    assert_eq!(ids(&reader(&store), &[("city", "Oslo")], 5).await, [""; 0]);
}

#[tokio::test]
async fn a_store_that_is_slow_for_a_while_slows_the_refresh_down() {
    let memory = Arc::new(Memory::with_seed(seed()));
    let store: Arc<dyn Store> = memory.clone();
    let late = async {
        memory.hiccup(3);
        Ok::<_, Infallible>(rows("Oslo").remove(0))
    };
    refresh(&*store, &index(), &shape("1"), stream::once(late), at(0), &|| at(0)).await.unwrap();
    assert!(attributes(&store, "a").await.is_some());
}

/// Errors go to logs.
#[tokio::test]
async fn what_can_not_be_read_is_told_without_the_id_which_names_someone() {
    let store: Arc<dyn Store> = Arc::new(Memory::with_seed(seed()));
    let someone = "someone@example.com";
    refresh_with(&*store, vec![row(someone, &json!({"city": "Oslo"}))]).await;
    let head = Key::new(format!("p/acme/ix-buyers/1/i/{someone}"), "head");
    assert!(store.get(&head).await.unwrap().is_some());
    store.put(&head, Bytes::from_static(b"something else"), Condition::Any).await.unwrap();
    let indexes = reader(&store);
    for error in [
        indexes.get(&index(), someone).await.unwrap_err(),
        indexes.batch_get(&index(), &[someone.to_owned()]).await.unwrap_err(),
        indexes.page(&index(), &[], None, 1).await.unwrap_err(),
    ] {
        let text = error.to_string();
        let hash = "SHA-256 72497f475e4f76d0b28f57c73a084ece…";
        assert!(text.contains(hash) && !format!("{error:?}").contains("someone"), "{text}");
    }
}

#[tokio::test]
async fn tenants_and_indexes_with_equal_ids_do_not_meet() {
    let store: Arc<dyn Store> = Arc::new(Memory::with_seed(seed()));
    refresh_with(&*store, rows("Oslo")).await;
    let mut other = index();
    other.tenant = freshet_model::TenantId::parse("other").unwrap();
    let none = stream::iter(Vec::<Result<ProfileRow, Infallible>>::new());
    refresh(&*store, &other, &shape("1"), none, at(0), &|| at(0)).await.unwrap();
    assert!(reader(&store).get(&other, "a").await.unwrap().value.is_none());
    assert_eq!(ids(&reader(&store), &[], 5).await, ["a", "b", "c"]);
    try_refresh(&*store, &shape("1"), vec![], at(0)).await.unwrap();
}
