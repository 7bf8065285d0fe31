//! The common layers, seen from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Query;
use axum::http::response::Parts;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use freshet_http::{HealthCheck, Problem, ProblemItem, read_body, service_routes, with_common_layers};
use freshet_model::RequestId;
use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;

/// What a router answers to one request.
pub(crate) async fn answer(router: Router, request: Request<Body>) -> (Parts, Bytes) {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    assert!(body.size_hint().upper().is_some(), "the answer has a known length");
    (parts, read_body(body, 1 << 20).await.unwrap())
}

#[derive(Deserialize)]
struct Page {
    limit: u8,
}

async fn panics() -> StatusCode {
    panic!("the secret is 42")
}

fn router() -> Router {
    let problem = Problem::unavailable("the queue can't be reached", Duration::from_millis(1_500));
    let listed = Problem::bad_request("2 of 3 records are not right").with_errors(vec![
        ProblemItem { index: Some(0), field: None, message: "expected an object, found a number".to_owned() },
        ProblemItem { index: Some(2), field: Some("a.b".to_owned()), message: "is missing".to_owned() },
    ]);
    let routes = Router::new()
        .route("/id", get(|Extension(id): Extension<RequestId>| async move { id.to_string() }).put(|| async { "put" }))
        .route("/page", get(|Query(page): Query<Page>| async move { page.limit.to_string() }))
        .route("/cached", get(|| async { ([("cache-control", "max-age=60")], "kept") }))
        .route("/token", post(|| async { (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))) }))
        .route("/panic", get(panics))
        .route("/unavailable", get(|| async move { problem.into_response() }))
        .route("/listed", get(|| async move { listed.into_response() }))
        .route("/refused", get(|| async { Problem::unauthorized("the token has expired").into_response() }));
    with_common_layers(routes)
}

async fn get_answer(path: &str) -> (Parts, Value) {
    let request = Request::get(path).header("X-Request-Id", "r-1").body(Body::empty()).unwrap();
    let (parts, body) = answer(router(), request).await;
    assert_eq!(parts.headers["content-type"], "application/problem+json");
    assert_eq!(parts.headers["x-request-id"], "r-1");
    assert_hygiene(&parts.headers, "no-store");
    (parts, serde_json::from_slice(&body).unwrap())
}

fn assert_hygiene(headers: &HeaderMap, cache_control: &str) {
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], cache_control);
}

#[rstest]
#[case::valid(&["req.A_1-z"], Some("req.A_1-z"))]
#[case::longest(&["x".repeat(128).leak() as &str], Some("x".repeat(128).leak() as &str))]
#[case::absent(&[], None)]
#[case::too_long(&["x".repeat(129).leak() as &str], None)]
#[case::other_characters(&["a b"], None)]
#[case::empty(&[""], None)]
#[case::two(&["a", "b"], None)]
#[tokio::test]
async fn a_request_id_is_the_callers_or_a_new_one(#[case] sent: &[&str], #[case] kept: Option<&str>) {
    let request = sent.iter().fold(Request::get("/id"), |request, id| request.header("x-request-id", *id));
    let (parts, body) = answer(router(), request.body(Body::empty()).unwrap()).await;
    let id = parts.headers["x-request-id"].to_str().unwrap();
    assert_eq!(body, id, "the handler sees the same id");
    match kept {
        Some(kept) => assert_eq!(id, kept),
        None => assert_eq!(id.parse::<uuid::Uuid>().unwrap().get_version_num(), 7),
    }
    assert_hygiene(&parts.headers, "no-store");
}

#[tokio::test]
async fn an_unknown_path_is_a_problem() {
    let (parts, problem) = get_answer("/nowhere?token=secret").await;
    assert_eq!(parts.status, 404);
    let expected = json!({
        "type": "urn:freshet:problem:not-found",
        "title": "there is no such thing",
        "status": 404,
        "detail": "there is nothing at this path; /openapi.json lists what there is",
        "request_id": "r-1",
    });
    assert_eq!(problem, expected);
}

#[tokio::test]
async fn another_method_is_told_which_are_allowed() {
    let request = Request::delete("/id").header("X-Request-Id", "r-1").body(Body::empty()).unwrap();
    let (parts, body) = answer(router(), request).await;
    assert_eq!(parts.status, 405);
    assert_eq!(parts.headers["allow"], "GET, HEAD, PUT");
    let expected = json!({
        "type": "urn:freshet:problem:method-not-allowed",
        "title": "the method is not allowed here",
        "status": 405,
        "detail": "the methods allowed here are GET, HEAD, PUT",
        "request_id": "r-1",
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing() {
    let (parts, problem) = get_answer("/panic").await;
    assert_eq!(parts.status, 500);
    let expected = json!({
        "type": "urn:freshet:problem:internal",
        "title": "something went wrong on our side",
        "status": 500,
        "detail": "the log has the cause under this request id",
        "request_id": "r-1",
    });
    assert_eq!(problem, expected);
}

#[tokio::test]
async fn what_a_handler_refuses_gets_the_request_id() {
    let (parts, problem) = get_answer("/unavailable").await;
    assert_eq!((parts.status.as_u16(), &parts.headers["retry-after"]), (503, &"2".parse().unwrap()));
    let expected = json!({
        "type": "urn:freshet:problem:unavailable",
        "title": "not available at the moment",
        "status": 503,
        "detail": "the queue can't be reached",
        "request_id": "r-1",
    });
    assert_eq!(problem, expected);
}

#[tokio::test]
async fn several_wrongs_are_listed() {
    let (parts, problem) = get_answer("/listed").await;
    assert_eq!(parts.status, 400);
    let expected = json!([
        {"index": 0, "message": "expected an object, found a number"},
        {"index": 2, "field": "a.b", "message": "is missing"},
    ]);
    assert_eq!(problem["errors"], expected);
}

#[tokio::test]
async fn unauthorized_names_the_scheme() {
    let (parts, problem) = get_answer("/refused").await;
    assert_eq!((parts.status.as_u16(), &parts.headers["www-authenticate"]), (401, &"Bearer".parse().unwrap()));
    assert_eq!(problem["type"], "urn:freshet:problem:unauthorized");
}

#[tokio::test]
async fn what_an_extractor_refuses_is_a_problem_that_says_why() {
    let (parts, problem) = get_answer("/page?limit=1000").await;
    assert_eq!(parts.status, 400);
    let expected = json!({
        "type": "urn:freshet:problem:bad-request",
        "title": "the request is not right",
        "status": 400,
        "detail": "Failed to deserialize query string: limit: number too large to fit in target type",
        "request_id": "r-1",
    });
    assert_eq!(problem, expected);
}

#[tokio::test]
async fn an_error_in_a_json_form_of_its_own_is_left_alone() {
    let (parts, body) = answer(router(), Request::post("/token").body(Body::empty()).unwrap()).await;
    assert_eq!((parts.status.as_u16(), body.as_ref()), (400, br#"{"error":"invalid_grant"}"#.as_slice()));
    assert!(parts.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn a_handler_may_say_how_long_its_answer_holds() {
    let (parts, _) = answer(router(), Request::get("/cached").body(Body::empty()).unwrap()).await;
    assert_hygiene(&parts.headers, "max-age=60");
}

#[rstest]
#[case::all_reachable(true, 200, "ok")]
#[case::one_not(false, 503, "unavailable")]
#[tokio::test]
async fn health_asks_once_for_a_crowd(#[case] reachable: bool, #[case] status: u16, #[case] word: &str) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let health = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        async move { vec![HealthCheck { name: "store", reachable: true }, HealthCheck { name: "queue", reachable }] }
    };
    let api = utoipa::openapi::OpenApiBuilder::new().build();
    let router = with_common_layers(service_routes(api, health));
    let ask = || answer(router.clone(), Request::get("/health").body(Body::empty()).unwrap());
    for (parts, body) in futures::future::join_all((0..20).map(|_| ask())).await {
        assert_eq!(parts.status.as_u16(), status);
        let checks = json!([{"name": "store", "reachable": true}, {"name": "queue", "reachable": reachable}]);
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"status": word, "checks": checks}));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "twenty callers share an answer");
}

#[tokio::test]
async fn openapi_json_is_the_document() {
    let api = utoipa::openapi::OpenApiBuilder::new().build();
    let router = with_common_layers(service_routes(api, || async { Vec::new() }));
    let (parts, body) = answer(router, Request::get("/openapi.json").body(Body::empty()).unwrap()).await;
    assert_eq!((parts.status.as_u16(), &parts.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    assert!(serde_json::from_slice::<Value>(&body).unwrap()["openapi"].is_string());
}
