//! Profiles by filters, page by page.

use axum::http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use crate::scene::{INDEX, Platform, Scene, customer};

fn path(query: &str) -> String {
    format!("/api/indexes/{INDEX}/profiles?{query}")
}

fn ids(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|profile| profile["id"].as_str().unwrap()).collect()
}

#[rstest]
#[case::one("filter[tier]=2&filter[vip]=true", &["c-005", "c-020"])]
#[case::encoded("filter%5Btier%5D=2&filter%5Bvip%5D=true", &["c-005", "c-020"])]
#[case::all_three("filter[city]=Oslo&filter[tier]=2&filter[vip]=true", &["c-020"])]
#[case::exactly("filter[city]=oslo", &[])]
#[case::no_prefix("filter[city]=Os", &[])]
#[case::of_another_type("filter[vip]=1", &[])]
#[case::empty("filter[city]=", &[])]
#[tokio::test]
async fn filters_must_all_hold(#[case] query: &str, #[case] expected: &[&str]) {
    let scene = Scene::new().await;
    let answer = scene.get(&path(query)).await;
    assert_eq!((answer.status, answer.header("x-as-of")), (StatusCode::OK, "2026-06-14T12:00:00Z"));
    let body = answer.body();
    assert_eq!(ids(&body), expected);
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["data"], "the last page has no next_token");
}

#[rstest]
#[case::redb(Platform::Redb)]
#[case::dynamodb(Platform::DynamoDb)]
#[tokio::test]
async fn pages_follow_each_other(#[case] platform: Platform) {
    let scene = Scene::on(platform).await;
    let default = scene.get(&path("")).await.body();
    assert_eq!(ids(&default).len(), 25);
    let mut seen = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let next = token.map(|token| format!("&next_token={token}")).unwrap_or_default();
        let body = scene.get(&path(&format!("filter[city]=Bergen&limit=4&with_total=true{next}"))).await.body();
        assert_eq!(body["total"], 15);
        seen.extend(ids(&body).into_iter().map(str::to_owned));
        match body.get("next_token") {
            Some(next) => token = Some(next.as_str().unwrap().to_owned()),
            None => break,
        }
    }
    let expected: Vec<String> =
        (0..30).filter(|number| number % 2 == 1).map(|number| format!("c-{number:03}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn who_walks_sees_every_profile_that_stays_once_whatever_is_refreshed() {
    let scene = Scene::new().await;
    let mut seen = Vec::new();
    let mut token: Option<String> = None;
    for round in 0_u32.. {
        let next = token.map(|token| format!("&next_token={token}")).unwrap_or_default();
        let body = scene.get(&path(&format!("limit=7{next}"))).await.body();
        seen.extend(ids(&body).into_iter().map(str::to_owned));
        match body.get("next_token") {
            Some(next) => token = Some(next.as_str().unwrap().to_owned()),
            None => break,
        }
        // Each round some leave and others come, before and after where the walk is.
        scene
            .refresh(INDEX, (0..40).filter(|number| number % 3 != 2 || number % 4 == round % 4).map(customer).collect())
            .await;
    }
    for number in (0..30).filter(|number| number % 3 != 2) {
        let id = format!("c-{number:03}");
        assert_eq!(seen.iter().filter(|known| **known == id).count(), 1, "{id} in {seen:?}");
    }
}

#[rstest]
#[case::total("with_total=true&limit=1", json!(30))]
#[case::total_of_filters("with_total=true&limit=1&filter[tier]=0", json!(10))]
#[case::no_total("with_total=false&limit=1", Value::Null)]
#[tokio::test]
async fn a_total_is_told_where_it_is_asked_for(#[case] query: &str, #[case] total: Value) {
    let body = Scene::new().await.get(&path(query)).await.body();
    assert_eq!(body.get("total").cloned().unwrap_or_default(), total);
}

#[tokio::test]
async fn a_value_of_ten_thousand_bytes_is_found_by() {
    let scene = Scene::new().await;
    let city = "x".repeat(10_000);
    let mut row = customer(1);
    row.attributes = json!({"customer_id": "c-001", "city": city}).to_string();
    scene.refresh(INDEX, vec![row]).await;
    assert_eq!(ids(&scene.get(&path(&format!("filter[city]={city}"))).await.body()), ["c-001"]);
}
