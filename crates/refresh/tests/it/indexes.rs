//! Refreshes of profile indexes.

use freshet_profile::ProfileIndexes;
use freshet_runs::{Counts, RunKind, RunState};
use rstest::rstest;

use crate::scene::{Scene, noon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_are_the_rows_with_their_types() {
    let scene = Scene::new().await;
    scene.write(0..20, 0).await;
    let query = "SELECT email, sum(revenue) AS Spent, max(day) AS last_day, bool_or(paid) AS paid, count(*) AS orders, max(order_id) AS newest \
                 FROM orders GROUP BY email";
    let index = scene.index(query, "EMAIL", &["Paid", "orders"]).await;
    let run = scene.process().run(&scene, RunKind::Indexes, noon()).await.unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!((run.steps[0].counts["profiles"], run.steps[0].counts["written"]), (10, 10));
    let profiles = scene.profiles(&index).await.unwrap();
    assert_eq!(profiles.len(), 10);
    let (id, attributes) = &profiles[3];
    assert_eq!(id, "buyer3@example.com");
    let expected = "{\"email\":\"buyer3@example.com\",\"Spent\":24.00,\"last_day\":\"2024-10-07\",\"paid\":false,\"orders\":2,\"newest\":13}";
    assert!(attributes.eq_ignore_ascii_case(expected), "{attributes}");
    let indexes = ProfileIndexes::new(scene.store.clone());
    let filters = [("paid".to_owned(), "true".to_owned()), ("orders".to_owned(), "2".to_owned())];
    let page = indexes.page(&index, &filters, None, 100).await.unwrap();
    assert_eq!((page.value.profiles.len(), page.as_of), (5, noon()));

    // Only what has changed is written; what is gone is removed.
    scene.write(3..4, 20).await;
    scene.write(20..21, 21).await;
    let run = scene.process().run(&scene, RunKind::Indexes, noon()).await.unwrap();
    let counts = &run.steps[0].counts;
    assert_eq!((counts["written"], counts["unchanged"], counts["removed"]), (1, 9, 0));
}

#[rstest]
#[case::integer("SELECT order_id AS id FROM orders", "7")]
#[case::negative("SELECT -order_id AS id FROM orders", "-7")]
#[case::decimal("SELECT revenue AS id FROM orders", "10.50")]
#[case::date("SELECT day AS id FROM orders", "2024-10-06")]
#[case::boolean("SELECT paid AS id FROM orders", "false")]
#[case::text("SELECT concat('x-', order_id) AS id FROM orders", "x-7")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_any_type_are_their_text(#[case] query: &str, #[case] id: &str) {
    let scene = Scene::new().await;
    scene.write(7..8, 0).await;
    let index = scene.index(query, "id", &[]).await;
    let run = scene.process().run(&scene, RunKind::Indexes, noon()).await.unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(scene.profiles(&index).await.unwrap()[0].0, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_and_equal_keys_are_counted() {
    let scene = Scene::new().await;
    scene.write(0..20, 0).await;
    let query = "SELECT CASE WHEN order_id < 5 THEN NULL ELSE email END AS id, order_id FROM orders";
    let index = scene.index(query, "id", &[]).await;
    let run = scene.process().run(&scene, RunKind::Indexes, noon()).await.unwrap();
    let counts = &run.steps[0].counts;
    assert_eq!((counts["rows"], counts["null_keys"], counts["duplicate_keys"], counts["profiles"]), (20, 5, 5, 10));
    assert_eq!(scene.profiles(&index).await.unwrap().len(), 10);
}

#[rstest]
#[case::key("SELECT email FROM orders", "id", &[], "unknown column \"id\"")]
#[case::near_key("SELECT email FROM orders", "emial", &[], "unknown column \"emial\"; did you mean \"email\"?")]
#[case::filter("SELECT email FROM orders", "email", &["cty"], "unknown column \"cty\"")]
#[case::time("SELECT received_at FROM orders", "received_at", &[], "column \"received_at\" is a timestamp, whose text has several forms: make it a string in the query, as with CAST")]
#[case::column("SELECT e_mail AS email FROM orders", "email", &[], "unknown column \"e_mail\"")]
#[case::division("SELECT 1 / (order_id - 3) AS id FROM orders", "id", &[], "ivision by zero")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_fails_leaves_what_serves(
    #[case] query: &str,
    #[case] key: &str,
    #[case] filters: &[&str],
    #[case] says: &str,
) {
    let scene = Scene::new().await;
    scene.write(0..20, 0).await;
    let index = scene.index("SELECT email, count(*) AS orders FROM orders GROUP BY email", "email", &["orders"]).await;
    scene.process().run(&scene, RunKind::Indexes, noon()).await.unwrap();
    let before = scene.profiles(&index).await.unwrap();
    scene.index(query, key, filters).await;
    let run = scene.process().run(&scene, RunKind::Indexes, noon()).await.unwrap();
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.steps[0].counts, Counts::new());
    let why = run.steps[0].message.clone().unwrap();
    assert!(why.contains(says), "{why}");
    assert_eq!(scene.profiles(&index).await.unwrap(), before);
}
