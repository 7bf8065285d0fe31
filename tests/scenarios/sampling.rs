//! The newest records of a stream, whatever became of them.

use reqwest::StatusCode;
use rstest::rstest;
use serde_json::json;

use crate::client::body_of;
use crate::deployment::{Deployment, Platform};

/// Four shards of one stream and one of another, in four partitions at most: they lie among each other.
const RESOURCES: &str =
    "[streams.orders]\nid = \"is-orders000001\"\nshards = 4\n\n[streams.returns]\nid = \"is-returns00001\"\n";

#[rstest]
#[case::embedded(Platform::Embedded)]
#[case::servers(Platform::Servers)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_records_of_a_stream_are_shown_and_no_others(#[case] platform: Platform) {
    let deployment = Deployment::new(platform).await;
    let server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(RESOURCES).await;
    for number in 0..30 {
        let (orders, returns) = (json!([{"order": number}, {"order": number}]), json!({"return": number}));
        for (stream, records) in [("is-orders000001", &orders), ("is-returns00001", &returns)] {
            let answer = client.post(stream, &format!("{stream}-{number}"), records).await.unwrap();
            body_of(answer, StatusCode::ACCEPTED).await;
        }
    }

    let sample = deployment.freshet(&["streams", "sample", "orders", "--limit", "4", "--json"]).await.with_status(0);
    let sample = sample.json();
    let shown: Vec<_> = sample["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| json!([record["raw"], record["request_id"], record["content_type"]]))
        .collect();
    let expected = [29, 29, 28, 28].map(|number| {
        json!([format!("{{\"order\":{number}}}"), format!("is-orders000001-{number}"), "application/json"])
    });
    assert_eq!(shown, expected, "{sample}");
    assert_eq!(sample["ended_by"], "limit");
    let all = deployment.freshet(&["streams", "sample", "is-returns00001", "--limit", "100"]).await.with_status(0);
    assert!(all.stdout.contains("{\"return\":0}") && all.stdout.contains("{\"return\":29}"), "{all:?}");
    assert!(!all.stdout.contains("order") && all.stderr.contains("30 records\n"), "{all:?}");
    let unknown = deployment.freshet(&["streams", "sample", "order"]).await.with_status(1);
    assert!(unknown.stderr.contains("did you mean \"orders\"?"), "{unknown:?}");
    deployment.finish([server]).await;
}
