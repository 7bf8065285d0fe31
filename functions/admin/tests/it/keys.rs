//! API keys and their secrets.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::Setup;

const NOW: &str = "2026-06-14T00:00:00Z";

/// Whether a token is given for a client id and secret.
async fn opens(setup: &Setup, id: &str, secret: &str) -> bool {
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let call = setup.anonymous(Method::POST, "/api/v0/oauth2/token").body("application/x-www-form-urlencoded", form);
    call.send().await.status == StatusCode::OK
}

#[tokio::test]
async fn a_key_is_made_shown_rotated_and_revoked() {
    let setup = Setup::new().await.with_orders().await;
    let made = setup
        .post("/admin/v0/api-keys", &json!({"name": "web-shop", "scopes": ["streams:write"], "streams": ["orders"]}))
        .await;
    assert_eq!((made.status, made.header("cache-control")), (StatusCode::CREATED, "no-store"));
    let (id, secret) = (made.body["client_id"].as_str().unwrap(), made.body["client_secret"].as_str().unwrap());
    assert_eq!(made.body, json!({"client_id": id, "client_secret": secret, "name": "web-shop"}));
    assert!(id.starts_with("ak-") && secret.starts_with("fsk_") && opens(&setup, id, secret).await);

    let mut view = json!({
        "kind": "api-keys", "name": "web-shop", "client_id": id, "created_at": NOW, "secret_created_at": NOW,
        "definition": {"scopes": ["streams:write"], "streams": ["orders"]},
    });
    for path in ["/admin/v0/api-keys/web-shop".to_owned(), format!("/admin/v0/api-keys/{id}")] {
        let shown = setup.get(&path).await;
        assert_eq!((shown.status, &shown.body), (StatusCode::OK, &view));
    }
    let listed = setup.get("/admin/v0/api-keys").await.body;
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][1]), (2, &view));

    let rotated = setup.request(Method::POST, "/admin/v0/api-keys/web-shop/rotate").send().await;
    let new_secret = rotated.body["client_secret"].as_str().unwrap();
    let until = "2026-07-14T00:00:00Z";
    let expected =
        json!({"client_id": id, "client_secret": new_secret, "name": "web-shop", "previous_valid_until": until});
    assert_eq!((rotated.status, &rotated.body), (StatusCode::OK, &expected));
    assert!(opens(&setup, id, secret).await && opens(&setup, id, new_secret).await);
    view["previous_valid_until"] = json!(until);
    assert_eq!(setup.get("/admin/v0/api-keys/web-shop").await.body, view);
    let dropped = setup.delete("/admin/v0/api-keys/web-shop/previous-secret").await;
    assert_eq!(dropped.status, StatusCode::NO_CONTENT);
    assert!(!opens(&setup, id, secret).await && opens(&setup, id, new_secret).await);

    assert_eq!(setup.delete("/admin/v0/api-keys/web-shop").await.status, StatusCode::NO_CONTENT);
    assert!(!opens(&setup, id, new_secret).await);
    setup.delete("/admin/v0/api-keys/web-shop").await.assert_problem(
        404,
        "not-found",
        "there is no such thing",
        "there is no API key \"web-shop\"",
        Value::Null,
    );
}

#[tokio::test]
async fn a_key_that_is_not_right_or_there_already_is_refused() {
    let setup = Setup::new().await.with_orders().await;
    let refused = "the request is not right";
    let wrong = json!({"name": "web shop", "scopes": ["streams:wrte"], "stream": ["orders"]});
    setup.post("/admin/v0/api-keys", &wrong).await.assert_problem(
        400,
        "bad-request",
        refused,
        "3 things are not right, so nothing was changed",
        json!([
            {"field": "name", "message": "\"web shop\" is not a name: 1 to 128 of A-Z, a-z, 0-9, _ and -, beginning with a letter or digit"},
            {"field": "scopes[0]", "message": "unknown scope \"streams:wrte\"; the scopes are streams:write, tables:query, profiles:read, tokens:issue, admin; did you mean \"streams:write\"?"},
            {"field": "stream", "message": "unknown field; did you mean \"streams\"?"},
        ]),
    );
    setup.post("/admin/v0/api-keys", &json!({})).await.assert_problem(
        400,
        "bad-request",
        refused,
        "2 things are not right, so nothing was changed",
        json!([
            {"field": "name", "message": "is missing; for example name = \"web-shop\""},
            {"field": "scopes", "message": "is missing; for example scopes = [\"streams:write\"]"},
        ]),
    );
    let unknown_stream = json!({"name": "k", "scopes": ["streams:write"], "streams": ["order"]});
    setup.post("/admin/v0/api-keys", &unknown_stream).await.assert_problem(
        400,
        "bad-request",
        refused,
        "one thing is not right, so nothing was changed",
        json!([{"field": "streams[0]", "message": "there is no stream order; did you mean \"orders\"?"}]),
    );
    setup.post("/admin/v0/api-keys", &json!({"name": "ops", "scopes": ["admin"]})).await.assert_problem(
        409,
        "conflict",
        "the request contradicts what is there",
        "there is an API key \"ops\" already; rotate makes it a new secret",
        Value::Null,
    );
    setup.post("/admin/v0/api-keys", &json!([])).await.assert_problem(
        400,
        "bad-request",
        refused,
        "one thing is not right, so nothing was changed",
        json!([{"message": "expected an object with name and scopes"}]),
    );
}

#[tokio::test]
async fn a_key_is_put_as_a_resource_and_gets_its_secret_by_rotation() {
    let setup = Setup::new().await;
    let put = setup.put("/admin/v0/api-keys/shop", &json!({"scopes": ["streams:write"]})).await;
    assert_eq!((put.status, &put.body["kind"]), (StatusCode::CREATED, &json!("api-keys")));
    let id = put.body["client_id"].as_str().unwrap();
    assert_eq!(setup.get("/admin/v0/api-keys/shop").await.body.get("secret_created_at"), None);
    let rotated = setup.request(Method::POST, &format!("/admin/v0/api-keys/{id}/rotate")).send().await;
    assert_eq!(rotated.body.get("previous_valid_until"), None);
    assert!(opens(&setup, id, rotated.body["client_secret"].as_str().unwrap()).await);
}

#[tokio::test]
async fn a_revoked_keys_token_is_refused() {
    let setup = Setup::new().await;
    let token = setup.key("second", json!({"scopes": ["admin"]})).await;
    let call = |token: &str| {
        setup.anonymous(Method::GET, "/admin/v0/streams").header("authorization", &format!("Bearer {token}"))
    };
    assert_eq!(call(&token).send().await.status, StatusCode::OK);
    setup.delete("/admin/v0/api-keys/second").await;
    call(&token).send().await.assert_problem(
        401,
        "unauthorized",
        "a valid bearer token is needed",
        "the token's key was revoked",
        Value::Null,
    );
}
