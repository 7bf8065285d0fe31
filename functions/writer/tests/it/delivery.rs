//! What is delivered again, in parts, out of order, or to several writers at once.

use std::collections::BTreeMap;

use freshet_function_writer::{Gaps, WriteError, write_batch};
use freshet_queue::progress;
use futures::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{World, batch};

fn payloads(versions: &[(u8, i64)]) -> Vec<Value> {
    versions.iter().map(|(id, version)| json!({"id": format!("o{id}"), "version": version})).collect()
}

/// The few lines that the tables are judged by: for each key the greatest version.
fn newest(versions: &[(u8, i64)]) -> BTreeMap<String, Vec<i64>> {
    let mut model: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (id, version) in versions {
        let kept = model.entry(format!("o{id}")).or_insert_with(|| vec![*version]);
        kept[0] = kept[0].max(*version);
    }
    model
}

fn all(versions: &[(u8, i64)]) -> BTreeMap<String, Vec<i64>> {
    let mut model: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (id, version) in versions {
        model.entry(format!("o{id}")).or_default().push(*version);
    }
    for versions in model.values_mut() {
        versions.sort_unstable();
    }
    model
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_part_of_a_batch_before_the_first() {
    let world = World::new().await;
    world.table("latest", &json!({})).await;
    world.table("every", &json!({"mode": "append", "key": null, "order_by": null})).await;
    let versions = [(1, 1), (2, 1), (1, 2), (3, 1), (2, 0), (1, 3)];
    let records = world.append(&payloads(&versions)).await;
    let writer = world.writer();
    write_batch(&writer, &batch(&records[3..]), Gaps::Any).await.unwrap();
    assert_eq!(world.rows("every").await, all(&versions), "the gap was read from the queue");
    write_batch(&writer, &batch(&records[..4]), Gaps::Any).await.unwrap();
    write_batch(&world.writer(), &batch(&records), Gaps::Any).await.unwrap();
    assert_eq!(world.rows("latest").await, newest(&versions));
    assert_eq!(world.rows("every").await, all(&versions));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_record_does_not_stop_its_neighbours() {
    let world = World::new().await;
    world.table("latest", &json!({})).await;
    let records = world
        .append(&[
            json!({"id": "a", "version": 1}),
            json!({"id": "b", "version": "one"}),
            json!("not json"),
            json!({"version": 1}),
            json!({"id": "c", "version": 1, "color": "red"}),
        ])
        .await;
    let writer = world.writer();
    let outcome = write_batch(&writer, &batch(&records), Gaps::Any).await.unwrap();
    assert_eq!((outcome.records, outcome.rows_written, outcome.rows_failed), (5, 2, 3));
    write_batch(&world.writer(), &batch(&records), Gaps::Any).await.unwrap();
    assert_eq!(
        world.rows("latest").await,
        newest(&[]).into_iter().chain([("a".to_owned(), vec![1]), ("c".to_owned(), vec![1])]).collect()
    );
    assert_eq!(world.count("latest_failed").await, 3, "each failed row once, whatever is delivered again");
    let services = &world.services;
    let partition = records[0].position.partition;
    let loaded = progress::load(&*services.store, &*services.queue, partition).await.unwrap();
    assert_eq!(loaded.progress.joined["acme/latest"].ignored_fields, 1);
}

/// Keys and versions in the order of the queue.
type Versions = Vec<(u8, i64)>;
/// Where parts of a batch begin and how long they are.
type Parts = Vec<(usize, usize)>;

/// A batch of few keys, how it is cut, and in which order the parts come, some twice.
fn schedule() -> impl Strategy<Value = (Versions, Parts)> {
    prop::collection::vec((0..8_u8, 0..20_i64), 1..60).prop_flat_map(|versions| {
        let length = versions.len();
        let parts = prop::collection::vec((0..length, 1..=length), 1..6);
        (Just(versions), parts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, fork: false, ..ProptestConfig::default() })]

    #[test]
    fn parts_at_the_same_time_from_several_writers((versions, parts) in schedule()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            world.table("latest", &json!({})).await;
            world.table("every", &json!({"mode": "append", "key": null, "order_by": null})).await;
            let records = world.append(&payloads(&versions)).await;
            let writers = [world.writer(), world.writer()];
            let mut batches: Vec<_> = parts
                .iter()
                .map(|(from, length)| batch(&records[*from..(from + length).min(records.len())]))
                .collect();
            batches.push(batch(&records));
            let deliveries = batches.iter().enumerate().map(|(at, batch)| write_batch(&writers[at % 2], batch, Gaps::Any));
            for result in join_all(deliveries).await {
                result.unwrap();
            }
            assert_eq!(world.rows("latest").await, newest(&versions));
            assert_eq!(world.rows("every").await, all(&versions));
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_not_the_one_that_was_followed_is_refused() {
    let world = World::new().await;
    world.table("latest", &json!({})).await;
    let records = world.append(&payloads(&[(1, 1)])).await;
    let (services, partition) = (&world.services, records[0].position.partition);
    let topic = services.queue.topic();
    let loaded = progress::load(&*services.store, &*services.queue, partition).await.unwrap();
    let ahead = progress::Progress { next_offset: 1_000_000, ..loaded.progress.clone() };
    progress::advance(&*services.store, topic, partition, &loaded, ahead).await.unwrap().unwrap();
    let refused = write_batch(&world.writer(), &batch(&records), Gaps::Any).await.unwrap_err();
    assert!(matches!(refused, WriteError::QueueReplaced { high: 1, next: 1_000_000, .. }), "{refused}");
    assert!(refused.to_string().contains("FRESHET_TOPIC"), "{refused}");
}
