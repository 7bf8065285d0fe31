//! Runs of databases.

use freshet_runs::{RunKind, RunState, StepState};
use serde_json::json;

use crate::scene::{Scene, noon};

const BY_BUYER: &str = "SELECT email, sum(revenue) AS spent, count(*) AS orders FROM orders GROUP BY email";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_after_those_that_they_read_and_have_their_types() {
    let scene = Scene::new().await;
    scene.write(0..100, 0).await;
    scene
        .define(&[
            ("best", "SELECT email FROM By_Buyer WHERE spent > 790"),
            ("by_buyer", BY_BUYER),
            ("items", "SELECT order_id, items, day, paid, received_at FROM orders WHERE order_id = 7"),
            ("none", "SELECT order_id FROM orders WHERE false"),
        ])
        .await;
    let missing = scene.rows("SELECT * FROM best").await.unwrap_err();
    assert_eq!(missing, "table best has not been made yet: run the database, as with freshet databases run retail");
    let run = scene.process().run(&scene, RunKind::Databases, noon()).await.unwrap();
    assert_eq!(run.state, RunState::Succeeded);
    let steps: Vec<(&str, u64)> = run.steps.iter().map(|step| (step.name.as_str(), step.counts["rows"])).collect();
    assert_eq!(steps, [("by_buyer", 10), ("best", 2), ("items", 1), ("none", 0)]);
    let best = scene.rows("SELECT * FROM best ORDER BY email").await.unwrap();
    assert_eq!(best, [json!({"email": "buyer8@example.com"}), json!({"email": "buyer9@example.com"})]);
    let spent = scene.rows("SELECT spent, orders FROM by_buyer WHERE email = 'buyer9@example.com'").await.unwrap();
    assert_eq!(spent, [json!({"spent": 810.00, "orders": 10})]);
    let item = scene.rows("SELECT order_id, items, day, paid, received_at FROM items").await.unwrap();
    let received = "1970-01-01T00:00:00.000001Z";
    assert_eq!(
        item,
        [
            json!({"order_id": 7, "items": "[{\"sku\": \"s7\"}]", "day": "2024-10-06", "paid": false, "received_at": received})
        ]
    );
    assert_eq!(scene.rows("SELECT * FROM none").await.unwrap(), [] as [serde_json::Value; 0]);

    // What has come since is in with the next run, as a new version.
    scene.write(100..110, 100).await;
    let run = scene.process().run(&scene, RunKind::Databases, noon()).await.unwrap();
    assert_eq!(run.steps[0].counts["version"], 1);
    let orders = scene.rows("SELECT sum(orders) AS orders FROM by_buyer").await.unwrap();
    assert_eq!(orders, [json!({"orders": 110})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_fails_keeps_what_it_held_and_says_why() {
    let scene = Scene::new().await;
    scene.write(0..10, 0).await;
    scene.define(&[("a", "SELECT order_id FROM orders"), ("b", "SELECT order_id FROM a"), ("c", BY_BUYER)]).await;
    assert_eq!(scene.process().run(&scene, RunKind::Databases, noon()).await.unwrap().state, RunState::Succeeded);
    scene
        .define(&[
            ("a", "SELECT 1 / (order_id - 3) AS x FROM orders"),
            ("b", "SELECT * FROM a"),
            ("c", BY_BUYER),
            ("d", "SELECT count(*) FROM orders"),
            ("e", "SELECT order_id, order_id AS Order_ID FROM orders"),
        ])
        .await;
    scene.write(10..20, 10).await;
    let run = scene.process().run(&scene, RunKind::Databases, noon()).await.unwrap();
    assert_eq!((run.state, run.error), (RunState::Failed, None));
    let said: Vec<(&str, StepState, String)> = run
        .steps
        .iter()
        .map(|step| (step.name.as_str(), step.state, step.message.clone().unwrap_or_default()))
        .collect();
    let (name, state, why) = &said[0];
    assert_eq!((*name, *state), ("a", StepState::Failed));
    assert!(why.contains("ivision by zero"), "{why}");
    let skipped = "not made: table a, which it reads, could not be made".to_owned();
    assert_eq!(said[1], ("b", StepState::Skipped, skipped));
    assert_eq!(said[2], ("c", StepState::Succeeded, String::new()));
    let name = "\"count(*)\" can't be the name of a table's column: give it another with AS".to_owned();
    assert_eq!(said[3], ("d", StepState::Failed, name));
    assert_eq!((said[4].0, said[4].1), ("e", StepState::Failed));
    assert_eq!(scene.rows("SELECT count(*) AS n FROM a").await.unwrap(), [json!({"n": 10})]);
    assert_eq!(scene.rows("SELECT count(*) AS n FROM b").await.unwrap(), [json!({"n": 10})]);
    assert_eq!(scene.rows("SELECT sum(orders) AS n FROM c").await.unwrap(), [json!({"n": 20})]);
}
