//! Every refusal of the contract, with its whole body.

use std::time::Duration;

use axum::http::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::scene::{Call, Reply, Scene};

async fn refusal(change: impl FnOnce(Call) -> Call) -> Reply {
    let scene = Scene::new().await;
    change(Call::new(&scene)).send(&scene).await
}

#[rstest]
#[case::missing(None, "the header Authorization is missing; send Authorization: Bearer <token>")]
#[case::other_scheme(Some("Basic c2hvcDpzZWNyZXQ="), "the header Authorization is not of the form: Bearer <token>")]
#[case::malformed(Some("Bearer s3cr3t"), "the token is malformed")]
#[tokio::test]
async fn without_a_valid_token_it_is_401(#[case] authorization: Option<&str>, #[case] detail: &str) {
    let reply = refusal(|call| match authorization {
        Some(value) => call.with("authorization", value).raw("no JSON"),
        None => call.without("authorization"),
    });
    reply.await.assert_problem(401, detail);
}

#[tokio::test]
async fn an_expired_token_is_401() {
    let scene = Scene::new().await;
    scene.advance(Duration::from_hours(1));
    Call::new(&scene).send(&scene).await.assert_problem(401, "the token has expired");
}

#[tokio::test]
async fn a_token_without_the_scope_is_403() {
    let scene = Scene::new().await;
    let shop = format!("Bearer {}", scene.shop);
    let reply = Call::new(&scene).with("authorization", &shop).send(&scene).await;
    reply.assert_problem(403, "the token lacks the scope tables:query");
}

#[tokio::test]
async fn another_tenant_is_403() {
    let reply = refusal(|call| call.with("x-amperity-tenant", "globex")).await;
    reply.assert_problem(403, "the token is not one of tenant globex");
}

#[rstest]
#[case::there("finance")]
#[case::not_there("finanze")]
#[tokio::test]
async fn a_database_outside_of_the_grant_is_403_whether_it_is_there_or_not(#[case] database: &str) {
    let scene = Scene::new().await;
    let narrow = format!("Bearer {}", scene.narrow);
    let reply = Call::new(&scene).with("authorization", &narrow).field("database", json!(database)).send(&scene).await;
    reply.assert_problem(403, &format!("the token doesn't allow querying database {database}"));
}

#[rstest]
#[case("retial", "; did you mean \"retail\"?")]
#[case("Retail", "; did you mean \"retail\"?")]
#[case("warehouse", "")]
#[tokio::test]
async fn an_unknown_database_is_404(#[case] database: &str, #[case] hint: &str) {
    let reply = refusal(|call| call.field("database", json!(database))).await;
    reply.assert_problem(404, &format!("tenant acme has no database {database}{hint}"));
}

#[rstest]
#[case::method(Method::GET, "/query/v0/sql", 405, "the methods allowed here are POST")]
#[case::path(Method::POST, "/query/v0/sq1", 404, "there is nothing at this path; /openapi.json lists what there is")]
#[tokio::test]
async fn another_method_or_path(#[case] method: Method, #[case] path: &str, #[case] status: u16, #[case] detail: &str) {
    let reply = refusal(|call| call.method(method).path(path)).await;
    reply.assert_problem(status, detail);
    assert_eq!(reply.header("allow"), (status == 405).then_some("POST"));
}

#[rstest]
#[case::missing(None, "the header Content-Type is missing; supported is application/json")]
#[case::other(Some("text/plain"), "the content type is \"text/plain\"; supported is application/json")]
#[tokio::test]
async fn another_content_type_is_415(#[case] content_type: Option<&str>, #[case] detail: &str) {
    let reply = refusal(|call| match content_type {
        Some(value) => call.with("content-type", value),
        None => call.without("content-type"),
    });
    reply.await.assert_problem(415, detail);
}

#[rstest]
#[case::empty("", "the body is empty; expected a JSON document")]
#[case::no_json("{", "the body is not the JSON that is expected here: EOF while parsing an object at line 1 column 1")]
#[case::no_database(
    r#"{"sql": "SELECT 1"}"#,
    "the body is not the JSON that is expected here: missing field `database` at line 1 column 19"
)]
#[case::no_sql(
    r#"{"database": "retail"}"#,
    "the body is not the JSON that is expected here: missing field `sql` at line 1 column 22"
)]
#[case::unknown_field(
    r#"{"database": "retail", "sql": "SELECT 1", "limits": 1}"#,
    "the body is not the JSON that is expected here: unknown field `limits`, expected one of `database`, `sql`, `parameters`, `limit`, `timeout_ms`, `consistency` at line 1 column 50"
)]
#[case::other_type(
    r#"{"database": "retail", "sql": 1}"#,
    "the body is not the JSON that is expected here: invalid type: integer `1`, expected a string at line 1 column 31"
)]
#[case::other_consistency(
    r#"{"database": "retail", "sql": "SELECT 1", "consistency": "accepted"}"#,
    "the body is not the JSON that is expected here: unknown variant `accepted`, expected `committed` at line 1 column 67"
)]
#[tokio::test]
async fn a_malformed_body_is_400(#[case] body: &str, #[case] detail: &str) {
    refusal(|call| call.raw(body)).await.assert_problem(400, detail);
}

#[rstest]
#[case("limit", json!(0), "limit is 0; it is 1 to 100000 rows")]
#[case("limit", json!(100_001), "limit is 100001; it is 1 to 100000 rows")]
#[case("timeout_ms", json!(0), "timeout_ms is 0; it is 1 to 25000 ms here")]
#[case("timeout_ms", json!(25_001), "timeout_ms is 25001; it is 1 to 25000 ms here")]
#[case("parameters", json!(1), "parameters is neither an array, as [1, \"a\"], nor an object, as {\"name\": 1}")]
#[case("parameters", json!([1]), "parameters has a value for $1, which the query does not use")]
#[case("database", json!(""), "database: \"\" is not a name: 1 to 128 of A-Z, a-z, 0-9, _ and -, beginning with a letter or digit")]
#[tokio::test]
async fn a_field_out_of_its_bounds_is_400(#[case] field: &str, #[case] value: Value, #[case] detail: &str) {
    refusal(|call| call.field(field, value)).await.assert_problem(400, detail);
}

#[rstest]
#[case::not_a_select(
    "DROP TABLE orders",
    "found DROP at line 1, column 1: write exactly one SELECT (WITH and set operations of SELECTs are allowed)"
)]
#[case::two(
    "SELECT 1;\nSELECT 2",
    "found a second statement at line 2, column 1: write exactly one SELECT (WITH and set operations of SELECTs are allowed)"
)]
#[case::syntax("SELECT *\nFROM orders WHERE", "expected: an expression, found: EOF at line 2, column 18")]
#[case::too_complex("SELECT 1", "")]
#[case::unknown_table("SELECT 1 FROM odrers", "unknown table \"odrers\"; did you mean \"orders\"?")]
#[case::of_another_database("SELECT 1 FROM ledger", "unknown table \"ledger\"")]
#[case::of_another_name("SELECT 1 FROM retail.orders", "unknown table \"retail.orders\"; did you mean \"orders\"?")]
#[case::a_file("SELECT * FROM 'file:///etc/passwd'", "unknown table \"file:///etc/passwd\"")]
#[case::unknown_column("SELECT emial FROM orders", "unknown column \"emial\"; did you mean \"email\"?")]
#[case::hidden_column("SELECT _offset FROM orders", "unknown column \"_offset\"")]
#[case::missing_parameter("SELECT $1", "the query's parameter $1 has no value in parameters")]
#[case::unknown_function("SELECT flor(1)", "invalid function 'flor'. Did you mean 'floor'?")]
#[case::data("SELECT 1 / 0", "division by zero")]
#[tokio::test]
async fn a_query_that_is_not_right_is_400(#[case] sql: &str, #[case] detail: &str) {
    let (sql, detail) = match detail {
        "" => (
            format!("{sql}{}", "+1".repeat(2_001)),
            "the query is too complex: it has 2002 operators and keywords, at most 2000 are read; lists of values don't count: write IN (…) for many comparisons",
        ),
        told => (sql.to_owned(), told),
    };
    refusal(|call| call.sql(&sql)).await.assert_problem(400, detail);
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_408() {
    let sql = "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b WHERE a.value + b.value < 0";
    let reply = refusal(|call| call.sql(sql).field("timeout_ms", json!(250))).await;
    reply.assert_problem(
        408,
        "the query did not end within 250 ms: select fewer rows, columns or tables, or filter earlier",
    );
}

#[tokio::test]
async fn a_query_of_too_much_memory_is_413() {
    let reply = refusal(|call| call.sql("SELECT array_agg(value) FROM generate_series(1, 100000000)")).await;
    reply.assert_problem(
        413,
        "the query needs more memory than it may take: filter earlier, group by fewer values, or join on a more selective condition",
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let reply = refusal(|call| call.raw(&" ".repeat(4 * 1_024 * 1_024 + 1))).await;
    reply.assert_problem(413, "the body has more than 4,194,304 bytes, the most that a request may have");
}
