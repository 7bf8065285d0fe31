//! XML documents of many rows into tables.

use std::collections::BTreeMap;

use freshet_function_writer::{Gaps, write_batch};
use freshet_model::{PayloadFormat, QueuedRecord};
use futures::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{World, batch};

/// Keys, versions and notes of a document's rows.
type Rows = Vec<(u8, i64)>;

fn document(at: usize, rows: &Rows) -> Value {
    let rows = rows.iter().enumerate().map(|(place, (id, version))| {
        format!("<letter id='o{id}' note='{at}/{place}'><version>{version}</version></letter>")
    });
    json!(format!("<letters>{}</letters>", rows.collect::<Vec<_>>().concat()))
}

async fn world() -> World {
    let world = World::of(PayloadFormat::Xml).await;
    world.table("latest", &json!({"row_tag": "letter"})).await;
    world.table("every", &json!({"row_tag": "letter", "mode": "append", "key": null, "order_by": null})).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_of_a_document_is_in_its_tables_once_and_of_one_key_the_later_stands() {
    let world = world().await;
    let rows =
        |document: &str| json!(format!("<letters><letter id='a'><version>1</version></letter>{document}</letters>"));
    let records = world
        .append(&[
            rows("<letter id='a' note='later'><version>1</version></letter><letter id='b' version='x'/>"),
            rows("<letter version='3'/><letter id='c' version='y'><note/></letter>"),
            json!("<letters/>"),
            json!("<letters>"),
        ])
        .await;
    let writer = world.writer();
    let outcome = write_batch(&writer, &batch(&records), Gaps::Any).await.unwrap();
    // In either table `b`, `c` and the two documents that make no rows; and what has no key, where there is one.
    assert_eq!((outcome.records, outcome.rows_failed), (4, 5 + 4));
    write_batch(&world.writer(), &batch(&records), Gaps::Any).await.unwrap();
    write_batch(&world.writer(), &batch(&records[1..]), Gaps::Any).await.unwrap();
    assert_eq!(world.rows("latest").await, BTreeMap::from([("a".to_owned(), vec![1])]));
    assert_eq!((world.count("latest_failed").await, world.count("every_failed").await), (5, 4));
    assert_eq!(world.count("every").await, 4);
}

/// Documents, and where parts of their batch begin and how long they are.
fn schedule() -> impl Strategy<Value = (Vec<Rows>, Vec<(usize, usize)>)> {
    let documents = prop::collection::vec(prop::collection::vec((0..6_u8, 0..4_i64), 1..6), 1..20);
    documents.prop_flat_map(|documents| {
        let length = documents.len();
        (Just(documents), prop::collection::vec((0..length, 1..=length), 1..5))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, fork: false, ..ProptestConfig::default() })]

    #[test]
    fn documents_in_parts_at_the_same_time_from_several_writers((documents, parts) in schedule()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = world().await;
            let payloads: Vec<Value> = documents.iter().enumerate().map(|(at, rows)| document(at, rows)).collect();
            let records = world.append(&payloads).await;
            let part = |from: usize, length: usize| -> &[QueuedRecord] { &records[from..(from + length).min(records.len())] };
            let mut batches: Vec<_> = parts.iter().map(|(from, length)| batch(part(*from, *length))).collect();
            batches.push(batch(&records));
            let writers = [world.writer(), world.writer()];
            let deliveries = batches.iter().enumerate().map(|(at, batch)| write_batch(&writers[at % 2], batch, Gaps::Any));
            for result in join_all(deliveries).await {
                result.unwrap();
            }
            let mut every: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            let mut latest: BTreeMap<String, (i64, String)> = BTreeMap::new();
            for (at, rows) in documents.iter().enumerate() {
                for (place, (id, version)) in rows.iter().enumerate() {
                    every.entry(format!("o{id}")).or_default().push(*version);
                    let row = (*version, format!("{at}/{place}"));
                    let held = latest.entry(format!("o{id}")).or_insert_with(|| row.clone());
                    if row.0 >= held.0 {
                        *held = row;
                    }
                }
            }
            for versions in every.values_mut() {
                versions.sort_unstable();
            }
            assert_eq!(world.rows("every").await, every);
            assert_eq!(world.notes("latest").await, latest);
        });
    }
}
