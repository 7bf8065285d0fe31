//! What only a store that is a server away can do: not be there, lose answers, refuse.

use std::time::{Duration, Instant};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use bytes::Bytes;
use freshet_store::{BatchWrite, Condition, DynamoSettings, DynamoStore, Key, Query, Store, StoreError, Write};
use freshet_testkit::{MiniStack, free_port, random_name};
use rstest::rstest;

use crate::faulty_server::{Fault, FaultyServer};
use crate::platform::{aws_config, dynamo_store};

fn key() -> Key {
    Key::new("p", "a")
}

fn value() -> Bytes {
    Bytes::from_static(b"value")
}

/// A store behind a server that fails as told, and one of the same table that is not.
async fn faulty_store() -> (DynamoStore, FaultyServer, DynamoStore) {
    let endpoint = MiniStack::shared().await.unwrap().endpoint();
    let table = random_name("store");
    let server = FaultyServer::start(&endpoint).await;
    let straight = dynamo_store(&endpoint, &table);
    straight.create_table().await.unwrap();
    (dynamo_store(server.endpoint(), &table), server, straight)
}

#[tokio::test]
async fn a_table_is_made_once_and_left_as_it_is() {
    let endpoint = MiniStack::shared().await.unwrap().endpoint();
    let store = dynamo_store(&endpoint, &random_name("store"));
    store.create_table().await.unwrap();
    store.put(&key(), value(), Condition::Any).await.unwrap();
    store.create_table().await.unwrap();
    assert_eq!(store.get(&key()).await.unwrap().unwrap().value, value());
}

#[tokio::test]
async fn a_missing_table_is_refused_with_what_to_do() {
    let endpoint = MiniStack::shared().await.unwrap().endpoint();
    let table = random_name("missing");
    let store = dynamo_store(&endpoint, &table);
    let refusals = [
        store.ping().await.unwrap_err(),
        store.put(&key(), value(), Condition::Absent).await.unwrap_err(),
        store.delete(&key(), Condition::Any).await.unwrap_err(),
        store.query(&Query::prefix("p", "")).await.unwrap_err(),
        store.batch_get(&[key()]).await.unwrap_err(),
        store.batch_write(vec![vec![BatchWrite::Put(key(), value())]]).await.unwrap_err(),
        store.transact(vec![Write::Delete { key: key(), condition: Condition::Any }]).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, StoreError::Refused { .. }), "{refusal:?}");
        let message = refusal.to_string();
        assert!(message.contains(&table) && message.contains("create the table"), "{message}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let store = dynamo_store(&format!("http://127.0.0.1:{}", free_port().unwrap()), "table");
    let started = Instant::now();
    let error = store.put(&key(), value(), Condition::Any).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_server_that_never_answers_is_unavailable_in_time() {
    // Connections are taken by the kernel, and nobody reads them.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = dynamo_store(&format!("http://{}", silent.local_addr().unwrap()), "table");
    let started = Instant::now();
    let error = store.get(&key()).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(17), "took {:?}", started.elapsed());
}

/// What the SDK's chain of providers says where none of them has any.
#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded(
            "no providers in chain provided credentials",
        )))
    }
}

#[tokio::test]
async fn without_credentials_the_answer_says_so() {
    let config =
        aws_config().into_builder().credentials_provider(SharedCredentialsProvider::new(NoCredentials)).build();
    let endpoint = Some(format!("http://127.0.0.1:{}", free_port().unwrap()));
    let store = DynamoStore::new(&config, DynamoSettings { table: "table".to_owned(), endpoint });
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("no AWS credentials were found"), "{error}");
}

#[rstest]
#[case::any(Condition::Any)]
#[case::absent(Condition::Absent)]
#[tokio::test]
async fn a_put_whose_answer_was_lost_is_no_conflict_with_itself(#[case] condition: Condition) {
    let (store, server, straight) = faulty_store().await;
    server.fail_next([Fault::LoseAnswer, Fault::LoseAnswer]);
    let version = store.put(&key(), value(), condition).await.unwrap();
    assert_eq!(server.requests(), 3);
    assert_eq!(straight.get(&key()).await.unwrap().unwrap().version, version);

    server.fail_next([Fault::LoseAnswer]);
    let next = store.put(&key(), value(), Condition::Is(version)).await.unwrap();
    assert_eq!(straight.get(&key()).await.unwrap().unwrap().version, next);
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_not_called_a_conflict() {
    let (store, server, straight) = faulty_store().await;
    let version = straight.put(&key(), value(), Condition::Any).await.unwrap();
    server.fail_next([Fault::LoseAnswer]);
    let error = store.delete(&key(), Condition::Is(version)).await.unwrap_err();
    assert!(error.is_temporary(), "it happened, and a conflict says that it did not: {error:?}");
    assert_eq!(straight.get(&key()).await.unwrap(), None);
}

#[tokio::test]
async fn a_transaction_whose_answer_was_lost_happens_once() {
    let (store, server, straight) = faulty_store().await;
    server.fail_next([Fault::LoseAnswer]);
    store.transact(vec![Write::Put { key: key(), value: value(), condition: Condition::Absent }]).await.unwrap();
    assert_eq!(server.requests(), 2);
    assert!(straight.get(&key()).await.unwrap().is_some());
}

#[rstest]
#[case::throttled(400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}"#)]
#[case::over_capacity(400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}"#)]
#[case::other_transaction(400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException"}"#)]
#[case::broken(500, r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}"#)]
#[case::behind_a_gateway(503, "<html>come back later</html>")]
#[tokio::test]
async fn what_is_temporary_is_tried_again_and_then_unavailable(#[case] status: u16, #[case] body: &'static str) {
    let (store, server, _) = faulty_store().await;
    server.fail_next([Fault::Answer(status, body), Fault::Answer(status, body)]);
    store.put(&key(), value(), Condition::Any).await.unwrap();
    assert_eq!(server.requests(), 3);

    server.fail_next(std::iter::repeat_n(Fault::Answer(status, body), 100));
    let error = store.put(&key(), value(), Condition::Any).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(server.requests() <= 13, "tried {} times", server.requests());
}

#[tokio::test]
async fn a_transaction_cancelled_by_another_is_tried_again() {
    let (store, server, straight) = faulty_store().await;
    let cancelled = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"cancelled",
        "CancellationReasons":[{"Code":"TransactionConflict","Message":"another"}]}"#;
    let write = || vec![Write::Put { key: key(), value: value(), condition: Condition::Absent }];
    server.fail_next([Fault::Answer(400, cancelled)]);
    store.transact(write()).await.unwrap();
    assert!(straight.get(&key()).await.unwrap().is_some());

    server.fail_next(std::iter::repeat_n(Fault::Answer(400, cancelled), 100));
    let error = store.transact(write()).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
}

#[tokio::test]
async fn missing_permission_is_refused_at_once_with_what_to_do() {
    let (store, server, _) = faulty_store().await;
    let denied = r#"{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","Message":"not authorized"}"#;
    server.fail_next([Fault::Answer(400, denied)]);
    let error = store.put(&key(), value(), Condition::Any).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("allow this role"), "{error}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn what_a_batch_left_unprocessed_is_asked_for_again() {
    let endpoint = MiniStack::shared().await.unwrap().endpoint();
    let server = FaultyServer::start(&endpoint).await;
    dynamo_store(&endpoint, "unprocessed").create_table().await.unwrap();
    let store = dynamo_store(server.endpoint(), "unprocessed");
    let unwritten = r#"{"UnprocessedItems":{"unprocessed":[{"PutRequest":{"Item":{
        "pk":{"S":"p"},"sk":{"S":"a"},"value":{"B":"dmFsdWU="},"version":{"N":"5"}}}}]}}"#;
    server.fail_next([Fault::Answer(200, unwritten), Fault::Answer(200, unwritten)]);
    store.batch_write(vec![vec![BatchWrite::Put(key(), value())]]).await.unwrap();
    assert_eq!(server.requests(), 3);

    let unread = r#"{"Responses":{"unprocessed":[]},
        "UnprocessedKeys":{"unprocessed":{"Keys":[{"pk":{"S":"p"},"sk":{"S":"a"}}],"ConsistentRead":true}}}"#;
    server.fail_next([Fault::Answer(200, unread), Fault::Answer(200, unread)]);
    let found = store.batch_get(&[key()]).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().value, value());

    server.fail_next(std::iter::repeat_n(Fault::Answer(200, unread), 100));
    let error = store.batch_get(&[key()]).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
}

#[tokio::test]
async fn a_group_of_a_batch_waits_for_the_one_before() {
    let (store, server, straight) = faulty_store().await;
    let denied = r#"{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException"}"#;
    server.fail_next([Fault::Answer(400, denied)]);
    let later = Key::new("p", "later");
    let groups = vec![vec![BatchWrite::Put(key(), value())], vec![BatchWrite::Put(later.clone(), value())]];
    store.batch_write(groups.clone()).await.unwrap_err();
    assert_eq!(straight.get(&later).await.unwrap(), None);
    store.batch_write(groups).await.unwrap();
    assert!(straight.get(&later).await.unwrap().is_some());
}

#[tokio::test]
async fn what_something_else_wrote_is_called_corrupt() {
    let (store, server, _) = faulty_store().await;
    let strange = r#"{"Item":{"pk":{"S":"p"},"sk":{"S":"a"},"count":{"N":"1"}}}"#;
    server.fail_next([Fault::Answer(200, strange)]);
    let error = store.get(&key()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}
