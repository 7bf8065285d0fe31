//! Tokens issued to the bearer of another token.

use axum::http::{Method, StatusCode};
use freshet_model::Scope;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Answer, Setup, now};

const END: &str = "2026-06-14T00:24:16Z";

async fn issue(setup: &Setup, token: &str, key: &str, body: &Value) -> Answer {
    let path = format!("/api/v0/admin/api-keys/{key}/tokens");
    setup.anonymous(Method::POST, &path).header("authorization", &format!("Bearer {token}")).json(body).send().await
}

async fn scopes(setup: &Setup, answer: &Answer) -> Vec<Scope> {
    let token = answer.body["token"].as_str().unwrap();
    setup.context.access.verify(token, now()).await.unwrap().scopes
}

#[tokio::test]
async fn an_issuer_gives_any_keys_tokens_with_all_the_keys_scopes() {
    let setup = Setup::new().await;
    let issuer = setup.key("issuer", json!({"scopes": ["tokens:issue"]})).await;
    setup.key("shop", json!({"scopes": ["streams:write", "tables:query"]})).await;
    let id = setup.id("shop").await;
    for key in [id.as_str(), "shop"] {
        let answer = issue(&setup, &issuer, key, &json!({"expires-at": "2026-06-14T02:24:16.789+02:00"})).await;
        let token = answer.body["token"].as_str().unwrap().to_owned();
        assert_eq!((answer.status, &answer.body), (StatusCode::CREATED, &json!({"token": token, "expires-at": END})));
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(scopes(&setup, &answer).await, [Scope::StreamsWrite, Scope::TablesQuery]);
    }
}

#[tokio::test]
async fn a_key_refreshes_itself_with_no_more_than_the_token_it_sent() {
    let setup = Setup::new().await;
    setup.key("shop", json!({"scopes": ["streams:write", "tables:query"]})).await;
    let key = setup.context.access.key(&setup.tenant, "shop").await.unwrap();
    let end = now() + jiff::SignedDuration::from_hours(1);
    let narrow = setup.context.access.issue(&setup.tenant, &key, &[Scope::StreamsWrite], end, now()).unwrap();
    let narrow = secrecy::ExposeSecret::expose_secret(&narrow).to_owned();
    let answer = issue(&setup, &narrow, key.id.as_str(), &json!({"expires-at": END})).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(scopes(&setup, &answer).await, [Scope::StreamsWrite]);
}

#[tokio::test]
async fn an_issuer_that_is_no_admin_gets_no_admins_token() {
    let setup = Setup::new().await;
    let issuer = setup.key("issuer", json!({"scopes": ["tokens:issue"]})).await;
    issue(&setup, &issuer, "ops", &json!({"expires-at": END})).await.assert_problem(
        403,
        "forbidden",
        "the token doesn't allow this",
        "the API key has the scope admin or tokens:issue; issuing for such a key, unless it is the token's own, takes admin besides tokens:issue",
        Value::Null,
    );
    let both = setup.key("both", json!({"scopes": ["admin", "tokens:issue"]})).await;
    let answer = issue(&setup, &both, "ops", &json!({"expires-at": END})).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(scopes(&setup, &answer).await, [Scope::Admin]);
}

#[tokio::test]
async fn a_key_that_refreshes_itself_is_told_until_when_it_may() {
    let setup = Setup::new().await;
    // Valid for an hour.
    let shop = setup.key("shop", json!({"scopes": ["streams:write"]})).await;
    let answer = issue(&setup, &shop, "shop", &json!({"expires-at": "2027-06-14T00:00:00Z"})).await;
    let token = answer.body["token"].as_str().unwrap();
    let expected = json!({"token": token, "expires-at": "2026-06-14T01:00:00Z"});
    assert_eq!((answer.status, &answer.body), (StatusCode::CREATED, &expected));
    let end = now() + jiff::SignedDuration::from_hours(1);
    assert!(setup.context.access.verify(token, end).await.is_err());
}

#[rstest]
#[case::an_admin("admin", "shop")]
#[case::a_writer("streams:write", "ops")]
#[case::a_key_that_is_not_there("streams:write", "ak-000000000000")]
#[tokio::test]
async fn others_keys_need_the_scope_tokens_issue(#[case] scope: &str, #[case] key: &str) {
    let setup = Setup::new().await;
    setup.key("shop", json!({"scopes": ["streams:write"]})).await;
    let token = setup.key("caller", json!({"scopes": [scope]})).await;
    issue(&setup, &token, key, &json!({"expires-at": END})).await.assert_problem(
        403,
        "forbidden",
        "the token doesn't allow this",
        "the token lacks the scope tokens:issue, and the API key is not its own",
        Value::Null,
    );
}

#[tokio::test]
async fn a_key_that_is_not_there_is_404_and_no_token_is_401() {
    let setup = Setup::new().await;
    let issuer = setup.key("issuer", json!({"scopes": ["tokens:issue"]})).await;
    let detail = "there is no API key \"ak-000000000000\"";
    let answer = issue(&setup, &issuer, "ak-000000000000", &json!({"expires-at": END})).await;
    answer.assert_problem(404, "not-found", "there is no such thing", detail, Value::Null);
    let answer = setup.anonymous(Method::POST, "/api/v0/admin/api-keys/ops/tokens").json(&json!({})).send().await;
    let detail = "the header Authorization is missing; send Authorization: Bearer <token>";
    answer.assert_problem(401, "unauthorized", "a valid bearer token is needed", detail, Value::Null);
    let path = "/api/v0/admin/api-keys/issuer/tokens";
    let call = setup.anonymous(Method::POST, path).header("authorization", &format!("Bearer {issuer}"));
    let answer = call.header("x-tenant", "other").json(&json!({"expires-at": END})).send().await;
    let detail = "the token is not one of tenant other";
    answer.assert_problem(403, "forbidden", "the token doesn't allow this", detail, Value::Null);
}

#[rstest]
#[case::missing(json!({}), "expires-at", "is missing; for example expires-at = \"2026-06-14T00:24:16Z\"")]
#[case::unreadable(json!({"expires-at": "tomorrow"}), "expires-at", "is not a time; write it as 2026-06-14T00:24:16Z")]
#[case::no_zone(json!({"expires-at": "2026-06-14T00:24:16"}), "expires-at", "is not a time; write it as 2026-06-14T00:24:16Z")]
#[case::a_number(json!({"expires-at": 1_781_396_656}), "expires-at", "expected a text, found a number")]
#[case::past(json!({"expires-at": "2026-06-13T23:59:59Z"}), "expires-at", "is past; name a time ahead, as 2026-06-14T00:24:16Z")]
#[case::now(json!({"expires-at": "2026-06-14T00:00:00Z"}), "expires-at", "is past; name a time ahead, as 2026-06-14T00:24:16Z")]
#[case::too_far(json!({"expires-at": "2027-06-16T00:00:00Z"}), "expires-at", "is more than 366 days ahead; a token is valid for at most that")]
#[case::unknown_field(json!({"expires-at": "2026-06-14T00:24:16Z", "scopes": ["admin"]}), "scopes", "unknown field; the fields here are expires-at")]
#[tokio::test]
async fn expiries_that_cant_be_are_refused(#[case] body: Value, #[case] field: &str, #[case] message: &str) {
    let setup = Setup::new().await;
    let answer = issue(&setup, &setup.token, "ops", &body).await;
    answer.assert_problem(
        400,
        "bad-request",
        "the request is not right",
        "one thing is not right, so nothing was changed",
        json!([{"field": field, "message": message}]),
    );
}
