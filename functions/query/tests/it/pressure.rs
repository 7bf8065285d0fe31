//! Too much at once, and what is needed being away.

use std::time::Duration;

use freshet_function_query::QueryLimits;
use freshet_testkit::eventually;
use serde_json::json;

use crate::scene::{Call, Scene};

const BUSY: &str = "as many queries are running as may at once; try again";
const AWAY: &str = "the tables can't be read at the moment; try again";

#[tokio::test]
async fn queries_beyond_those_that_run_and_wait_are_503() {
    let scene = Scene::with_limits(|limits| QueryLimits { running: 1, waiting: 0, ..limits }).await;
    let endless = "SELECT sum(value) FROM generate_series(1, 9000000000000000000)";
    // Whichever is first runs, and the other is refused; it tries again until it is the other way round.
    let long = async {
        loop {
            let reply = Call::new(&scene).sql(endless).field("timeout_ms", json!(2_000)).send(&scene).await;
            if reply.status != 503 {
                break reply;
            }
        }
    };
    let short = async {
        loop {
            let reply = Call::new(&scene).send(&scene).await;
            if reply.status == 503 {
                break reply;
            }
        }
    };
    let both = async { tokio::join!(long, short) };
    let (first, second) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    second.assert_problem(503, BUSY);
    assert_eq!(second.header("retry-after"), Some("5"));
    assert_eq!(first.status, 408);
    // The place is free again, once the work has ended.
    eventually(Duration::from_secs(10), async || Call::new(&scene).send(&scene).await.status == 200).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_leaves_frees_its_place() {
    let scene = Scene::with_limits(|limits| QueryLimits { running: 1, waiting: 0, ..limits }).await;
    let endless = "SELECT sum(value) FROM generate_series(1, 9000000000000000000)";
    let left = Call::new(&scene).sql(endless).send(&scene);
    assert!(tokio::time::timeout(Duration::from_millis(300), left).await.is_err());
    eventually(Duration::from_secs(10), async || Call::new(&scene).send(&scene).await.status == 200).await.unwrap();
}

#[tokio::test]
async fn files_out_of_reach_are_503_until_they_are_back() {
    let scene = Scene::new().await;
    let query = || Call::new(&scene).sql("SELECT sum(revenue) FROM orders").send(&scene);
    scene.files.set_away(true);
    let reply = query().await;
    reply.assert_problem(503, AWAY);
    assert_eq!(reply.header("retry-after"), Some("2"));
    let health = Call::new(&scene).method(axum::http::Method::GET).path("/health").send(&scene).await;
    let checks = json!([{"name": "store", "reachable": true}, {"name": "files", "reachable": false}]);
    assert_eq!((health.status, health.json()), (503, json!({"status": "unavailable", "checks": checks})));
    scene.files.set_away(false);
    eventually(Duration::from_secs(10), async || query().await.status == 200).await.unwrap();
}
