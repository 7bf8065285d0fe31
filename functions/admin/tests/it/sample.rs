//! The newest records of a stream.

use axum::http::{Method, StatusCode};
use freshet_model::{PayloadFormat, Record, RecordHeaders, RequestId, StreamId, TenantId};
use freshet_queue::Shard;
use jiff::SignedDuration;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Setup, now};

const ORDERS: &str = "is-2hzqsgX1E";
const PATH: &str = "/admin/v0/streams/orders/sample";

/// Queues records: number `n` was received `n` ms after `now`.
async fn queue(setup: &Setup, tenant: &str, stream: &str, shard: u32, payloads: &[(u32, String)]) {
    let (tenant, stream): (TenantId, StreamId) = (tenant.parse().unwrap(), stream.parse().unwrap());
    let records = payloads.iter().map(|(number, payload)| Record {
        headers: RecordHeaders {
            tenant: tenant.clone(),
            stream: stream.clone(),
            received_at: now() + SignedDuration::from_millis(i64::from(*number)),
            request_id: RequestId::parse("web-1").unwrap(),
            index: *number,
            format: PayloadFormat::Json,
        },
        payload: payload.clone().into(),
    });
    let records = records.collect();
    setup.context.queue.append(&Shard { tenant, stream, shard }, records).await.unwrap();
}

fn numbered(numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, String)> {
    numbers.into_iter().map(|number| (number, format!("{{\"n\":{number}}}"))).collect()
}

/// The raw records of an answer, `looked_at` and `ended_by`.
fn shown(answer: &Value) -> (Vec<&str>, &Value, &Value) {
    let records = answer["records"].as_array().unwrap();
    (records.iter().map(|record| record["raw"].as_str().unwrap()).collect(), &answer["looked_at"], &answer["ended_by"])
}

/// A stream's id whose records lie in the same partition as those of `orders`.
fn neighbour(tenant: &str) -> String {
    let partition = |tenant: &str, stream: &str| {
        Shard { tenant: tenant.parse().unwrap(), stream: stream.parse().unwrap(), shard: 0 }.partition(4)
    };
    let ids = (0..1_000).map(|number| format!("is-neighbour{number}"));
    let mut same = ids.filter(|id| partition(tenant, id) == partition("acme", ORDERS));
    same.next().unwrap()
}

#[tokio::test]
async fn a_record_is_shown_as_it_came_with_its_place() {
    let setup = Setup::new().await.with_orders().await;
    let raw = "{ \"order_id\" : \"ü\",\n\"order_id\": 1 }";
    queue(&setup, "acme", ORDERS, 0, &[(7, raw.to_owned())]).await;
    let shard = Shard { tenant: setup.tenant.clone(), stream: ORDERS.parse().unwrap(), shard: 0 };
    let expected = json!({
        "stream": "orders", "stream_id": ORDERS, "looked_at": 1, "ended_by": "beginning",
        "records": [{
            "received_at": "2026-06-14T00:00:00.007Z", "request_id": "web-1", "index": 7, "partition": shard.partition(4), "offset": 0,
            "content_type": "application/json", "raw": raw,
        }],
    });
    for path in [PATH.to_owned(), format!("/admin/v0/streams/{ORDERS}/sample?limit=100")] {
        let answer = setup.get(&path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
        assert_eq!(answer.body, expected);
    }
}

#[tokio::test]
async fn the_newest_come_first_and_as_many_as_asked() {
    let setup = Setup::new().await.with_orders().await;
    assert_eq!(shown(&setup.get(PATH).await.body), (vec![], &json!(0), &json!("beginning")));
    queue(&setup, "acme", ORDERS, 0, &numbered(0..300)).await;
    let answer = setup.get(PATH).await.body;
    let (records, _, ended_by) = shown(&answer);
    let expected: Vec<String> = (290..300).rev().map(|number| format!("{{\"n\":{number}}}")).collect();
    assert_eq!((records, ended_by), (expected.iter().map(String::as_str).collect(), &json!("limit")));
    let answer = setup.get(&format!("{PATH}?limit=100")).await.body;
    let (records, looked_at, _) = shown(&answer);
    assert_eq!((records.len(), records[99]), (100, "{\"n\":200}"));
    assert!(looked_at.as_u64().unwrap() < 300, "{looked_at}");
}

#[tokio::test]
async fn shards_are_shown_together_by_when_their_records_came() {
    let setup = Setup::new().await;
    setup.put("/admin/v0/streams/orders", &json!({"id": ORDERS, "shards": 3})).await;
    for shard in 0..3 {
        queue(&setup, "acme", ORDERS, shard, &numbered((0..20).map(|round| round * 3 + shard))).await;
    }
    let answer = setup.get(PATH).await.body;
    let expected: Vec<String> = (50..60).rev().map(|number| format!("{{\"n\":{number}}}")).collect();
    assert_eq!(shown(&answer).0, expected);
}

#[tokio::test]
async fn others_records_are_passed_over_and_never_shown() {
    let setup = Setup::new().await.with_orders().await;
    queue(&setup, "acme", ORDERS, 0, &numbered([1])).await;
    // Another stream of the tenant, another tenant's, and another tenant's stream of the same id: in the same partition.
    let of_tenant = neighbour("acme");
    queue(&setup, "acme", &of_tenant, 0, &[(2, "{\"secret\": 1}".to_owned())]).await;
    let other_tenant = (0..1_000).map(|number| format!("tenant{number}")).find(|tenant| {
        let shard = |tenant: &str| Shard { tenant: tenant.parse().unwrap(), stream: ORDERS.parse().unwrap(), shard: 0 };
        shard(tenant).partition(4) == shard("acme").partition(4)
    });
    queue(&setup, &other_tenant.unwrap(), ORDERS, 0, &[(3, "{\"secret\": 2}".to_owned())]).await;
    queue(&setup, "other", &neighbour("other"), 0, &[(4, "{\"secret\": 3}".to_owned())]).await;
    queue(&setup, "acme", ORDERS, 0, &numbered([5])).await;
    let answer = setup.get(PATH).await.body;
    assert_eq!(shown(&answer), (vec!["{\"n\":5}", "{\"n\":1}"], &json!(5), &json!("beginning")));
}

#[tokio::test]
async fn a_search_ends_after_ten_thousand_places_and_says_so() {
    let setup = Setup::new().await.with_orders().await;
    queue(&setup, "acme", ORDERS, 0, &numbered([1])).await;
    queue(&setup, "acme", &neighbour("acme"), 0, &numbered(0..9_999)).await;
    let found = setup.get(PATH).await.body;
    assert_eq!(shown(&found), (vec!["{\"n\":1}"], &json!(10_000), &json!("beginning")));
    queue(&setup, "acme", &neighbour("acme"), 0, &numbered([1])).await;
    assert_eq!(shown(&setup.get(PATH).await.body), (vec![], &json!(10_000), &json!("looked_at")));
}

#[tokio::test]
async fn an_answer_holds_only_so_many_bytes() {
    let setup = Setup::new().await.with_orders().await;
    let large = |number: u32| (number, format!("{{\"n\":{number},\"x\":\"{}\"}}", "x".repeat(999_000)));
    for number in 0..40 {
        queue(&setup, "acme", ORDERS, 0, &[large(number)]).await;
    }
    let answer = setup.get(&format!("{PATH}?limit=100")).await.body;
    let (records, _, ended_by) = shown(&answer);
    assert_eq!((records.len(), ended_by), (2, &json!("bytes")));
    assert!(records[0].starts_with("{\"n\":39,") && records[1].starts_with("{\"n\":38,"));
    // Others' records are not shown, and reading them has an end too.
    let answer = {
        let of_tenant = neighbour("acme");
        for number in 0..40 {
            queue(&setup, "acme", &of_tenant, 0, &[large(number)]).await;
        }
        setup.get(PATH).await.body
    };
    let (records, looked_at, ended_by) = shown(&answer);
    assert_eq!((records.len(), ended_by), (0, &json!("bytes")));
    assert!(looked_at.as_u64().unwrap() <= 40, "{looked_at}");
}

#[rstest]
#[case("?limit=0")]
#[case("?limit=101")]
#[case("?limit=-1")]
#[case("?limit=ten")]
#[case("?limit=")]
#[case("?limits=10")]
#[tokio::test]
async fn a_limit_that_is_not_right_is_refused(#[case] query: &str) {
    let setup = Setup::new().await.with_orders().await;
    setup.get(&format!("{PATH}{query}")).await.assert_problem(
        400,
        "bad-request",
        "the request is not right",
        "the query is not right; it may hold limit, a whole number from 1 to 100",
        Value::Null,
    );
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_not_found() {
    let setup = Setup::new().await.with_orders().await;
    for (name, hint) in [("oders", "; did you mean \"orders\"?"), ("is-0000000000", "")] {
        let answer = setup.get(&format!("/admin/v0/streams/{name}/sample")).await;
        let detail = format!("there is no stream {name:?}{hint}");
        answer.assert_problem(404, "not-found", "there is no such thing", &detail, Value::Null);
    }
    let answer = setup.request(Method::POST, PATH).send().await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}
