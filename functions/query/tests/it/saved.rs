//! Saved queries.

use axum::http::Method;
use freshet_model::ResourceKind;
use rstest::rstest;
use serde_json::{Value, json};

use crate::scene::{Call, Scene};

const PATH: &str = "/query/v0/queries/orders_of";

async fn scene() -> Scene {
    let scene = Scene::new().await;
    for (name, database, sql, parameters) in [
        (
            "orders_of",
            "retail",
            "SELECT order_id, revenue FROM orders WHERE email = $email ORDER BY order_id",
            json!({"email": "string"}),
        ),
        ("all_orders", "retail", "SELECT order_id FROM orders ORDER BY order_id", json!({})),
        ("ledger", "finance", "SELECT amount FROM ledger", json!({})),
    ] {
        let definition = json!({"database": database, "sql": sql, "parameters": parameters});
        scene.put(ResourceKind::Queries, name, &definition).await;
    }
    scene
}

fn get(scene: &Scene, path: &str) -> Call {
    Call::new(scene).method(Method::GET).path(path).without("content-type").raw("")
}

fn post(scene: &Scene, path: &str, body: &Value) -> Call {
    Call::new(scene).path(path).raw(&body.to_string())
}

#[tokio::test]
async fn a_saved_query_is_answered_as_its_sql_is() {
    let scene = scene().await;
    let asked = json!({"parameters": {"email": "bob@example.com"}});
    for call in [post(&scene, PATH, &asked), get(&scene, &format!("{PATH}?email=bob%40example.com"))] {
        let reply = call.send(&scene).await;
        let mut body = reply.json();
        body["statistics"]["elapsed_ms"] = json!(0);
        body["statistics"]["rows_read"] = json!(0);
        let expected = json!({
            "columns": [{"name": "order_id", "type": "string"}, {"name": "revenue", "type": "decimal(18,2)"}],
            "rows": [["a-2", 2_500_315.63]], "row_count": 1, "truncated": false, "as_of": "2026-06-14T12:00:00.000000Z",
            "statistics": {"elapsed_ms": 0, "rows_read": 0, "bytes_spilled": 0},
        });
        assert_eq!((reply.status, body), (200, expected));
        assert_eq!(
            (reply.header("content-type"), reply.header("x-as-of")),
            (Some("application/json"), Some("2026-06-14T12:00:00.000000Z"))
        );
    }
}

#[rstest]
#[case::csv("text/csv", "order_id\r\na-1\r\na-2\r\na-3\r\n")]
#[case::lines("application/x-ndjson", "{\"order_id\":\"a-1\"}\n{\"order_id\":\"a-2\"}\n{\"order_id\":\"a-3\"}\n")]
#[tokio::test]
async fn accept_picks_the_format(#[case] accept: &str, #[case] expected: &str) {
    let scene = scene().await;
    let path = "/query/v0/queries/all_orders";
    for call in [get(&scene, path), post(&scene, path, &json!({}))] {
        let reply = call.with("accept", accept).send(&scene).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, expected));
    }
}

#[tokio::test]
async fn rows_and_time_may_be_bounded() {
    let scene = scene().await;
    let path = "/query/v0/queries/all_orders";
    let bounded = json!({"limit": 2, "timeout_ms": 10_000, "consistency": "committed"});
    for call in [get(&scene, &format!("{path}?limit=2&timeout_ms=10000")), post(&scene, path, &bounded)] {
        let body = call.send(&scene).await.json();
        assert_eq!((&body["rows"], &body["truncated"]), (&json!([["a-1"], ["a-2"]]), &json!(true)));
    }
    let refused = get(&scene, &format!("{path}?limit=0")).send(&scene).await;
    refused.assert_problem(400, "limit is 0; it is 1 to 100000 rows");
    let refused = get(&scene, &format!("{path}?timeout_ms=soon")).send(&scene).await;
    refused.assert_problem(400, "timeout_ms is \"soon\"; it is a whole number");
}

/// What a parameter of a type is answered as, from JSON and from the text of a URL.
#[rstest]
#[case::string("string", json!("a'; DROP TABLE orders; --"), json!("a'; DROP TABLE orders; --"))]
#[case::number_as_string("string", json!(42), json!("42"))]
#[case::empty_string("string", json!(""), json!(""))]
#[case::boolean("boolean", json!(true), json!(true))]
#[case::boolean_in_text("boolean", json!("FALSE"), json!(false))]
#[case::integer("integer", json!(-42), json!(-42))]
#[case::integer_in_text("integer", json!(" 42 "), json!(42))]
#[case::double("double", json!(0.5), json!(0.5))]
#[case::decimal("decimal(9,2)", json!("1234567.89"), json!(1_234_567.89))]
#[case::whole_decimal("decimal(9,2)", json!(1_234_567), json!(1_234_567))]
#[case::date("date", json!("2026-06-14"), json!("2026-06-14"))]
#[case::timestamp("timestamp", json!("2026-06-14T02:00:00+02:00"), json!("2026-06-14T00:00:00.000000Z"))]
#[case::empty("integer", json!(""), Value::Null)]
#[tokio::test]
async fn a_value_is_taken_as_its_type_says(#[case] column_type: &str, #[case] value: Value, #[case] expected: Value) {
    let scene = scene().await;
    let definition = json!({"database": "retail", "sql": "SELECT $value AS v", "parameters": {"value": column_type}});
    scene.put(ResourceKind::Queries, "echo", &definition).await;
    let path = "/query/v0/queries/echo";
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let encoded = text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    let calls =
        [post(&scene, path, &json!({"parameters": {"value": value}})), get(&scene, &format!("{path}?value={encoded}"))];
    for call in calls {
        let reply = call.send(&scene).await;
        assert_eq!((reply.status, &reply.json()["rows"]), (200, &json!([[expected]])), "{}", reply.text());
    }
}

#[rstest]
#[case::boolean("boolean", json!(1), "parameter value is not a boolean, as true")]
#[case::fraction("integer", json!(1.5), "parameter value is not a integer, as 42")]
#[case::beyond("integer", json!("9223372036854775808"), "parameter value is not a integer, as 42")]
#[case::word("integer", json!("many"), "parameter value is not a integer, as 42")]
#[case::double("double", json!("much"), "parameter value is not a double, as 0.5")]
#[case::decimals("decimal(9,2)", json!("12.345"), "parameter value is not a decimal(9,2), as 79.99")]
#[case::digits("decimal(9,2)", json!(12_345_678.9), "parameter value is not a decimal(9,2), as 79.99")]
#[case::day("date", json!("14 June"), "parameter value is not a date, as \"2026-06-14\"")]
#[case::time("timestamp", json!(5), "parameter value is not a timestamp, as \"2026-06-14T00:24:16Z\"")]
#[case::nested("string", json!(["a"]), "parameter $value is an array or an object: a parameter is a string, a number, true, false or null")]
#[tokio::test]
async fn a_value_that_its_type_does_not_take_is_told(
    #[case] column_type: &str,
    #[case] value: Value,
    #[case] detail: &str,
) {
    let scene = scene().await;
    let definition = json!({"database": "retail", "sql": "SELECT $value AS v", "parameters": {"value": column_type}});
    scene.put(ResourceKind::Queries, "echo", &definition).await;
    let reply = post(&scene, "/query/v0/queries/echo", &json!({"parameters": {"value": value}})).send(&scene).await;
    reply.assert_problem(400, detail);
}

#[tokio::test]
async fn null_is_a_value() {
    let scene = scene().await;
    let reply = post(&scene, PATH, &json!({"parameters": {"email": null}})).send(&scene).await;
    assert_eq!((reply.status, &reply.json()["rows"]), (200, &json!([])));
}

#[rstest]
#[case::missing("", "parameter email is missing; it is a string")]
#[case::unknown("?emial=a&email=b", "the query has no parameter \"emial\"; did you mean \"email\"?")]
#[case::twice("?email=a&email=b", "\"email\" is in the URL more than once; send it once")]
#[tokio::test]
async fn parameters_are_those_that_are_declared(#[case] query: &str, #[case] detail: &str) {
    let scene = scene().await;
    get(&scene, &format!("{PATH}{query}")).send(&scene).await.assert_problem(400, detail);
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_told() {
    let scene = scene().await;
    let unknown = get(&scene, "/query/v0/queries/order_of").send(&scene).await;
    unknown.assert_problem(404, "tenant acme has no query \"order_of\"; did you mean \"orders_of\"?");
    let narrow = format!("Bearer {}", scene.narrow);
    let outside = get(&scene, "/query/v0/queries/ledger").with("authorization", &narrow).send(&scene).await;
    outside.assert_problem(403, "the token doesn't allow running query \"ledger\"");
    // A near name is one that the token may run.
    let unknown = get(&scene, "/query/v0/queries/ledge").with("authorization", &narrow).send(&scene).await;
    unknown.assert_problem(404, "tenant acme has no query \"ledge\"");
    let shop = format!("Bearer {}", scene.shop);
    let refused = get(&scene, PATH).with("authorization", &shop).send(&scene).await;
    refused.assert_problem(403, "the token lacks the scope tables:query");
    let anonymous = get(&scene, PATH).without("authorization").send(&scene).await;
    anonymous.assert_problem(401, "the header Authorization is missing; send Authorization: Bearer <token>");
    let other = post(&scene, PATH, &json!({})).method(Method::PUT).send(&scene).await;
    other.assert_problem(405, "the methods allowed here are GET, HEAD, POST");
    let text = post(&scene, PATH, &json!({})).with("content-type", "text/plain").send(&scene).await;
    text.assert_problem(415, "the content type is \"text/plain\"; supported is application/json");
    let html = get(&scene, &format!("{PATH}?email=a")).with("accept", "text/html").send(&scene).await;
    assert_eq!(html.status, 406);
}
