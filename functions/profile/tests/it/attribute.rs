//! The older call, where it is refused.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, Method};
use rstest::rstest;
use serde_json::json;

use crate::scene::{BAD, FORBIDDEN, Kind, MISSING, Scene, TOO_LARGE, UNAUTHORIZED, UNAVAILABLE, UNSUPPORTED};

const OF_CUSTOMERS: &str = "/api/attribute/v0/indexes/ix-customers1";
const KEY: &str = r#"{"key": "c-007"}"#;

#[rstest]
#[case::no_index(
    "/api/attribute/v0/indexes/ix-customers2",
    KEY,
    MISSING,
    "tenant acme has no profile index ix-customers2; did you mean \"ix-customers1\"?"
)]
#[case::no_id(
    "/api/attribute/v0/indexes/customers!",
    KEY,
    BAD,
    "index id: \"customers!\" is not a profile index id: 1 to 64 of A-Z, a-z, 0-9, _ and -"
)]
#[case::not_built(
    "/api/attribute/v0/indexes/ix-notbuilt01",
    KEY,
    UNAVAILABLE,
    "the index has not been built yet; its first refresh makes it"
)]
#[case::nobody(OF_CUSTOMERS, r#"{"key": "nobody"}"#, MISSING, "profile index ix-customers1 has no such profile")]
#[case::an_empty_key(OF_CUSTOMERS, r#"{"key": ""}"#, MISSING, "profile index ix-customers1 has no such profile")]
#[case::no_body(OF_CUSTOMERS, "", BAD, "the body is empty; expected a JSON document")]
#[case::no_json(
    OF_CUSTOMERS,
    r#"{"key": "#,
    BAD,
    "the body is not the JSON that is expected here: EOF while parsing a value at line 1 column 8"
)]
#[case::no_object(
    OF_CUSTOMERS,
    r#""c-007""#,
    BAD,
    "the body is not the JSON that is expected here: invalid type: string \"c-007\", expected struct KeyRequest at line 1 column 7"
)]
#[case::no_key(
    OF_CUSTOMERS,
    "{}",
    BAD,
    "the body is not the JSON that is expected here: missing field `key` at line 1 column 2"
)]
#[case::no_text(
    OF_CUSTOMERS,
    r#"{"key": 7}"#,
    BAD,
    "the body is not the JSON that is expected here: invalid type: integer `7`, expected a string at line 1 column 9"
)]
#[case::twice(
    OF_CUSTOMERS,
    r#"{"key": "c-007", "key": "c-008"}"#,
    BAD,
    "the body is not the JSON that is expected here: duplicate field `key` at line 1 column 22"
)]
#[case::another_field(
    OF_CUSTOMERS,
    r#"{"key": "c-007", "all_matches": true}"#,
    BAD,
    "the body is not the JSON that is expected here: unknown field `all_matches`, expected `key` at line 1 column 30"
)]
#[case::more_than_one(
    OF_CUSTOMERS,
    r#"{"key": "c-007"}{"key": "c-008"}"#,
    BAD,
    "the body is not the JSON that is expected here: trailing characters at line 1 column 17"
)]
#[tokio::test]
async fn a_post_that_is_asked_wrongly_is_told(
    #[case] path: &str,
    #[case] body: &'static str,
    #[case] kind: Kind,
    #[case] detail: &str,
) {
    let scene = Scene::new().await;
    scene.send(scene.request_with_json(path, body)).await.assert_problem(kind, detail);
}

#[rstest]
#[case::version("api-version", "2024-01-01", BAD, "Api-Version is \"2024-01-01\"; there is 2025-07-31")]
#[case::content_type(
    "content-type",
    "text/plain",
    UNSUPPORTED,
    "the content type is \"text/plain\"; supported is application/json"
)]
#[case::tenant("x-amperity-tenant", "umbrella", FORBIDDEN, "the token is not one of tenant umbrella")]
#[case::token(
    "authorization",
    "Basic YTpi",
    UNAUTHORIZED,
    "the header Authorization is not of the form: Bearer <token>"
)]
#[tokio::test]
async fn a_post_with_a_header_that_is_wrong_is_told(
    #[case] name: HeaderName,
    #[case] value: &str,
    #[case] kind: Kind,
    #[case] detail: &str,
) {
    let scene = Scene::new().await;
    let mut request = scene.request_with_json(OF_CUSTOMERS, KEY);
    request.headers_mut().insert(name, value.parse().unwrap());
    scene.send(request).await.assert_problem(kind, detail);
}

#[tokio::test]
async fn a_post_without_a_content_type_is_told() {
    let scene = Scene::new().await;
    let mut request = scene.request_with_json(OF_CUSTOMERS, KEY);
    request.headers_mut().remove(CONTENT_TYPE);
    let detail = "the header Content-Type is missing; supported is application/json";
    scene.send(request).await.assert_problem(UNSUPPORTED, detail);
}

#[tokio::test]
async fn a_post_of_more_than_four_mebibytes_is_told() {
    let scene = Scene::new().await;
    let body = |bytes: usize| format!("{{\"key\": \"{}\"}}", "x".repeat(bytes - r#"{"key": ""}"#.len()));
    let largest = scene.send(scene.request_with_json(OF_CUSTOMERS, body(4 << 20))).await;
    largest.assert_problem(MISSING, "profile index ix-customers1 has no such profile");
    let answer = scene.send(scene.request_with_json(OF_CUSTOMERS, body((4 << 20) + 1))).await;
    answer.assert_problem(TOO_LARGE, "the body has more than 4,194,304 bytes, the most that a request may have");
}

#[tokio::test]
async fn who_may_not_read_can_not_post() {
    let mut scene = Scene::new().await;
    for (name, definition, detail) in [
        ("analyst", json!({"scopes": ["tables:query"]}), "the token lacks the scope profiles:read"),
        (
            "narrow",
            json!({"scopes": ["profiles:read"], "indexes": ["partners"]}),
            "the token doesn't allow reading profile index ix-customers1",
        ),
    ] {
        scene.token = scene.key(name, definition).await;
        // Before a byte of the body is read: what is in it doesn't matter.
        let answer = scene.send(scene.request_with_json(OF_CUSTOMERS, "{")).await;
        answer.assert_problem(FORBIDDEN, detail);
    }
}

#[rstest]
#[case::all_matches("key=c-007&all_matches=yes", "all_matches is \"yes\"; it is true or false")]
#[case::all_matches_in_capitals("key=c-007&all_matches=TRUE", "all_matches is \"TRUE\"; it is true or false")]
#[case::all_matches_of_nothing("all_matches=&key=c-007", "all_matches is \"\"; it is true or false")]
#[case::all_matches_alone("all_matches&key=c-007", "all_matches is \"\"; it is true or false")]
#[case::all_matches_twice(
    "key=c-007&all_matches=true&all_matches=false",
    "\"all_matches\" is in the URL more than once; send it once"
)]
#[case::key_twice("key=c-007&key=c-008", "\"key\" is in the URL more than once; send it once")]
#[case::no_key("all_matches=true", "key is missing; send ?key=, the profile's id")]
#[tokio::test]
async fn a_get_that_is_asked_wrongly_is_told(#[case] query: &str, #[case] detail: &str) {
    let scene = Scene::new().await;
    let request = scene.request(Method::GET, &format!("{OF_CUSTOMERS}?{query}"), Body::empty());
    scene.send(request).await.assert_problem(BAD, detail);
}
