//! No log holds a secret, not even one that tells all it can.

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{body_of, problem_of};
use crate::deployment::{Deployment, Platform};
use crate::events::{STREAM_ID, resources};

#[rstest]
#[case::embedded(Platform::Embedded)]
#[case::servers(Platform::Servers)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_and_tokens_are_in_no_log(#[case] platform: Platform) {
    let deployment = Deployment::new(platform).await;
    let mut server = deployment.server("data");
    server.set("FRESHET_LOG", "trace");
    server.start().await;
    let admin = deployment.client(&server).await;
    admin.apply(&resources(1)).await;
    let secret_of = |answer: &Value| {
        let secret = answer["client_secret"].as_str().unwrap().to_owned();
        deployment.keep_secret(&secret);
        secret
    };

    let key = json!({"name": "shop", "scopes": ["streams:write"]});
    let made = body_of(admin.call(Method::POST, "/admin/v0/api-keys", &key).await, StatusCode::CREATED).await;
    secret_of(&made);
    let id = made["client_id"].as_str().unwrap();
    let rotated = admin.call(Method::POST, &format!("/admin/v0/api-keys/{id}/rotate"), &json!({})).await;
    let secret = secret_of(&body_of(rotated, StatusCode::OK).await);
    let expiry = json!({"expires-at": jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)});
    let issued = admin.call(Method::POST, &format!("/api/v0/admin/api-keys/{id}/tokens"), &expiry).await;
    let issued = body_of(issued, StatusCode::CREATED).await;
    let token = issued["token"].as_str().unwrap();
    deployment.keep_secret(token);
    let signature = token.rsplit('.').next().unwrap();
    deployment.keep_secret(signature);

    let shop = admin.with_token(token);
    assert_eq!(
        shop.post(STREAM_ID, "first", &json!({"id": 1, "version": 1})).await.unwrap().status(),
        StatusCode::ACCEPTED
    );
    problem_of(shop.get("/admin/v0/streams").await, StatusCode::FORBIDDEN).await;
    // Malformed ones are secrets, too: each is one slip away from a good one.
    let cut = admin.with_token(&token[..token.len() - 1]);
    problem_of(cut.get("/admin/v0/streams").await, StatusCode::UNAUTHORIZED).await;
    deployment.keep_secret(&token[..token.len() - 1]);
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}x");
    let refused = body_of(admin.ask_for_token(form).await, StatusCode::UNAUTHORIZED).await;
    assert_eq!(refused["error"], "invalid_client");

    assert!(server.log().contains(" DEBUG "), "the log tells more than it does by default");
    deployment.finish([server]).await;
}
