use std::process::Stdio;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use freshet_testkit::{Kafka, MiniStack, SeaweedFs, eventually, random_name};
use futures::future::join_all;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutPayload};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_kafka_comes_back_with_its_records() {
    let mut kafka = Kafka::start().await.unwrap();
    let topic = random_name("purchases");
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka.bootstrap_servers());
    let admin: AdminClient<DefaultClientContext> = settings.create().unwrap();
    let new_topic = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    let made = admin.create_topics(&[new_topic], &AdminOptions::new()).await.unwrap();
    assert_eq!(made, [Ok(topic.clone())]);
    let producer: FutureProducer = settings.create().unwrap();
    let record = FutureRecord::to(&topic).key("1").payload("11.77");
    producer.send(record, Duration::from_secs(10)).await.unwrap();

    kafka.kill().unwrap();
    assert!(TcpStream::connect(kafka.bootstrap_servers()).await.is_err());
    kafka.restart().await.unwrap();

    let watermarks = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = settings.create().unwrap();
        consumer.fetch_watermarks(&topic, 0, Duration::from_secs(10)).unwrap()
    });
    assert_eq!(watermarks.await.unwrap(), (0, 1));
}

#[tokio::test]
async fn a_stopped_ministack_comes_back_with_its_items() {
    let mut ministack = MiniStack::start().await.unwrap();
    let settings = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::for_tests())
        .endpoint_url(ministack.endpoint())
        .load()
        .await;
    let client = aws_sdk_dynamodb::Client::new(&settings);
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    client
        .create_table()
        .table_name("items")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(id.build().unwrap())
        .key_schema(KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap())
        .send()
        .await
        .unwrap();
    client.put_item().table_name("items").item("id", AttributeValue::S("1".to_owned())).send().await.unwrap();

    ministack.stop().await.unwrap();
    assert!(TcpStream::connect(ministack.endpoint().replace("http://", "")).await.is_err());
    ministack.restart().await.unwrap();

    let items = client.scan().table_name("items").send().await.unwrap();
    assert_eq!(items.count(), 1);
}

fn bucket(seaweedfs: &SeaweedFs, name: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(seaweedfs.endpoint())
        .with_allow_http(true)
        .with_access_key_id(seaweedfs.access_key())
        .with_secret_access_key(seaweedfs.secret_key())
        .with_bucket_name(name)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_killed_seaweedfs_comes_back_with_its_objects() {
    let mut seaweedfs = SeaweedFs::start().await.unwrap();
    let path = Path::from("purchases/1");
    let mut names = Vec::new();
    for _ in 0..3 {
        let name = random_name("bucket");
        seaweedfs.create_bucket(&name).await.unwrap();
        bucket(&seaweedfs, &name).put(&path, PutPayload::from_static(b"11.77")).await.unwrap();
        names.push(name);
    }

    seaweedfs.restart().await.unwrap();

    // S3 answers before the volumes have said what they hold.
    for name in names {
        let bucket = bucket(&seaweedfs, &name);
        let comes_back = eventually(Duration::from_secs(30), async || {
            let Ok(object) = bucket.get(&path).await else { return false };
            object.bytes().await.is_ok_and(|bytes| bytes.as_ref() == b"11.77")
        });
        comes_back.await.unwrap();
    }
}

#[tokio::test]
async fn one_of_many_conditional_puts_of_an_object_wins() {
    let seaweedfs = SeaweedFs::shared().await.unwrap();
    let name = random_name("bucket");
    seaweedfs.create_bucket(&name).await.unwrap();
    let bucket = bucket(seaweedfs, &name);

    for version in 0..3 {
        let path = Path::from(format!("_delta_log/{version:020}.json"));
        let puts = (0..8)
            .map(|writer| bucket.put_opts(&path, PutPayload::from(format!("writer {writer}")), PutMode::Create.into()));
        let results = join_all(puts).await;
        let winners = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(winners, 1, "{results:?}");
    }
}

/// Not a test: the process that the next one kills.
#[tokio::test]
#[ignore = "waits to be killed"]
async fn holds_servers_until_killed() {
    let _kafka = Kafka::start().await.unwrap();
    let ministack = MiniStack::shared().await.unwrap();
    let seaweedfs = SeaweedFs::start().await.unwrap();
    println!("\nholds {} {}", ministack.endpoint(), seaweedfs.endpoint());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_test_process_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers::holds_servers_until_killed", "--ignored", "--nocapture"])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let endpoints = loop {
        let line = lines.next_line().await.unwrap().expect("the child ended before its servers were up");
        if let Some(endpoints) = line.strip_prefix("holds ") {
            break endpoints.replace("http://", "");
        }
    };
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 3);

    child.kill().await.unwrap();

    eventually(Duration::from_secs(10), async || std::fs::read_dir(&temporary).unwrap().count() == 0).await.unwrap();
    for address in endpoints.split(' ') {
        assert!(TcpStream::connect(address).await.is_err(), "something still listens on {address}");
    }
}
