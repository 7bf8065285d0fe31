//! The queue away or slow, and more requests than memory.

use std::sync::Arc;
use std::time::Duration;

use freshet_function_ingest::IngestLimits;
use futures::future::join_all;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::call::{Call, gzip};
use crate::scene::Scene;
use crate::shelf::Appending;

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_unreachable_queue_is_503_and_acknowledges_nothing() {
    let (scene, _) = Scene::appending(Appending::IsUnavailable, IngestLimits::default()).await;
    let answer = Call::new(&scene).send(&scene).await;
    answer.assert_problem(503, "the queue did not acknowledge the records; send the request again");
    assert_eq!(answer.header("retry-after"), Some("2"));
    let health = Call::new(&scene).method(axum::http::Method::GET).path("/health").send(&scene).await;
    assert_eq!(health.status, 503);
    let checks = [json!({"name": "store", "reachable": true}), json!({"name": "queue", "reachable": false})];
    let expected = json!({"status": "unavailable", "checks": checks});
    assert_eq!(health.json(), expected);
}

#[tokio::test]
async fn a_queue_that_refuses_for_good_is_500_that_tells_nothing() {
    let (scene, _) = Scene::appending(Appending::IsRefused, IngestLimits::default()).await;
    Call::new(&scene).send(&scene).await.assert_problem(500, "the log has the cause under this request id");
}

#[tokio::test]
async fn a_queue_that_does_not_acknowledge_in_time_is_503() {
    let never = Appending::Waits(Arc::new(Semaphore::new(0)));
    let limits = IngestLimits { append_time: Duration::from_millis(20), ..IngestLimits::default() };
    let (scene, _) = Scene::appending(never, limits).await;
    let answer = Call::new(&scene).send(&scene).await;
    answer.assert_problem(503, "the queue did not acknowledge the records; send the request again");
}

#[tokio::test]
async fn requests_beyond_the_memory_are_refused_until_others_are_done() {
    let permits = Arc::new(Semaphore::new(0));
    // Room for two requests of 1 MB: each counts twice.
    let limits = IngestLimits { in_flight_bytes: 5_000_000, append_time: DEADLINE };
    let (scene, shelf) = Scene::appending(Appending::Waits(Arc::clone(&permits)), limits).await;
    let megabyte = || Call::new(&scene).body(format!("{{\"a\":\"{}\"}}", "x".repeat(999_000)));

    let held = join_all([megabyte().send(&scene), megabyte().send(&scene)]);
    let refused_meanwhile = async {
        let mut begun = shelf.begun.subscribe();
        tokio::time::timeout(DEADLINE, begun.wait_for(|begun| *begun == 2)).await.unwrap().unwrap();
        let refused = megabyte().send(&scene).await;
        permits.add_permits(3);
        refused
    };
    let (answers, refused) = futures::join!(held, refused_meanwhile);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [202, 202]);
    refused.assert_problem(503, "too many requests are being taken in at the moment; nothing was queued");
    assert_eq!(megabyte().send(&scene).await.status, 202, "what they held is free again");
    assert_eq!(shelf.records().len(), 3);
}

#[tokio::test]
async fn a_body_of_unknown_length_counts_as_the_largest() {
    let limits = IngestLimits { in_flight_bytes: 5_000_000, ..IngestLimits::default() };
    let (scene, _) = Scene::appending(Appending::Works, limits).await;
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"{}"))]);
    let answer = Call::new(&scene).body(axum::body::Body::from_stream(chunks)).send(&scene).await;
    assert_eq!(answer.status, 503);
    assert_eq!(Call::new(&scene).send(&scene).await.status, 202);
}

#[tokio::test]
async fn a_compressed_body_counts_as_what_it_becomes() {
    let limits = IngestLimits { in_flight_bytes: 5_000_000, ..IngestLimits::default() };
    let (scene, _) = Scene::appending(Appending::Works, limits).await;
    let lines = |count: usize| gzip(format!("{{\"a\":\"{}\"}}\n", "x".repeat(900_000)).repeat(count).as_bytes());
    let call = || Call::new(&scene).with("content-type", "application/x-ndjson").with("content-encoding", "gzip");
    assert_eq!(call().body(lines(3)).send(&scene).await.status, 503);
    assert_eq!(call().body(lines(2)).send(&scene).await.status, 202);
}
