//! What is delivered again, in parts, out of order, or to several writers at once.

use std::collections::BTreeMap;

use freshet_function_writer::write_batch;
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
    write_batch(&writer, &batch(&records[3..])).await.unwrap();
    assert_eq!(world.rows("every").await, all(&versions), "the gap was read from the queue");
    write_batch(&writer, &batch(&records[..4])).await.unwrap();
    write_batch(&world.writer(), &batch(&records)).await.unwrap();
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
    let outcome = write_batch(&writer, &batch(&records)).await.unwrap();
    assert_eq!((outcome.records, outcome.rows_written, outcome.rows_failed), (5, 2, 3));
    write_batch(&world.writer(), &batch(&records)).await.unwrap();
    assert_eq!(
        world.rows("latest").await,
        newest(&[]).into_iter().chain([("a".to_owned(), vec![1]), ("c".to_owned(), vec![1])]).collect()
    );
    assert_eq!(world.count("latest_failed").await, 3, "each failed row once, whatever is delivered again");
    let services = &world.services;
    let partition = records[0].position.partition;
    let loaded = freshet_queue::progress::load(&*services.store, &*services.queue, partition).await.unwrap();
    assert_eq!(loaded.progress.joined["acme/latest"].ignored_fields, 1);
}

/// A batch of few keys, how it is cut, and in which order the parts come, some twice.
fn schedule() -> impl Strategy<Value = (Vec<(u8, i64)>, Vec<(usize, usize)>)> {
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
            let deliveries = batches.iter().enumerate().map(|(at, batch)| write_batch(&writers[at % 2], batch));
            for result in join_all(deliveries).await {
                result.unwrap();
            }
            assert_eq!(world.rows("latest").await, newest(&versions));
            assert_eq!(world.rows("every").await, all(&versions));
        });
    }
}
