//! Sets of resources.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::Setup;

const SHOP: &str = r#"tenant = "acme"

[streams.orders]
id = "is-2hzqsgX1E"

[databases.retail]

[tables.orders]
stream = "orders"
databases = ["retail"]
key = ["order_id"]
columns = [{ name = "order_id", type = "string" }]
"#;

async fn apply(setup: &Setup, query: &str, toml: &str) -> crate::support::Answer {
    let path = format!("/admin/v0/apply{query}");
    setup.request(Method::POST, &path).body("application/toml", toml.to_owned()).send().await
}

#[tokio::test]
async fn a_file_is_planned_applied_and_then_unchanged() {
    let setup = Setup::new().await;
    let plan = |applied: bool, action: &str| {
        json!({"applied": applied, "tenant": "acme", "resources": [
            {"kind": "streams", "name": "orders", "action": action},
            {"kind": "databases", "name": "retail", "action": action},
            {"kind": "tables", "name": "orders", "action": action},
        ]})
    };
    let planned = apply(&setup, "?dry_run=true", SHOP).await;
    assert_eq!((planned.status, planned.body), (StatusCode::OK, plan(false, "create")));
    assert_eq!(setup.get("/admin/v0/streams").await.body, json!({"data": []}));
    let applied = apply(&setup, "", SHOP).await;
    assert_eq!((applied.status, applied.body), (StatusCode::OK, plan(true, "create")));
    let again = apply(&setup, "", SHOP).await;
    assert_eq!((again.status, again.body), (StatusCode::OK, plan(true, "unchanged")));
    let as_json = json!({"streams": {"orders": {"rate_limit": 5}}});
    let changed = setup.post("/admin/v0/apply", &as_json).await;
    assert_eq!(
        changed.body,
        json!({"applied": true, "tenant": "acme", "resources": [
            {"kind": "streams", "name": "orders", "action": "change", "details": ["rate_limit: not set → 5"]},
        ]})
    );
}

#[tokio::test]
async fn a_file_that_is_not_right_is_refused_with_lines_and_columns() {
    let setup = Setup::new().await;
    let wrong = "[streams.orders]\nshard = 2\n\n[tables.orders]\nstream = \"orders\"\nmode = \"append\"\ncolumns = [\n  { name = \"x\", type = \"strng\" },\n]\n";
    for query in ["", "?dry_run=true"] {
        apply(&setup, query, wrong).await.assert_problem(
            400,
            "bad-request",
            "the request is not right",
            "2 things are not right, so nothing was changed",
            json!([
                {"field": "streams.orders.shard", "message": "line 2, column 1: unknown field; did you mean \"shards\"?"},
                {"field": "tables.orders.columns[0].type", "message": "line 8, column 17: unknown type \"strng\"; the types are string, boolean, integer, double, float, decimal(p,s), date, timestamp, datetime, json; did you mean \"string\"?"},
            ]),
        );
    }
    let answer = apply(&setup, "", "[streams").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer.body["errors"][0]["message"].as_str().unwrap().starts_with("line 1, column 9: is not TOML"),
        "{}",
        answer.body
    );
    let answer = setup.request(Method::POST, "/admin/v0/apply").body("application/toml", vec![0xff]).send().await;
    answer.assert_problem(400, "bad-request", "the request is not right", "the body is not UTF-8", Value::Null);
}

#[tokio::test]
async fn a_plan_that_refuses_something_changes_nothing() {
    let setup = Setup::new().await;
    let file = json!({"tenant": "other", "streams": {"a": {}}, "tables": {"t": {"stream": "b", "mode": "append", "columns": [{"name": "x", "type": "json"}]}}});
    let planned = setup.post("/admin/v0/apply?dry_run=true", &file).await;
    assert_eq!(
        planned.body,
        json!({"applied": false, "tenant": "acme",
            "resources": [
                {"kind": "streams", "name": "a", "action": "create"},
                {"kind": "tables", "name": "t", "action": "refuse", "problems": [
                    {"field": "tables.t.stream", "message": "there is no stream b; did you mean \"a\"?"}]},
            ],
            "problems": [{"field": "tenant", "message": "the file is for tenant other, and this call for acme"}],
        })
    );
    setup.post("/admin/v0/apply", &file).await.assert_problem(
        400,
        "bad-request",
        "the request is not right",
        "2 things are not right, so nothing was changed",
        json!([
            {"field": "tenant", "message": "the file is for tenant other, and this call for acme"},
            {"field": "tables.t.stream", "message": "there is no stream b; did you mean \"a\"?"},
        ]),
    );
    assert_eq!(setup.get("/admin/v0/streams").await.body, json!({"data": []}));
}

#[tokio::test]
async fn pruning_never_deletes_the_callers_own_key() {
    let setup = Setup::new().await.with_orders().await;
    let file = json!({"api-keys": {"shop": {"scopes": ["streams:write"]}}});
    for query in ["?prune=true", "?prune=true&dry_run=true"] {
        setup.post(&format!("/admin/v0/apply{query}"), &file).await.assert_problem(
            409,
            "conflict",
            "the request contradicts what is there",
            "this would delete the API key \"ops\", with which the call was made; add it to the file, or revoke it by itself",
            Value::Null,
        );
    }
    let pruned = setup.post("/admin/v0/apply?prune=true", &json!({"streams": {"orders": {}}})).await;
    assert_eq!(
        pruned.body,
        json!({"applied": true, "tenant": "acme", "resources": [
            {"kind": "streams", "name": "orders", "action": "unchanged"},
            {"kind": "databases", "name": "retail", "action": "delete"},
            {"kind": "tables", "name": "orders", "action": "delete"},
        ]})
    );
}

#[tokio::test]
async fn unknown_options_are_refused() {
    let setup = Setup::new().await;
    for query in ["?dryrun=true", "?dry_run=yes", "?dry_run"] {
        apply(&setup, query, SHOP).await.assert_problem(
            400,
            "bad-request",
            "the request is not right",
            "the query is not right; it may hold dry_run and prune, each true or false",
            Value::Null,
        );
    }
    assert_eq!(setup.get("/admin/v0/streams").await.body, json!({"data": []}));
}
