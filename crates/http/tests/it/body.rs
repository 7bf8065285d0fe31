//! Reading bodies, and JSON bodies.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use freshet_http::{JsonBody, Problem, ProblemKind, read_body, read_body_reserving, with_common_layers};
use futures::{StreamExt, stream};
use rstest::rstest;
use serde::Deserialize;
use serde_json::json;

use crate::layers::answer;

#[tokio::test]
async fn a_body_of_the_limit_is_read_whole() {
    assert_eq!(read_body(Body::from("four"), 4).await.unwrap(), "four");
    assert_eq!(read_body(Body::empty(), 0).await.unwrap(), "");
}

#[tokio::test]
async fn a_body_of_known_length_over_the_limit_is_refused() {
    let problem = read_body(Body::from(vec![b'x'; 1_001]), 1_000).await.unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::TooLarge);
    assert_eq!(problem.detail(), "the body has more than 1,000 bytes, the most that a request may have");
}

#[tokio::test]
async fn an_endless_body_is_read_no_further_than_the_limit() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&pulled);
    let endless = stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 100]))
    });
    let problem = read_body(Body::from_stream(endless), 1_000).await.unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::TooLarge);
    assert!(pulled.load(Ordering::Relaxed) <= 11, "{pulled:?} chunks of 100 bytes were read");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_bad_request() {
    let chunks = stream::iter([Ok(Bytes::from_static(b"{\"a\""))]);
    let broken = chunks.chain(stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]));
    let problem = read_body(Body::from_stream(broken), 1_000).await.unwrap_err();
    assert_eq!((problem.kind(), problem.detail()), (ProblemKind::BadRequest, "the body broke off before its end"));
}

#[tokio::test]
async fn memory_is_reserved_piece_by_piece_as_they_come() {
    let pieces = ["one", "", "three"].map(|piece| Ok::<_, io::Error>(Bytes::from_static(piece.as_bytes())));
    let mut reserved = Vec::new();
    let body = read_body_reserving(Body::from_stream(stream::iter(pieces)), 8, |bytes| {
        reserved.push(bytes);
        Ok(())
    });
    assert_eq!(body.await.unwrap(), "onethree");
    assert_eq!(reserved.into_iter().filter(|bytes| *bytes > 0).collect::<Vec<_>>(), [3, 5]);
}

#[tokio::test]
async fn a_body_is_read_no_further_than_memory_is_given() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&pulled);
    let endless = stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 100]))
    });
    let mut left = 250_usize;
    let refused = read_body_reserving(Body::from_stream(endless), 1_000, |bytes| {
        left = left.checked_sub(bytes).ok_or_else(|| Problem::conflict("no more"))?;
        Ok(())
    });
    assert_eq!(refused.await.unwrap_err().detail(), "no more");
    assert_eq!(pulled.load(Ordering::Relaxed), 3);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    number: u32,
}

fn orders() -> Router {
    async fn take(JsonBody(order): JsonBody<Order>) -> String {
        format!("took {}", order.number)
    }
    with_common_layers(Router::new().route("/orders", post(take)))
}

#[rstest]
#[case::missing_type(None, "{}", 415, "the header Content-Type is missing; supported is application/json")]
#[case::other_type(Some("text/plain"), "{}", 415, "the content type is \"text/plain\"; supported is application/json")]
#[case::empty(Some("application/json"), " \n", 400, "the body is empty; expected a JSON document")]
#[case::malformed(
    Some("application/json"),
    "{\n  \"number\": 1,\n}",
    400,
    "the body is not the JSON that is expected here: trailing comma at line 3 column 1"
)]
#[case::unknown_field(
    Some("application/json; charset=utf-8"),
    "{\"nmber\": 1}",
    400,
    "the body is not the JSON that is expected here: unknown field `nmber`, expected `number` at line 1 column 8"
)]
#[tokio::test]
async fn a_json_body_is_refused_with_where_and_why(
    #[case] content_type: Option<&str>,
    #[case] body: &'static str,
    #[case] status: u16,
    #[case] detail: &str,
) {
    let mut request = Request::post("/orders").header("x-request-id", "r-1");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let (parts, answered) = answer(orders(), request.body(Body::from(body)).unwrap()).await;
    assert_eq!(parts.status.as_u16(), status);
    let kind = if status == 415 { "unsupported-media-type" } else { "bad-request" };
    let title =
        if status == 415 { "the content's type or encoding is not supported" } else { "the request is not right" };
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&answered).unwrap(),
        json!({"type": format!("urn:freshet:problem:{kind}"), "title": title, "status": status, "detail": detail, "request_id": "r-1"})
    );
}

/// Escaped, the control characters of a name take six times its bytes.
#[tokio::test]
async fn a_refusal_does_not_repeat_a_long_body() {
    let body = json!({"\u{1}".repeat(600_000): 1}).to_string();
    let request = Request::post("/orders").header("content-type", "application/json").body(Body::from(body)).unwrap();
    let (parts, answered) = answer(orders(), request).await;
    assert_eq!(parts.status, StatusCode::BAD_REQUEST);
    let problem: serde_json::Value = serde_json::from_slice(&answered).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.ends_with("\u{1}… at line 1 column 3600003") && detail.len() < 1_000, "{}", detail.len());
}

#[tokio::test]
async fn a_json_body_that_fits_is_taken() {
    let request =
        Request::post("/orders").header("content-type", "Application/JSON").body(Body::from("{\"number\":7}"));
    let (parts, body) = answer(orders(), request.unwrap()).await;
    assert_eq!((parts.status, body), (StatusCode::OK, Bytes::from("took 7")));
}
