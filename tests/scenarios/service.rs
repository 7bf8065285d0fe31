//! What a running server says about itself, and how it starts.

use std::fs;

use reqwest::StatusCode;
use serde_json::json;

use crate::client::body_of;
use crate::deployment::Deployment;
use crate::events::{STREAM_ID, resources};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_serves_every_function_and_tells_how_it_is() {
    let deployment = Deployment::embedded();
    let server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(&resources(1)).await;
    let answer = client.post(STREAM_ID, "first", &json!({"id": 1, "version": 1})).await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "first");
    body_of(answer, StatusCode::ACCEPTED).await;

    let health = body_of(client.get("/health").await, StatusCode::OK).await;
    assert_eq!(health["status"], "ok");
    let api = body_of(client.get("/openapi.json").await, StatusCode::OK).await;
    for path in ["/stream/v0/data/{stream-id}", "/query/v0/sql", "/admin/v0/apply", "/api/v0/oauth2/token"] {
        assert!(api["paths"][path]["post"].is_object(), "{path} is described");
    }
    assert!((client.metric("freshet_ingest_records_total").await - 1.0).abs() < f64::EPSILON);
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_started_with_its_resources() {
    let deployment = Deployment::embedded();
    let file = deployment.path("freshet.toml");
    let mut server = deployment.server("data");
    server.argument("--apply");
    server.argument(file.to_str().unwrap());
    fs::write(&file, resources(1)).unwrap();
    for _ in 0..2 {
        server.start().await;
        assert_eq!(deployment.client(&server).await.stream_id("events").await, STREAM_ID);
        server.stop().await;
    }

    fs::write(&file, "[stream.events]\n").unwrap();
    let arguments = ["up", "--listen", "127.0.0.1:0", "--apply", file.to_str().unwrap()];
    let said = deployment.freshet(&arguments).await.with_status(2);
    let place = format!("{}:1:2: stream: unknown field; did you mean \"streams\"?", file.display());
    assert!(said.stderr.contains(&place), "{said:?}");
    assert_eq!(said.stdout, "", "it was never ready");
}
