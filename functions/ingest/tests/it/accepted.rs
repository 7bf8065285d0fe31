//! What is taken in, and what lies in the queue then.

use std::sync::Arc;
use std::time::Duration;

use freshet_function_ingest::{IngestLimits, MAX_RECORD_BYTES, MAX_RECORDS, Receipt};
use freshet_model::{PayloadFormat, Position, Record, RecordHeaders, RequestId, StreamId};
use freshet_queue::{EmbeddedQueue, EmbeddedSettings, Queue, ReadLimit};
use rstest::rstest;
use serde_json::json;

use crate::call::{Call, gzip, zstd};
use crate::scene::{ORDERS, Scene, WIDE, noon, tenant};

#[tokio::test]
async fn an_acknowledged_request_is_in_the_queue_where_its_receipt_says() {
    let directory = tempfile::tempdir().unwrap();
    let settings = EmbeddedSettings {
        path: directory.path().join("queue"),
        topic: "records".to_owned(),
        partitions: 8,
        retention: Duration::from_hours(1),
        clock: Arc::new(noon),
    };
    let queue: Arc<dyn Queue> = Arc::new(EmbeddedQueue::open(settings).await.unwrap());
    let scene = Scene::over(Arc::clone(&queue), IngestLimits::default()).await;
    Call::new(&scene).with("x-request-id", "r-0").send(&scene).await;
    let answer = Call::new(&scene).body(r#"[{"a": 1}, {"b": "ü"},{"c":{}}]"#).send(&scene).await;

    let receipt: Receipt = answer.json()["receipt"].as_str().unwrap().parse().unwrap();
    let ranges: Vec<_> = receipt.ranges().collect();
    let (partition, range) = ranges[0];
    assert_eq!((ranges.len(), range.first, range.last), (1, 1, 3));
    let expected = json!({"request_id": "r-1", "stream_id": ORDERS, "records": 3, "receipt": receipt.to_string()});
    assert_eq!((answer.status, answer.json()), (202, expected));
    assert_eq!(answer.header("x-request-id"), Some("r-1"));
    assert_eq!(answer.header("content-type"), Some("application/json"));

    let limit = ReadLimit { records: 10, bytes: 10_000, wait: Duration::ZERO };
    let queued = queue.read(partition, range.first, limit).await.unwrap();
    let payloads = [r#"{"a": 1}"#, r#"{"b": "ü"}"#, r#"{"c":{}}"#];
    for (((record, payload), index), offset) in queued.iter().zip(payloads).zip(0_u32..).zip(1_u64..) {
        assert_eq!(record.position, Position { partition, offset });
        let headers = RecordHeaders {
            tenant: tenant(),
            stream: StreamId::parse(ORDERS).unwrap(),
            received_at: noon(),
            request_id: RequestId::parse("r-1").unwrap(),
            index,
            format: PayloadFormat::Json,
        };
        assert_eq!(record.record, Record { headers, payload: payload.into() });
    }
    assert_eq!(queued.len(), 3);
}

#[rstest]
#[case::one_object("application/json", " {\"a\": [1, 2]}\n", &["{\"a\": [1, 2]}"])]
#[case::an_array("application/json", "[{\"a\":1} ,\n{\"a\":2}]", &["{\"a\":1}", "{\"a\":2}"])]
#[case::an_array_of_one("application/json", "[{}]", &["{}"])]
#[case::with_a_charset("Application/JSON; charset=utf-8", "{}", &["{}"])]
#[case::a_byte_order_mark("application/json", "\u{feff}{}", &["{}"])]
#[case::lines("application/x-ndjson", "{\"a\":1}\n\r\n{\"a\":2}\r\n", &["{\"a\":1}", "{\"a\":2}"])]
#[case::lines_as_jsonl("application/jsonl", "{}", &["{}"])]
#[case::lines_as_json_stream("application/x-json-stream;charset=UTF-8", "{}\n{}", &["{}", "{}"])]
#[case::a_field_twice("application/json", "{\"a\":1,\"a\":2}", &["{\"a\":1,\"a\":2}"])]
#[tokio::test]
async fn each_form_is_taken_as_it_came(
    #[case] content_type: &str,
    #[case] body: &'static str,
    #[case] records: &[&str],
) {
    let (scene, shelf) = Scene::new().await;
    let answer = Call::new(&scene).with("content-type", content_type).body(body).send(&scene).await;
    assert_eq!((answer.status, &answer.json()["records"]), (202, &json!(records.len())));
    assert_eq!(shelf.payloads(), records);
}

#[rstest]
#[case::identity("identity", <[u8]>::to_vec)]
#[case::gzip("gzip", gzip)]
#[case::gzip_by_another_name("X-GZIP", gzip)]
#[case::zstd("zstd", zstd)]
#[tokio::test]
async fn each_encoding_is_taken(#[case] encoding: &str, #[case] compress: fn(&[u8]) -> Vec<u8>) {
    let (scene, shelf) = Scene::new().await;
    // More than may come on the wire, less than may come out of it.
    let record = format!("{{\"a\":\"{}\"}}", "x".repeat(900_000));
    let count = if encoding == "identity" { 4 } else { 16 };
    let body = compress(format!("{record}\n").repeat(count).as_bytes());
    let call = Call::new(&scene).with("content-type", "application/x-ndjson").with("content-encoding", encoding);
    assert_eq!(call.body(body).send(&scene).await.status, 202);
    assert_eq!(shelf.payloads(), vec![record; count]);
}

#[tokio::test]
async fn a_request_at_its_limits_is_taken() {
    let (scene, shelf) = Scene::new().await;
    let largest = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_RECORD_BYTES - 8));
    assert_eq!(largest.len(), MAX_RECORD_BYTES);
    let body = format!("[{largest}{}]", ",{}".repeat(MAX_RECORDS - 1));
    let answer = Call::new(&scene).body(body).send(&scene).await;
    assert_eq!((answer.status, &answer.json()["records"]), (202, &json!(10_000)));
    let records = shelf.records();
    let indexes: Vec<u32> = records.iter().map(|(_, record)| record.headers.index).collect();
    assert_eq!(indexes, (0..10_000).collect::<Vec<_>>());
}

#[rstest]
#[case("X-Amperity-Tenant")]
#[case("amperity-tenant")]
#[case("X-TENANT")]
#[tokio::test]
async fn the_tenant_header_has_three_names(#[case] name: &str) {
    let (scene, _) = Scene::new().await;
    let answer = Call::new(&scene).without("x-amperity-tenant").with(name, "acme").send(&scene).await;
    assert_eq!(answer.status, 202);
}

#[tokio::test]
async fn a_key_of_some_streams_writes_to_those() {
    let (scene, shelf) = Scene::new().await;
    let answer = Call::new(&scene).with("authorization", format!("Bearer {}", scene.narrow)).send(&scene).await;
    assert_eq!((answer.status, shelf.records().len()), (202, 1));
}

#[tokio::test]
async fn without_a_request_id_one_is_made_and_stays_with_the_records() {
    let (scene, shelf) = Scene::new().await;
    let answer = Call::new(&scene).without("x-request-id").send(&scene).await;
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(answer.json()["request_id"], id);
    assert_eq!(shelf.records()[0].1.headers.request_id.as_str(), id);
}

#[tokio::test]
async fn requests_spread_over_the_shards_of_a_stream_and_each_stays_whole() {
    let (scene, shelf) = Scene::new().await;
    for _ in 0..100 {
        assert_eq!(Call::new(&scene).stream(WIDE).body("[{},{}]").send(&scene).await.status, 202);
        // A stream that always comes in between must not keep the other from some of its shards.
        assert_eq!(Call::new(&scene).send(&scene).await.status, 202);
    }
    let shards: Vec<u32> = shelf.records().iter().map(|(shard, _)| shard.shard).collect();
    let (wide, orders): (Vec<_>, Vec<_>) = shards.chunks(3).map(|three| ([three[0], three[1]], three[2])).unzip();
    assert_eq!(orders, [0; 100]);
    for shard in 0..4 {
        let requests = wide.iter().filter(|of_request| **of_request == [shard, shard]).count();
        assert!((22..=28).contains(&requests), "{requests} of 100 requests went to shard {shard}");
    }
}

#[tokio::test]
async fn the_function_describes_itself() {
    let (scene, _) = Scene::new().await;
    let get = |path: &str| Call::new(&scene).method(axum::http::Method::GET).without("authorization").path(path);
    let health = get("/health").send(&scene).await;
    let checks = [json!({"name": "store", "reachable": true}), json!({"name": "queue", "reachable": true})];
    let expected = json!({"status": "ok", "checks": checks});
    assert_eq!((health.status, health.json()), (200, expected));
    let api = get("/openapi.json").send(&scene).await.json();
    let responses = &api["paths"]["/stream/v0/data/{stream-id}"]["post"]["responses"];
    let statuses: Vec<&String> = responses.as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["202", "400", "401", "403", "404", "408", "413", "415", "429", "503"]);
    assert!(api["components"]["schemas"]["Problem"]["properties"]["type"].is_object(), "{api:#}");
}
