//! What there is to query.

use axum::http::Method;
use freshet_model::ResourceKind;
use rstest::rstest;
use serde_json::{Value, json};

use crate::scene::{Call, Reply, Scene};

async fn get(scene: &Scene, token: &str, path: &str) -> Reply {
    let call = Call::new(scene).method(Method::GET).path(path).without("content-type").raw("");
    call.with("authorization", &format!("Bearer {token}")).send(scene).await
}

/// With an external table and one made by SQL besides.
async fn scene() -> Scene {
    let scene = Scene::new().await;
    let definition = json!({
        "description": "orders and people",
        "external": [{"name": "people", "location": "people.csv", "format": "csv"}],
        "tables": [{"name": "totals", "sql": "SELECT count(*) AS orders FROM orders"}],
    });
    scene.put(ResourceKind::Databases, "retail", &definition).await;
    scene
}

#[tokio::test]
async fn databases_are_those_of_the_grant() {
    let scene = scene().await;
    let retail = json!({"name": "retail", "description": "orders and people"});
    let all = json!({"data": [{"name": "finance", "description": ""}, retail]});
    let reply = get(&scene, &scene.analyst, "/query/v0/databases").await;
    assert_eq!((reply.status, reply.json()), (200, all));
    let reply = get(&scene, &scene.narrow, "/query/v0/databases").await;
    assert_eq!((reply.status, reply.json()), (200, json!({"data": [retail]})));
}

#[tokio::test]
async fn tables_are_of_four_kinds() {
    let scene = scene().await;
    let reply = get(&scene, &scene.narrow, "/query/v0/databases/retail/tables").await;
    let table = |name: &str, kind: &str| json!({"name": name, "kind": kind});
    let expected = json!({"data": [
        table("Visits", "real_time"), table("Visits_failed", "failed"), table("orders", "real_time"),
        table("orders_failed", "failed"), table("people", "external"), table("totals", "sql"),
    ]});
    assert_eq!((reply.status, reply.json()), (200, expected));
}

#[rstest]
#[case::real_time("orders", json!({"name": "orders", "kind": "real_time", "columns": [
    {"name": "order_id", "type": "string"}, {"name": "email", "type": "string"}, {"name": "revenue", "type": "decimal(18,2)"},
    {"name": "ordered_at", "type": "timestamp"}, {"name": "items", "type": "json"}, {"name": "received_at", "type": "timestamp"},
    {"name": "written_at", "type": "timestamp"}, {"name": "request_id", "type": "string"},
]}))]
#[case::external("people", json!({"name": "people", "kind": "external", "columns": [
    {"name": "id", "type": "string"}, {"name": "zip", "type": "string"},
]}))]
#[tokio::test]
async fn a_table_has_its_columns(#[case] table: &str, #[case] expected: Value) {
    let scene = scene().await;
    scene.external("people.csv", "id,zip\n1,00042\n");
    let reply = get(&scene, &scene.narrow, &format!("/query/v0/databases/retail/tables/{table}")).await;
    assert_eq!((reply.status, reply.json()), (200, expected));
    assert_eq!(scene.rows("SELECT zip FROM people").await, json!([["00042"]]));
}

#[rstest]
#[case::not_made(
    "retail/tables/totals",
    400,
    "table totals has not been made yet: run the database, as with freshet databases run retail"
)]
#[case::no_files("retail/tables/people", 400, "external table people has no csv files at its location")]
#[case::table(
    "retail/tables/order",
    404,
    "database retail of tenant acme has no table \"order\"; did you mean \"orders\"?"
)]
#[case::database("retial/tables", 404, "tenant acme has no database retial; did you mean \"retail\"?")]
#[case::table_of_it("retial/tables/orders", 404, "tenant acme has no database retial; did you mean \"retail\"?")]
#[case::no_name(
    "re%20tail/tables",
    400,
    "database: \"re tail\" is not a name: 1 to 128 of A-Z, a-z, 0-9, _ and -, beginning with a letter or digit"
)]
#[tokio::test]
async fn what_is_not_there_is_told(#[case] path: &str, #[case] status: u16, #[case] detail: &str) {
    let scene = scene().await;
    let reply = get(&scene, &scene.analyst, &format!("/query/v0/databases/{path}")).await;
    reply.assert_problem(status, detail);
}

#[tokio::test]
async fn who_may_not_query_sees_nothing() {
    let scene = scene().await;
    for path in ["finance/tables", "finance/tables/ledger", "nothing/tables"] {
        let database = path.split('/').next().unwrap();
        let reply = get(&scene, &scene.narrow, &format!("/query/v0/databases/{path}")).await;
        reply.assert_problem(403, &format!("the token doesn't allow querying database {database}"));
    }
    for path in ["", "/retail/tables", "/retail/tables/orders"] {
        let reply = get(&scene, &scene.shop, &format!("/query/v0/databases{path}")).await;
        reply.assert_problem(403, "the token lacks the scope tables:query");
    }
    let posted = Call::new(&scene).path("/query/v0/databases").send(&scene).await;
    posted.assert_problem(405, "the methods allowed here are GET, HEAD");
}

#[tokio::test]
async fn a_query_of_a_table_that_is_not_made_says_what_to_run() {
    let scene = scene().await;
    let reply = Call::new(&scene).sql("SELECT * FROM totals").send(&scene).await;
    reply.assert_problem(
        400,
        "table totals has not been made yet: run the database, as with freshet databases run retail",
    );
}
