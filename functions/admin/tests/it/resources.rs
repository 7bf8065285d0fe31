//! Resources, one by one.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Setup, orders_table};

const NOW: &str = "2026-06-14T00:00:00Z";

#[tokio::test]
async fn a_resource_is_made_shown_changed_listed_and_deleted() {
    let setup = Setup::new().await;
    let made = setup.put("/admin/v0/streams/orders", &json!({"id": "is-2hzqsgX1E", "rate_limit": 5})).await;
    let expected = json!({
        "kind": "streams", "name": "orders", "etag": "\"2\"", "created_at": NOW, "updated_at": NOW,
        "definition": {"id": "is-2hzqsgX1E", "format": "json", "shards": 1, "rate_limit": 5},
    });
    assert_eq!((made.status, &made.body, made.header("etag")), (StatusCode::CREATED, &expected, "\"2\""));
    let shown = setup.get("/admin/v0/streams/orders").await;
    assert_eq!((shown.status, &shown.body, shown.header("etag")), (StatusCode::OK, &expected, "\"2\""));
    assert_eq!(shown.header("cache-control"), "no-store");

    let same = setup.put("/admin/v0/streams/orders", &expected["definition"]).await;
    assert_eq!((same.status, &same.body), (StatusCode::OK, &expected), "idempotent");
    let changed = setup.put("/admin/v0/streams/orders", &json!({"shards": 2})).await;
    let mut expected_now = expected.clone();
    expected_now["etag"] = json!("\"3\"");
    expected_now["definition"] = json!({"id": "is-2hzqsgX1E", "format": "json", "shards": 2});
    assert_eq!((changed.status, &changed.body), (StatusCode::OK, &expected_now));

    let listed = setup.get("/admin/v0/streams").await;
    assert_eq!((listed.status, listed.body), (StatusCode::OK, json!({"data": [expected_now]})));
    let deleted = setup.delete("/admin/v0/streams/orders").await;
    assert_eq!((deleted.status, deleted.body), (StatusCode::NO_CONTENT, Value::Null));
    let gone = setup.get("/admin/v0/streams/orders").await;
    gone.assert_problem(404, "not-found", "there is no such thing", "there is no stream \"orders\"", Value::Null);
    let gone = setup.delete("/admin/v0/streams/orders").await;
    gone.assert_problem(404, "not-found", "there is no such thing", "there is no stream \"orders\"", Value::Null);
}

#[tokio::test]
async fn a_table_says_from_when_on_it_takes_records() {
    let setup = Setup::new().await.with_orders().await;
    assert_eq!(setup.get("/admin/v0/tables/orders").await.body.get("start_at"), None);
    let mut table = orders_table();
    table["start"] = json!("tail");
    let made = setup.put("/admin/v0/tables/late", &table).await;
    assert_eq!(made.body["start_at"], json!(NOW));
}

#[tokio::test]
async fn a_table_shows_how_it_merges_and_what_deletes() {
    let setup = Setup::new().await.with_orders().await;
    let mut table = orders_table();
    table["merge"] = json!("patch");
    table["delete_when"] = json!("op = 'D'");
    let made = setup.put("/admin/v0/tables/patched", &table).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let shown = setup.get("/admin/v0/tables/patched").await.body["definition"].clone();
    assert_eq!((&shown["merge"], &shown["delete_when"]), (&json!("patch"), &json!("op = 'D'")));
    table["delete_when"] = json!("op LIKE 'D'");
    let refused = setup.put("/admin/v0/tables/patched", &table).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.to_string().contains("found LIKE, expected ="), "{}", refused.body);
    let plain = setup.get("/admin/v0/tables/orders").await.body["definition"].clone();
    assert!(plain.get("merge").is_none() && plain.get("delete_when").is_none(), "{plain}");
}

#[tokio::test]
async fn everything_wrong_is_told_at_once() {
    let setup = Setup::new().await.with_orders().await;
    let wrong = json!({"stream": "oders", "mode": "upsret", "key": ["id"], "colums": [], "columns": [{"name": "id", "type": "strin"}]});
    setup.put("/admin/v0/tables/t", &wrong).await.assert_problem(
        400,
        "bad-request",
        "the request is not right",
        "4 things are not right, so nothing was changed",
        json!([
            {"field": "mode", "message": "\"upsret\" is not known here; write upsert or append; did you mean \"upsert\"?"},
            {"field": "columns[0].type", "message": "unknown type \"strin\"; the types are string, boolean, integer, double, float, decimal(p,s), date, timestamp, datetime, json; did you mean \"string\"?"},
            {"field": "key[0]", "message": "there is no column id"},
            {"field": "colums", "message": "unknown field; did you mean \"columns\"?"},
        ]),
    );
    let mut table = orders_table();
    table["stream"] = json!("oders");
    table["databases"] = json!(["retial"]);
    setup.put("/admin/v0/tables/t", &table).await.assert_problem(
        400,
        "bad-request",
        "the request is not right",
        "2 things are not right, so nothing was changed",
        json!([
            {"field": "stream", "message": "there is no stream oders; did you mean \"orders\"?"},
            {"field": "databases[0]", "message": "there is no database retial; did you mean \"retail\"?"},
        ]),
    );
    let mut table = orders_table();
    table["columns"] = json!([{"name": "order_id", "type": "integer"}]);
    setup.put("/admin/v0/tables/orders", &table).await.assert_problem(
        400,
        "bad-request",
        "the request is not right",
        "one thing is not right, so nothing was changed",
        json!([{"field": "columns[0].type", "message": "of column order_id can't change in place; it is string. Make a new table on the same stream, with start = \"beginning\" to fill it with what the queue still has"}]),
    );
    setup.put("/admin/v0/databases/re%20tail", &json!({})).await.assert_problem(
        400,
        "bad-request",
        "the request is not right",
        "one thing is not right, so nothing was changed",
        json!([{"message": "\"re tail\" is not a name: 1 to 128 of A-Z, a-z, 0-9, _ and -, beginning with a letter or digit"}]),
    );
}

#[tokio::test]
async fn what_others_refer_to_stays() {
    let setup = Setup::new().await.with_orders().await;
    setup.delete("/admin/v0/streams/orders").await.assert_problem(
        409,
        "conflict",
        "the request contradicts what is there",
        "stream \"orders\" can't be deleted: tables.orders refers to it",
        Value::Null,
    );
}

#[tokio::test]
async fn preconditions_hold() {
    let setup = Setup::new().await;
    let title = "it has changed since";
    let put = |header: &'static str, value: String, description: &'static str| {
        setup
            .request(Method::PUT, "/admin/v0/databases/retail")
            .header(header, &value)
            .json(&json!({"description": description}))
            .send()
    };
    let absent = put("if-match", "\"7\"".to_owned(), "a").await;
    absent.assert_problem(412, "precondition-failed", title, "database \"retail\" is not there", Value::Null);
    let first = put("if-none-match", "*".to_owned(), "a").await;
    assert_eq!(first.status, StatusCode::CREATED);
    let there = put("if-none-match", "*".to_owned(), "a").await;
    there.assert_problem(412, "precondition-failed", title, "database \"retail\" exists already", Value::Null);
    let etag = first.header("etag").to_owned();
    assert_eq!(put("if-match", etag.clone(), "b").await.status, StatusCode::OK);
    let changed = put("if-match", etag.clone(), "c").await;
    changed.assert_problem(
        412,
        "precondition-failed",
        title,
        "database \"retail\" has changed since it was read",
        Value::Null,
    );
    let deleted = setup.request(Method::DELETE, "/admin/v0/databases/retail").header("if-match", &etag).send().await;
    deleted.assert_problem(
        412,
        "precondition-failed",
        title,
        "database \"retail\" has changed since it was read",
        Value::Null,
    );

    for (header, value, detail) in [
        (
            "if-match",
            "7",
            "the header If-Match is not an ETag of a resource; write it as it was received, quotes included, as \"17\"",
        ),
        ("if-none-match", "\"7\"", "the header If-None-Match is not *, the only value that is supported here"),
    ] {
        let refused = put(header, value.to_owned(), "a").await;
        refused.assert_problem(400, "bad-request", "the request is not right", detail, Value::Null);
    }
    let both = setup
        .request(Method::PUT, "/admin/v0/databases/retail")
        .header("if-match", "\"7\"")
        .header("if-none-match", "*")
        .json(&json!({}));
    let detail = "the headers If-Match and If-None-Match contradict each other; send one of them";
    both.send().await.assert_problem(400, "bad-request", "the request is not right", detail, Value::Null);
}
