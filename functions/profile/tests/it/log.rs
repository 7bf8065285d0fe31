//! What the log says of look-ups, and what it must not.

use axum::body::Body;
use axum::http::Method;
use freshet_profile::ProfileRow;
use freshet_testkit::logged;
use rstest::rstest;
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

use crate::scene::{INDEX, Scene};

/// A call about someone who is there, about someone who isn't, and while the store is away.
#[rstest]
#[case::profile(
    Method::GET,
    "/api/indexes/ix-customers1/profiles/{id}",
    "",
    "/api/indexes/ix-customers1/profiles/{profile_id}"
)]
#[case::list(
    Method::GET,
    "/api/indexes/ix-customers1/profiles?filter[city]={id}",
    "",
    "/api/indexes/ix-customers1/profiles"
)]
#[case::no_filter(
    Method::GET,
    "/api/indexes/ix-customers1/profiles?filter[{id}]={id}",
    "",
    "/api/indexes/ix-customers1/profiles"
)]
#[case::no_token(
    Method::GET,
    "/api/indexes/ix-customers1/profiles?next_token={id}",
    "",
    "/api/indexes/ix-customers1/profiles"
)]
#[case::batch(
    Method::POST,
    "/api/indexes/ix-customers1/profiles:batchGet",
    r#"{"ids": ["{id}"]}"#,
    "/api/indexes/ix-customers1/profiles:batchGet"
)]
#[case::no_batch(
    Method::POST,
    "/api/indexes/ix-customers1/profiles:batchGet",
    r#"{"ids": "{id}"}"#,
    "/api/indexes/ix-customers1/profiles:batchGet"
)]
#[case::key_in_the_url(
    Method::GET,
    "/api/attribute/v0/indexes/ix-customers1?key={id}",
    "",
    "/api/attribute/v0/indexes/ix-customers1"
)]
#[case::key_in_the_body(
    Method::POST,
    "/api/attribute/v0/indexes/ix-customers1",
    r#"{"key": "{id}"}"#,
    "/api/attribute/v0/indexes/ix-customers1"
)]
#[case::no_key(
    Method::POST,
    "/api/attribute/v0/indexes/ix-customers1",
    r#"{"{id}": 1}"#,
    "/api/attribute/v0/indexes/ix-customers1"
)]
#[tokio::test]
async fn a_look_up_is_one_line_that_names_nobody(
    #[case] method: Method,
    #[case] path: &str,
    #[case] body: &str,
    #[case] logged_path: &str,
) {
    let scene = Scene::new().await;
    let attributes = json!({"customer_id": "someone@example.com", "city": "someone@example.com"}).to_string();
    scene.refresh(INDEX, vec![ProfileRow { id: Some("someone@example.com".to_owned()), attributes }]).await;
    let signature = scene.token.rsplit('.').next().unwrap();
    for (is_away, id) in
        [(false, "someone@example.com"), (false, "someone-else@example.com"), (true, "someone@example.com")]
    {
        if is_away {
            scene.cut_off();
        }
        let (path, body) = (path.replace("{id}", id), Body::from(body.replace("{id}", id)));
        let mut request = scene.request(method.clone(), &path, body);
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        let lines = logged(LevelFilter::TRACE, async {
            scene.send(request).await;
        })
        .await;
        assert!(!lines.contains("someone") && !lines.contains(signature), "{lines}");
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let outcome: Vec<&Value> = lines.iter().filter(|line| line["status"].is_u64()).collect();
        assert_eq!(outcome.len(), 1, "{lines:?}");
        let span = &outcome[0]["span"];
        let fields = ["path", "tenant", "key", "resource"].map(|name| span[name].as_str().unwrap());
        assert_eq!(fields, [logged_path, "acme", "site", "customers"]);
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_not_in_the_log() {
    let mut scene = Scene::new().await;
    scene.token = format!("{}x", scene.token);
    let lines = logged(LevelFilter::TRACE, async {
        for request in scene.every_request() {
            assert_eq!(scene.send(request).await.status, 401);
        }
    })
    .await;
    assert_eq!(lines.lines().filter(|line| line.contains("\"problem\":\"unauthorized\"")).count(), 7, "{lines}");
    for part in scene.token.split('.') {
        assert!(!lines.contains(part), "{lines}");
    }
}
