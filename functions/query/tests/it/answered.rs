//! What is answered, and how.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::scene::{Call, Scene, orders};

#[tokio::test]
async fn a_whole_answer() {
    let scene = Scene::new().await;
    let reply = Call::new(&scene).sql("SELECT * FROM orders ORDER BY order_id").send(&scene).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-request-id"), Some("r-1"));
    let mut body = reply.json();
    let statistics = body["statistics"].take();
    assert_eq!(statistics["rows_read"], 3, "{statistics}");
    let at_noon = "2026-06-14T12:00:00.000000Z";
    let expected = json!({
        "columns": [
            {"name": "order_id", "type": "string"}, {"name": "email", "type": "string"},
            {"name": "revenue", "type": "decimal(18,2)"}, {"name": "ordered_at", "type": "timestamp"},
            {"name": "items", "type": "json"}, {"name": "received_at", "type": "timestamp"},
            {"name": "written_at", "type": "timestamp"}, {"name": "request_id", "type": "string"},
        ],
        "rows": [
            ["a-1", "ann@example.com", 79.99, "2026-06-14T00:24:16.000000Z", "[{\"sku\":\"x\"}]", at_noon, at_noon, "r-0"],
            ["a-2", "bob@example.com", 2_500_315.63, "2026-06-14T01:00:00.000000Z", null, at_noon, at_noon, "r-0"],
            ["a-3", null, 0.01, "2026-06-14T02:00:00.000000Z", null, at_noon, at_noon, "r-0"],
        ],
        "row_count": 3,
        "truncated": false,
        "as_of": at_noon,
        "statistics": null,
    });
    assert_eq!(body, expected);
    // It has the shape that is described.
    assert_eq!(reply.rows().row_count, 3);
}

#[rstest]
#[case::positions("SELECT order_id FROM orders WHERE email = $1 AND revenue > $2", json!(["bob@example.com", 79.995]))]
#[case::marks("SELECT order_id FROM orders WHERE email = ? AND revenue > ?", json!(["bob@example.com", 79.995]))]
#[case::names("SELECT order_id FROM orders WHERE email = $email", json!({"email": "bob@example.com"}))]
#[case::none("SELECT order_id FROM orders WHERE revenue = 2500315.63", json!(null))]
#[case::time("SELECT order_id FROM orders WHERE ordered_at = $1", json!(["2026-06-14T01:00:00Z"]))]
#[tokio::test]
async fn parameters_are_bound(#[case] sql: &str, #[case] parameters: Value) {
    let scene = Scene::new().await;
    let reply = Call::new(&scene).sql(sql).field("parameters", parameters).send(&scene).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    assert_eq!(json!(reply.rows().rows), json!([["a-2"]]));
}

#[tokio::test]
async fn rows_beyond_the_limit_are_told() {
    let scene = Scene::new().await;
    let reply =
        Call::new(&scene).sql("SELECT order_id FROM orders ORDER BY 1").field("limit", json!(2)).send(&scene).await;
    let answer = reply.rows();
    assert_eq!((answer.row_count, answer.truncated), (2, true));
    let reply = Call::new(&scene).sql("SELECT value FROM generate_series(1, 5000)").send(&scene).await;
    assert_eq!((reply.rows().row_count, reply.rows().truncated), (1_000, true));
}

#[tokio::test]
async fn a_table_that_nothing_was_written_to_is_empty() {
    let scene = Scene::new().await;
    let reply = Call::new(&scene).sql("SELECT * FROM visits").send(&scene).await;
    let body = reply.json();
    let columns = json!([
        {"name": "Visitor", "type": "string"}, {"name": "seen_at", "type": "timestamp"},
        {"name": "received_at", "type": "timestamp"}, {"name": "written_at", "type": "timestamp"},
        {"name": "request_id", "type": "string"},
    ]);
    assert_eq!((&body["columns"], &body["row_count"]), (&columns, &json!(0)));
    assert_eq!(scene.rows("SELECT count(*) FROM visits_failed").await, json!([[0]]));
    assert_eq!(
        scene.rows("SELECT count(*) FROM orders o LEFT JOIN Visits v ON o.email = v.visitor").await,
        json!([[3]])
    );
}

#[tokio::test]
async fn failed_rows_are_a_table_of_the_database() {
    let scene = Scene::new().await;
    let sql = "SELECT \"column\", request_id, record_index, raw, topic, partition, \"offset\" FROM orders_failed";
    let raw = r#"{"order_id":"a-4","revenue":"much"}"#;
    assert_eq!(scene.rows(sql).await, json!([["revenue", "r-0", 3, raw, "topic", 0, 3]]));
}

#[tokio::test]
async fn what_was_written_since_is_seen() {
    let scene = Scene::new().await;
    assert_eq!(scene.rows("SELECT count(*) FROM orders").await, json!([[3]]));
    scene
        .write("orders", 10, &[json!({"order_id": "a-9", "revenue": 1}), json!({"order_id": "a-1", "revenue": 80})])
        .await;
    scene.advance(Duration::from_mins(1));
    let reply = Call::new(&scene).sql("SELECT count(*), sum(revenue) FROM orders").send(&scene).await;
    let answer = reply.rows();
    assert_eq!(json!(answer.rows), json!([[4, 2_500_396.64]]));
    assert_eq!(answer.as_of, "2026-06-14T12:01:00.000000Z");
}

#[tokio::test]
async fn a_column_that_was_added_is_null_until_it_is_written() {
    let scene = Scene::new().await;
    let mut definition = orders();
    definition["columns"].as_array_mut().unwrap().push(json!({"name": "city", "type": "string"}));
    scene.put_table("orders", &definition).await;
    assert_eq!(scene.rows("SELECT count(*) FROM orders WHERE city IS NULL").await, json!([[3]]));
    scene.write("orders", 10, &[json!({"order_id": "a-9", "city": "Leipzig"})]).await;
    assert_eq!(scene.rows("SELECT order_id FROM orders WHERE city = 'Leipzig'").await, json!([["a-9"]]));
}

#[rstest]
#[case("x-amperity-tenant")]
#[case("amperity-tenant")]
#[case("x-tenant")]
#[tokio::test]
async fn the_tenant_may_be_named(#[case] header: &str) {
    let scene = Scene::new().await;
    let reply = Call::new(&scene).with(header, "acme").send(&scene).await;
    assert_eq!(json!(reply.rows().rows), json!([[1]]));
}

#[tokio::test]
async fn a_narrow_token_queries_its_database() {
    let scene = Scene::new().await;
    let narrow = format!("Bearer {}", scene.narrow);
    let reply = Call::new(&scene).with("authorization", &narrow).sql("SELECT count(*) FROM orders").send(&scene).await;
    assert_eq!(json!(reply.rows().rows), json!([[3]]));
}

#[tokio::test]
async fn committed_may_be_asked_for() {
    let scene = Scene::new().await;
    let reply = Call::new(&scene).field("consistency", json!("committed")).send(&scene).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
}

#[tokio::test]
async fn it_says_of_itself_what_it_serves_and_that_it_is_well() {
    let scene = Scene::new().await;
    let call = |path: &str| Call::new(&scene).method(axum::http::Method::GET).path(path).without("authorization");
    let api = call("/openapi.json").send(&scene).await.json();
    assert_eq!(api["info"]["title"], "Freshet query");
    let described = &api["paths"]["/query/v0/sql"]["post"];
    let statuses: Vec<&str> = described["responses"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(statuses, ["200", "303", "400", "401", "403", "404", "406", "408", "413", "415", "503"]);
    assert!(described["requestBody"]["content"]["application/json"].is_object(), "{described}");
    let health = call("/health").send(&scene).await;
    let checks = json!([{"name": "store", "reachable": true}, {"name": "files", "reachable": true}]);
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok", "checks": checks})));
}
