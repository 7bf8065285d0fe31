//! Kafka, DynamoDB and S3 go away and come back while records are sent: what needs them is refused meanwhile, and afterwards
//! all goes on by itself.

use std::time::Duration;

use freshet_testkit::{Kafka, MiniStack, SeaweedFs, eventually, seed};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::client::{Client, unavailable};
use crate::deployment::{Addresses, Deployment};
use crate::events::{DATABASE, Events, resources};
use crate::server::Server;

const REQUESTS: usize = 120;
const RECORDS: usize = 25;

struct Scene {
    deployment: Deployment,
    server: Server,
    client: Client,
    events: Events,
    random: StdRng,
}

async fn scene(addresses: Addresses) -> Scene {
    let mut random = StdRng::seed_from_u64(seed());
    let deployment = Deployment::on(addresses);
    let server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(&resources(1)).await;
    let events = Events::new(vec![client.clone()], &mut random, REQUESTS, RECORDS);
    Scene { deployment, server, client, events, random }
}

impl Scene {
    /// Everything that was acknowledged is in the tables, and the server is healthy again.
    async fn check(mut self) {
        self.events.check().await;
        let healthy = async || self.client.get("/health").await.status() == StatusCode::OK;
        eventually(Duration::from_secs(30), healthy).await.expect("it is healthy again");
        self.deployment.finish([self.server]).await;
    }
}

/// `/health` says which of store, queue and files is away, and so does the log.
async fn is_missed(client: &Client, server: &Server, what: &str) {
    let unhealthy = async || client.get("/health").await.status() == StatusCode::SERVICE_UNAVAILABLE;
    eventually(Duration::from_secs(30), unhealthy).await.expect("it says that it is not healthy");
    let line = format!("the {what} can't be reached");
    let logged = async || server.log().lines().any(|logged| logged.contains(" WARN ") && logged.contains(&line));
    eventually(Duration::from_secs(30), logged).await.unwrap_or_else(|_| panic!("no line warns {line:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_is_killed_and_comes_back() {
    let mut kafka = Kafka::start().await.unwrap();
    let (seaweedfs, ministack) = (SeaweedFs::shared().await.unwrap(), MiniStack::shared().await.unwrap());
    let mut scene = scene(Addresses::of(&kafka, seaweedfs, ministack).await).await;
    let sending = scene.events.sending();

    let moment = scene.random.random_range(1..=REQUESTS / 2);
    let outage = async {
        sending.begun(moment).await;
        kafka.kill().unwrap();
        sending.refused().await;
        is_missed(&scene.client, &scene.server, "queue").await;
        kafka.restart().await.unwrap();
    };
    tokio::join!(scene.events.send(), outage);

    scene.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamodb_is_stopped_and_comes_back() {
    let mut ministack = MiniStack::start().await.unwrap();
    let (kafka, seaweedfs) = (Kafka::shared().await.unwrap(), SeaweedFs::shared().await.unwrap());
    let mut scene = scene(Addresses::of(kafka, seaweedfs, &ministack).await).await;
    let sending = scene.events.sending();

    let moment = scene.random.random_range(1..=REQUESTS / 2);
    let outage = async {
        sending.begun(moment).await;
        ministack.stop().await.unwrap();
        unavailable(scene.client.get("/admin/v0/streams").await).await;
        is_missed(&scene.client, &scene.server, "store").await;
        ministack.restart().await.unwrap();
    };
    tokio::join!(scene.events.send(), outage);

    scene.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_is_killed_and_comes_back() {
    let mut seaweedfs = SeaweedFs::start().await.unwrap();
    let (kafka, ministack) = (Kafka::shared().await.unwrap(), MiniStack::shared().await.unwrap());
    let mut scene = scene(Addresses::of(kafka, &seaweedfs, ministack).await).await;
    // So that there is something to read when it is away.
    let sending = scene.events.sending();
    sending.allow(REQUESTS / 2);

    let outage = async {
        sending.begun(REQUESTS / 2).await;
        let rows =
            async || scene.client.try_sql(DATABASE, "SELECT id FROM latest_event").await.is_ok_and(|it| !it.is_empty());
        eventually(Duration::from_secs(30), rows).await.expect("there are rows");
        seaweedfs.kill().unwrap();
        sending.allow(REQUESTS);
        is_missed(&scene.client, &scene.server, "files").await;
        let query = json!({"database": DATABASE, "sql": "SELECT count(*) FROM latest_event"});
        unavailable(scene.client.call(Method::POST, "/query/v0/sql", &query).await).await;
    };
    tokio::join!(scene.events.send(), outage);
    assert_eq!(sending.refusals(), 0, "what is only to be queued is acknowledged without S3");
    seaweedfs.restart().await.unwrap();

    scene.check().await;
}
