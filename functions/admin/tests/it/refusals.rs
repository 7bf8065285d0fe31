//! What every call refuses, whatever it is about.

use axum::http::{Method, StatusCode};
use freshet_model::TenantId;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Setup, orders_table};

const CALLS: [(Method, &str); 15] = [
    (Method::GET, "/admin/v0/streams"),
    (Method::GET, "/admin/v0/streams/orders"),
    (Method::PUT, "/admin/v0/streams/orders"),
    (Method::DELETE, "/admin/v0/streams/orders"),
    (Method::POST, "/admin/v0/apply"),
    (Method::GET, "/admin/v0/api-keys"),
    (Method::POST, "/admin/v0/api-keys"),
    (Method::GET, "/admin/v0/api-keys/ops"),
    (Method::PUT, "/admin/v0/api-keys/ops"),
    (Method::DELETE, "/admin/v0/api-keys/ops"),
    (Method::POST, "/admin/v0/api-keys/ops/rotate"),
    (Method::DELETE, "/admin/v0/api-keys/ops/previous-secret"),
    (Method::GET, "/admin/v0/streams/orders/sample"),
    (Method::GET, "/admin/v0/status"),
    (Method::GET, "/admin/v0/runs"),
];

#[tokio::test]
async fn without_a_token_nothing_is_done() {
    let setup = Setup::new().await;
    for (method, path) in CALLS {
        let answer = setup.anonymous(method.clone(), path).json(&json!({})).send().await;
        answer.assert_problem(
            401,
            "unauthorized",
            "a valid bearer token is needed",
            "the header Authorization is missing; send Authorization: Bearer <token>",
            Value::Null,
        );
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{method} {path}");
    }
}

#[tokio::test]
async fn without_the_scope_admin_nothing_is_done() {
    let setup = Setup::new().await;
    let scopes = json!({"scopes": ["streams:write", "tables:query", "profiles:read", "tokens:issue"]});
    let token = setup.key("others", scopes).await;
    for (method, path) in CALLS {
        let call = setup.anonymous(method, path).header("authorization", &format!("Bearer {token}"));
        call.json(&json!({})).send().await.assert_problem(
            403,
            "forbidden",
            "the token doesn't allow this",
            "the token lacks the scope admin",
            Value::Null,
        );
    }
}

#[tokio::test]
async fn another_tenant_in_the_header_is_refused() {
    let setup = Setup::new().await;
    for (method, path) in CALLS {
        let call = setup.request(method, path).header("x-amperity-tenant", "other").json(&json!({}));
        call.send().await.assert_problem(
            403,
            "forbidden",
            "the token doesn't allow this",
            "the token is not one of tenant other",
            Value::Null,
        );
    }
    let own = setup.request(Method::GET, "/admin/v0/streams").header("x-tenant", "acme").send().await;
    assert_eq!(own.status, StatusCode::OK);
}

#[tokio::test]
async fn an_admin_sees_its_own_tenant_only() {
    let mut other = Setup::new().await.with_orders().await;
    other.tenant = TenantId::parse("other").unwrap();
    other.token = other.key("ops", json!({"scopes": ["admin"]})).await;
    for kind in ["streams", "databases", "tables"] {
        assert_eq!(other.get(&format!("/admin/v0/{kind}")).await.body, json!({"data": []}));
        let shown = other.get(&format!("/admin/v0/{kind}/orders")).await;
        assert_eq!(shown.status, StatusCode::NOT_FOUND);
    }
    for stream in ["orders", "is-2hzqsgX1E"] {
        let sampled = other.get(&format!("/admin/v0/streams/{stream}/sample")).await;
        assert_eq!(sampled.status, StatusCode::NOT_FOUND);
    }
    let refused = other.put("/admin/v0/tables/orders", &orders_table()).await;
    assert_eq!(refused.body["errors"][0]["message"], "there is no stream orders");
    assert_eq!(other.get("/admin/v0/status").await.body, json!({"tables": [], "streams": []}));
}

#[rstest]
#[case(Method::PUT, "/admin/v0/databases/retail", "supported is application/json")]
#[case(Method::POST, "/admin/v0/api-keys", "supported is application/json")]
#[case(Method::POST, "/api/v0/admin/api-keys/ops/tokens", "supported is application/json")]
#[case(Method::POST, "/admin/v0/apply", "supported is application/json or application/toml")]
#[tokio::test]
async fn bodies_of_other_types_are_refused(#[case] method: Method, #[case] path: &str, #[case] says: &str) {
    let setup = Setup::new().await;
    let title = "the content's type or encoding is not supported";
    let call = setup.request(method.clone(), path).body("text/yaml; charset=utf-8", "a: 1");
    let detail = format!("the content type is \"text/yaml\"; {says}");
    call.send().await.assert_problem(415, "unsupported-media-type", title, &detail, Value::Null);
    let detail = format!("the header Content-Type is missing; {says}");
    setup.request(method, path).send().await.assert_problem(415, "unsupported-media-type", title, &detail, Value::Null);
}

#[rstest]
#[case("", "the body is empty; expected a JSON document")]
#[case("{\"a\": }", "the body is not the JSON that is expected here: expected value at line 1 column 7")]
#[tokio::test]
async fn bodies_that_are_no_json_are_refused(#[case] body: &'static str, #[case] detail: &str) {
    let setup = Setup::new().await;
    for (method, path) in [
        (Method::PUT, "/admin/v0/databases/retail"),
        (Method::POST, "/admin/v0/api-keys"),
        (Method::POST, "/api/v0/admin/api-keys/ops/tokens"),
        (Method::POST, "/admin/v0/apply"),
    ] {
        let answer = setup.request(method, path).body("application/json", body).send().await;
        answer.assert_problem(400, "bad-request", "the request is not right", detail, Value::Null);
    }
}

#[tokio::test]
async fn huge_bodies_are_refused() {
    let setup = Setup::new().await;
    for content_type in ["application/json", "application/toml"] {
        let call = setup.request(Method::POST, "/admin/v0/apply").body(content_type, vec![b' '; 4_194_305]);
        let detail = "the body has more than 4,194,304 bytes, the most that a request may have";
        call.send().await.assert_problem(413, "too-large", "a limit is exceeded", detail, Value::Null);
    }
}

#[rstest]
#[case::near("stream", "; did you mean \"streams\"?")]
#[case::later("feeds", "")]
#[case::other("..%2fstreams", "")]
#[tokio::test]
async fn unknown_kinds_are_not_there(#[case] kind: &str, #[case] hint: &str) {
    let setup = Setup::new().await;
    let shown = kind.replace("%2f", "/");
    let detail = format!(
        "unknown kind of resource {shown:?}; the kinds are streams, databases, tables, queries, indexes, activations, api-keys{hint}"
    );
    for path in [format!("/admin/v0/{kind}"), format!("/admin/v0/{kind}/x")] {
        setup.get(&path).await.assert_problem(404, "not-found", "there is no such thing", &detail, Value::Null);
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_are_allowed() {
    let setup = Setup::new().await;
    let answer = setup.request(Method::PATCH, "/admin/v0/apply").send().await;
    answer.assert_problem(
        405,
        "method-not-allowed",
        "the method is not allowed here",
        "the methods allowed here are POST",
        Value::Null,
    );
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn health_and_description_need_no_token() {
    let setup = Setup::new().await;
    let health = setup.anonymous(Method::GET, "/health").send().await;
    assert_eq!(
        health.body,
        json!({"status": "ok", "checks": [
            {"name": "store", "reachable": true}, {"name": "queue", "reachable": true}, {"name": "files", "reachable": true},
        ]})
    );
    let api = setup.anonymous(Method::GET, "/openapi.json").send().await.body;
    assert_eq!(api["info"]["title"], "Freshet admin");
    let described: Vec<&str> = api["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        described,
        [
            "/admin/v0/api-keys",
            "/admin/v0/api-keys/{name}",
            "/admin/v0/api-keys/{name}/previous-secret",
            "/admin/v0/api-keys/{name}/rotate",
            "/admin/v0/apply",
            "/admin/v0/runs",
            "/admin/v0/status",
            "/admin/v0/streams/{name}/sample",
            "/admin/v0/{kind}",
            "/admin/v0/{kind}/{name}",
            "/admin/v0/{kind}/{name}/runs",
            "/admin/v0/{kind}/{name}/runs/{id}",
            "/api/v0/admin/api-keys/{key-id}/tokens",
            "/api/v0/oauth2/token",
        ]
    );
}
