//! The queue away or slow, and more requests than memory.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use freshet_function_ingest::IngestLimits;
use futures::StreamExt;
use futures::future::{Either, join_all, select};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

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

/// Of one tenant, whose share of the memory is a quarter.
fn share(bytes: usize) -> IngestLimits {
    IngestLimits { in_flight_bytes: 4 * bytes, append_time: DEADLINE }
}

const OVER_THE_SHARE: &str = "too many requests of tenant acme are being taken in at the moment; nothing was queued";

#[tokio::test]
async fn requests_beyond_a_tenants_share_are_refused_until_others_are_done_and_other_tenants_go_on() {
    let permits = Arc::new(Semaphore::new(0));
    // Room for two requests of 1 MB: each counts twice.
    let (scene, shelf) = Scene::appending(Appending::Waits(Arc::clone(&permits)), share(5_000_000)).await;
    let megabyte = || Call::new(&scene).body(format!("{{\"a\":\"{}\"}}", "x".repeat(999_000)));
    let elsewhere = || {
        let bearer = format!("Bearer {}", scene.elsewhere);
        megabyte().with("authorization", bearer).with("x-amperity-tenant", "umbrella")
    };

    let held = join_all([megabyte().send(&scene), megabyte().send(&scene), elsewhere().send(&scene)]);
    let refused_meanwhile = async {
        let mut begun = shelf.begun.subscribe();
        tokio::time::timeout(DEADLINE, begun.wait_for(|begun| *begun == 3)).await.unwrap().unwrap();
        let refused = megabyte().send(&scene).await;
        permits.add_permits(4);
        refused
    };
    let (answers, refused) = futures::join!(held, refused_meanwhile);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [202, 202, 202]);
    refused.assert_problem(429, OVER_THE_SHARE);
    assert_eq!(megabyte().send(&scene).await.status, 202, "what they held is free again");
    assert_eq!(shelf.records().len(), 4);
}

#[tokio::test]
async fn requests_that_send_nothing_keep_no_one_out() {
    // Not twice as much as one body may have.
    let (scene, _) = Scene::appending(Appending::Works, share(5_000_000)).await;
    let waiting = watch::Sender::new(0);
    let stalled = || {
        let mut announced = false;
        let waiting = waiting.clone();
        let silence = futures::stream::poll_fn(move |_| {
            if !std::mem::replace(&mut announced, true) {
                waiting.send_modify(|waiting| *waiting += 1);
            }
            Poll::<Option<io::Result<Bytes>>>::Pending
        });
        Call::new(&scene).body(Body::from_stream(silence)).send(&scene)
    };
    let attack = join_all((0..100).map(|_| stalled()));
    let others = async {
        let mut waiting = waiting.subscribe();
        tokio::time::timeout(DEADLINE, waiting.wait_for(|waiting| *waiting == 100)).await.unwrap().unwrap();
        Call::new(&scene).body(format!("{{\"a\":\"{}\"}}", "x".repeat(999_000))).send(&scene).await
    };
    match select(pin!(attack), pin!(others)).await {
        Either::Left((answers, _)) => panic!("answered without a body: {answers:?}"),
        Either::Right((answer, _)) => assert_eq!(answer.status, 202),
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_counts_as_what_came_of_it() {
    let (scene, shelf) = Scene::appending(Appending::Works, share(1_000_000)).await;
    let record = Bytes::from(format!("{{\"a\":\"{}\"}}\n", "x".repeat(99_990)));
    let call = |pieces: usize| {
        let body = Body::from_stream(futures::stream::iter(vec![record.clone(); pieces]).map(Ok::<_, io::Error>));
        Call::new(&scene).with("content-type", "application/x-ndjson").body(body)
    };
    call(5).send(&scene).await.assert_problem(429, OVER_THE_SHARE);
    assert_eq!(shelf.records().len(), 0);
    assert_eq!(call(4).send(&scene).await.status, 202);
    assert_eq!(shelf.records().len(), 4);
}

#[tokio::test]
async fn a_compressed_body_counts_as_what_it_becomes() {
    let (scene, _) = Scene::appending(Appending::Works, share(5_000_000)).await;
    let lines = |count: usize| gzip(format!("{{\"a\":\"{}\"}}\n", "x".repeat(900_000)).repeat(count).as_bytes());
    let call = || Call::new(&scene).with("content-type", "application/x-ndjson").with("content-encoding", "gzip");
    assert_eq!(call().body(lines(3)).send(&scene).await.status, 429);
    assert_eq!(call().body(lines(2)).send(&scene).await.status, 202);
}
