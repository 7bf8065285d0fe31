//! XML documents in over HTTP, and their rows out by SQL.

use std::time::Duration;

use freshet_testkit::eventually;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{Client, body_of, problem_of};
use crate::deployment::{Deployment, Platform};

const RESOURCES: &str = r#"
[streams.orders]
format = "xml"

[streams.events]
format = "json"

[databases.shop]

[tables.orders]
stream = "orders"
row_tag = "order"
databases = ["shop"]
key = ["id"]
order_by = "placed_at"
columns = [
  { name = "id", type = "string" },
  { name = "placed_at", type = "timestamp" },
  { name = "total", type = "decimal(18,2)" },
  { name = "currency", type = "string", path = "total.currency" },
  { name = "city", type = "string", path = "customer.address.city" },
  { name = "first_sku", type = "string", path = "lines.line[0].sku" },
  { name = "lines", type = "json" },
  { name = "comment", type = "string" },
]

[tables.order_lines]
stream = "orders"
row_tag = "line"
databases = ["shop"]
mode = "append"
columns = [{ name = "sku", type = "string" }, { name = "quantity", type = "integer" }]
"#;

/// The second order comes twice, and the later one in the document stands; the fourth fails.
const FIRST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- exported nightly -->
<export xmlns="urn:shop" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <orders>
    <order id="o-1" placed_at="2026-06-14T10:00:00+02:00">
      <total currency="EUR"> 79.90 </total>
      <customer><address><city>K&#xF6;ln</city></address></customer>
      <lines><line sku="a" quantity="1"/><line sku="b" quantity="2"><note>gift</note></line></lines>
      <comment><![CDATA[a < b & c]]></comment>
    </order>
    <order id="o-2" placed_at="2026-06-14T09:00:00Z"><total>1</total></order>
    <order id="o-2" placed_at="2026-06-14T09:00:00Z"><total>2</total><lines><line sku="c" quantity="3"/></lines></order>
    <order id="o-3" placed_at="2026-06-14T09:30:00Z"><total xsi:nil="true"/><comment/></order>
    <order id="o-4" placed_at="yesterday"><total>4.00</total></order>
  </orders>
</export>
"#;
/// The first order anew, and the second one as it was before.
const SECOND: &str = r#"<x:order xmlns:x="urn:x"><x:id>o-1</x:id><x:placed_at>2026-06-15</x:placed_at><x:total>80.00</x:total>
<lines><line sku="a" quantity="1"/></lines></x:order>"#;
const THIRD: &str = "<order id='o-2' placed_at='2026-06-01'><total>0</total><lines><line/></lines></order>";

async fn post(client: &Client, stream: &str, content_type: &str, body: &'static str) -> Response {
    let id = client.stream_id(stream).await;
    let request = client.request(Method::POST, &format!("/stream/v0/data/{id}"));
    request.header(CONTENT_TYPE, content_type).body(body).send().await.unwrap()
}

async fn check(client: &Client, sql: &str, expected: Value) {
    let expected: Vec<Vec<Value>> = serde_json::from_value(expected).unwrap();
    let mut last = Vec::new();
    let found = eventually(Duration::from_mins(1), async || {
        last = client.sql("shop", sql).await;
        last == expected
    });
    found.await.unwrap_or_else(|_| panic!("{sql} answers {last:?}, not {expected:?}"));
}

#[rstest]
#[case::embedded(Platform::Embedded)]
#[case::servers(Platform::Servers)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_documents_come_out_by_sql(#[case] platform: Platform) {
    let deployment = Deployment::new(platform).await;
    let server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(RESOURCES).await;
    for (content_type, document) in [("application/xml", FIRST), ("text/xml; charset=utf-8", SECOND)] {
        let accepted = body_of(post(&client, "orders", content_type, document).await, StatusCode::ACCEPTED).await;
        assert_eq!(accepted["records"], 1);
    }
    let file = deployment.path("third.xml");
    std::fs::write(&file, THIRD).unwrap();
    let said = deployment.freshet(&["send", "orders", file.to_str().unwrap()]).await.with_status(0);
    assert!(said.stdout.contains("1 records acknowledged"), "{said:?}");

    check(&client, "SELECT count(*), sum(quantity), count(sku) FROM order_lines", json!([[5, 7, 4]])).await;
    let sql = "SELECT id, placed_at, total, currency, city, first_sku, comment FROM orders ORDER BY id";
    let expected = json!([
        ["o-1", "2026-06-15T00:00:00.000000Z", 80.0, null, null, "a", null],
        ["o-2", "2026-06-14T09:00:00.000000Z", 2.0, null, null, "c", null],
        ["o-3", "2026-06-14T09:30:00.000000Z", null, null, null, null, ""],
    ]);
    check(&client, sql, expected).await;
    let lines = json!([["{\"line\":{\"sku\":\"a\",\"quantity\":\"1\"}}"]]);
    check(&client, "SELECT lines FROM orders WHERE id = 'o-1'", lines).await;
    let failed = json!([["placed_at", 0, "<order id=\"o-4\" placed_at=\"yesterday\"><total>4.00</total></order>"]]);
    check(&client, "SELECT \"column\", record_index, raw FROM orders_failed", failed).await;
    check(&client, "SELECT count(*) FROM order_lines_failed", json!([[0]])).await;
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_takes_its_own_format_and_says_so() {
    let deployment = Deployment::embedded();
    let server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(RESOURCES).await;
    for (stream, content_type, body, takes) in [
        ("orders", "application/json", "{}", "the stream takes XML: application/xml or text/xml"),
        ("events", "application/xml", "<a/>", "the stream takes JSON: application/json, application/x-ndjson"),
    ] {
        let answer = post(&client, stream, content_type, body).await;
        let problem = problem_of(answer, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
        assert!(problem["detail"].as_str().unwrap().contains(takes), "{problem}");
    }
    let answer = post(&client, "orders", "application/xml", "<orders>\n  <order></orders>").await;
    let problem = problem_of(answer, StatusCode::BAD_REQUEST).await;
    let place = "record 0 is not acceptable XML at line 2, column 10: expected `</order>`, but `</orders>` was found";
    assert_eq!(problem["errors"], json!([{"index": 0, "message": place}]));
    deployment.finish([server]).await;
}
