//! Indexes, and profiles by their ids.

use axum::http::StatusCode;
use freshet_profile::ProfileRow;
use rstest::rstest;
use serde_json::{Value, json};

use crate::scene::{EMPTY, INDEX, OTHER, Platform, Scene, customer};

fn index(id: &str, name: &str) -> Value {
    let time = "2026-06-14T12:00:00Z";
    json!({"id": id, "name": name, "description": "who buys", "created_at": time, "updated_at": time})
}

fn profile(number: u32) -> Value {
    let attributes: Value = serde_json::from_str(&customer(number).attributes).unwrap();
    json!({"id": format!("c-{number:03}"), "index_id": INDEX, "attributes": attributes})
}

#[rstest]
#[case::redb(Platform::Redb)]
#[case::dynamodb(Platform::DynamoDb)]
#[tokio::test]
async fn indexes_and_profiles_have_these_members_and_no_more(#[case] platform: Platform) {
    let scene = Scene::on(platform).await;
    let all = json!({"data": [index(INDEX, "customers"), index("ix-notbuilt01", "empty"), index("ix-partners01", "partners")]});
    let answer = scene.get("/api/indexes").await;
    assert_eq!((answer.status, answer.body()), (StatusCode::OK, all));
    let answer = scene.get(&format!("/api/indexes/{INDEX}")).await;
    assert_eq!((answer.status, answer.body()), (StatusCode::OK, index(INDEX, "customers")));
    let answer = scene.get(&format!("/api/indexes/{INDEX}/profiles/c-007")).await;
    assert_eq!((answer.status, answer.body()), (StatusCode::OK, profile(7)));
    let headers = ["content-type", "x-as-of", "cache-control", "x-request-id"].map(|name| answer.header(name));
    assert_eq!(headers, ["application/json", "2026-06-14T12:00:00Z", "no-store", "r-1"]);

    let path = format!("/api/indexes/{INDEX}/profiles:batchGet");
    let answer = scene.post(&path, &json!({"ids": ["c-009", "nobody", "c-001", "c-009"]})).await;
    assert_eq!((answer.status, answer.body()), (StatusCode::OK, json!({"data": [profile(9), profile(1), profile(9)]})));
    assert_eq!(answer.header("x-as-of"), "2026-06-14T12:00:00Z");

    let answer = scene.post(&format!("/api/attribute/v0/indexes/{INDEX}"), &json!({"key": "c-007"})).await;
    assert_eq!((answer.status, answer.body()), (StatusCode::OK, json!({"attributes": profile(7)["attributes"]})));
    for (query, body) in [
        ("key=c-007", json!({"attributes": profile(7)["attributes"]})),
        ("key=c-007&all_matches=true", json!({"matches": [{"attributes": profile(7)["attributes"]}]})),
        ("all_matches=true&key=nobody", json!({"matches": []})),
    ] {
        let answer = scene.get(&format!("/api/attribute/v0/indexes/{INDEX}?{query}")).await;
        assert_eq!((answer.status, answer.body()), (StatusCode::OK, body));
        assert_eq!(answer.header("x-as-of"), "2026-06-14T12:00:00Z");
    }
}

#[tokio::test]
async fn indexes_say_how_fresh_they_are() {
    let mut scene = Scene::new().await;
    let (older, epoch) = ("2026-06-14T11:00:00Z", "1970-01-01T00:00:00Z");
    scene.refresh_as_of(OTHER, vec![customer(7)], older.parse().unwrap()).await;
    for (id, as_of) in [(INDEX, "2026-06-14T12:00:00Z"), (OTHER, older), (EMPTY, epoch)] {
        assert_eq!(scene.get(&format!("/api/indexes/{id}")).await.header("x-as-of"), as_of, "{id}");
    }
    assert_eq!(scene.get("/api/indexes").await.header("x-as-of"), epoch);
    // A list is as fresh as the least fresh of those that are in it.
    for (indexes, as_of) in [(&["customers", "partners"][..], older), (&["customers"][..], "2026-06-14T12:00:00Z")] {
        let definition = json!({"scopes": ["profiles:read"], "indexes": indexes});
        scene.token = scene.key(&format!("of-{}", indexes.len()), definition).await;
        assert_eq!(scene.get("/api/indexes").await.header("x-as-of"), as_of, "{indexes:?}");
    }
    // Of a database that has not the index.
    let definition = json!({"scopes": ["profiles:read"], "databases": ["retail"], "indexes": ["partners"]});
    scene.token = scene.key("none", definition).await;
    let nothing = scene.get("/api/indexes").await;
    assert_eq!((nothing.body(), nothing.header("x-as-of")), (json!({"data": []}), "2026-06-14T12:00:00Z"));
}

#[tokio::test]
async fn a_version_may_be_named() {
    let scene = Scene::new().await;
    for mut request in scene.every_request() {
        request.headers_mut().insert("Api-Version", "2025-07-31".parse().unwrap());
        assert_eq!(scene.send(request).await.status, StatusCode::OK);
    }
}

/// The bytes that a refresh stored are what is answered.
#[tokio::test]
async fn values_keep_their_types_and_every_digit() {
    let scene = Scene::new().await;
    let attributes = r#"{"customer_id":"x","spend":12.50,"big":"9007199254740993","none":null,"list":[1,{"a":true}],"text":"é\u0000"}"#;
    let row = ProfileRow { id: Some("x".to_owned()), attributes: attributes.to_owned() };
    scene.refresh(INDEX, vec![row]).await;
    let answer = scene.get(&format!("/api/indexes/{INDEX}/profiles/x")).await;
    assert_eq!(answer.text, format!("{{\"id\":\"x\",\"index_id\":\"{INDEX}\",\"attributes\":{attributes}}}"));
}

#[rstest]
#[case("a/b", "a%2Fb")]
#[case("å b", "%C3%A5%20b")]
#[case("a+b%20c", "a+b%2520c")]
#[case("x?y#z", "x%3Fy%23z")]
#[case("..", "%2E%2E")]
#[case("nul\0l", "nul%00l")]
#[tokio::test]
async fn an_id_is_percent_decoded_once(#[case] id: &str, #[case] path: &str) {
    let scene = Scene::new().await;
    scene.refresh(INDEX, vec![ProfileRow { id: Some(id.to_owned()), attributes: "{}".to_owned() }]).await;
    let answer = scene.get(&format!("/api/indexes/{INDEX}/profiles/{path}")).await;
    assert_eq!(answer.body(), json!({"id": id, "index_id": INDEX, "attributes": {}}));
}

#[tokio::test]
async fn a_large_profile_is_answered_whole() {
    let scene = Scene::new().await;
    let attributes = json!({"customer_id": "x", "history": "é".repeat(1_500_000)}).to_string();
    let row = ProfileRow { id: Some("x".to_owned()), attributes: attributes.clone() };
    scene.refresh(INDEX, vec![row]).await;
    let answer = scene.get(&format!("/api/indexes/{INDEX}/profiles/x")).await;
    assert!(answer.text.contains(&attributes));
}

#[tokio::test]
async fn a_key_reads_the_indexes_of_its_grant() {
    let mut scene = Scene::new().await;
    scene.token = scene.key("narrow", json!({"scopes": ["profiles:read"], "indexes": ["customers"]})).await;
    assert_eq!(scene.get("/api/indexes").await.body(), json!({"data": [index(INDEX, "customers")]}));
    scene.token = scene.key("partners", json!({"scopes": ["profiles:read"], "databases": ["partners"]})).await;
    assert_eq!(scene.get("/api/indexes").await.body(), json!({"data": [index("ix-partners01", "partners")]}));
    assert_eq!(scene.get("/api/indexes/ix-partners01/profiles/c-007").await.status, StatusCode::OK);
}

#[tokio::test]
async fn health_and_description_need_no_token() {
    let mut scene = Scene::new().await;
    scene.token = String::new();
    let health = scene.get("/health").await;
    assert_eq!((health.status, health.body()["checks"][0]["name"].clone()), (StatusCode::OK, json!("store")));
    let api = scene.get("/openapi.json").await.body();
    let paths: Vec<&str> = api["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "/api/attribute/v0/indexes/{index_id}",
        "/api/indexes",
        "/api/indexes/{index_id}",
        "/api/indexes/{index_id}/profiles",
        "/api/indexes/{index_id}/profiles/{profile_id}",
        "/api/indexes/{index_id}/profiles:batchGet",
    ];
    assert_eq!(paths, expected);
}
