//! What the log says of a request, and what it must not.

use std::io;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::post;
use freshet_http::{HealthCheck, JsonBody, with_common_layers};
use freshet_testkit::logged;
use rstest::rstest;
use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;

use crate::layers::answer;

async fn take(JsonBody(number): JsonBody<u32>) -> String {
    tracing::Span::current().record("resource", "orders").record("records", number);
    number.to_string()
}

async fn broken() -> String {
    panic!("a test");
}

/// The lines that one request leaves, with a token, a query and a body that must not be in them.
async fn lines_of(body: &'static str) -> Vec<Value> {
    lines_at("/orders/%0a", body).await
}

async fn lines_at(path: &str, body: &'static str) -> Vec<Value> {
    let request = Request::post(format!("{path}?token=s3cret-query"))
        .header("x-request-id", "r-1")
        .header("authorization", "Bearer s3cret-token")
        .header("content-type", "application/json")
        .body(Body::from(body));
    let answering = Router::new()
        .route("/orders/{id}", post(take))
        .route("/indexes/{index_id}/profiles/{profile_id}", post(take))
        .route("/broken/{profile_id}", post(broken));
    let text = logged(LevelFilter::INFO, async {
        answer(with_common_layers(answering), request.unwrap()).await;
    })
    .await;
    assert!(!text.contains("s3cret"), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_request_is_one_line_with_its_outcome() {
    let lines = lines_of("7").await;
    assert_eq!(lines.len(), 1);
    let (line, span) = (&lines[0], &lines[0]["span"]);
    assert_eq!((&line["message"], &line["level"]), (&"request answered".into(), &"INFO".into()));
    assert_eq!((&line["status"], &line["problem"]), (&200.into(), &"none".into()));
    assert!(line["milliseconds"].is_u64());
    let fields = ["request_id", "method", "path", "resource"].map(|name| span[name].as_str().unwrap());
    assert_eq!(fields, ["r-1", "POST", "/orders/%0a", "orders"]);
    assert_eq!(span["records"], 7);
}

#[rstest]
#[case::of_a_route("/orders/17", "/orders/17")]
#[case::that_names_someone("/indexes/ix-1/profiles/s3cret@example.com", "/indexes/ix-1/profiles/{profile_id}")]
#[case::that_names_someone_in_a_handler_that_fails("/broken/s3cret", "/broken/{profile_id}")]
#[case::of_no_route("/indexes/ix-1/profile/s3cret@example.com", "/indexes/…")]
#[case::of_no_route_and_short("/orders", "/orders")]
#[tokio::test]
async fn a_path_is_logged_without_what_names_people(#[case] path: &str, #[case] logged: &str) {
    let lines = lines_at(path, "7").await;
    assert_eq!(lines.last().unwrap()["span"]["path"], logged);
}

#[tokio::test]
async fn what_a_refused_body_held_is_not_in_the_log() {
    let lines = lines_of("\"s3cret-body\"").await;
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["status"], &lines[0]["problem"]), (&400.into(), &"bad-request".into()));
}

#[rstest]
#[case::refuses(async { Err(io::Error::other("no route")) }, "no route")]
// As a client of S3 does that tries again by itself for minutes.
#[case::never_answers(std::future::pending(), "no answer within 4 s")]
#[tokio::test]
async fn what_a_health_check_does_not_reach_is_told_with_the_reason(
    #[case] asked: impl Future<Output = io::Result<()>>,
    #[case] reason: &str,
) {
    let text = logged(LevelFilter::INFO, async {
        assert!(!HealthCheck::of("files", asked).await.reachable);
    })
    .await;
    assert!(text.contains("WARN") && text.contains("the files can't be reached") && text.contains(reason), "{text}");
}
