//! Records that delete, and records that change a part of a row, from the queue to the table.

use std::collections::BTreeMap;

use freshet_function_writer::{Gaps, write_batch};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{World, batch};

fn versions(expected: &[(&str, i64)]) -> BTreeMap<String, Vec<i64>> {
    expected.iter().map(|(id, version)| ((*id).to_owned(), vec![*version])).collect()
}

/// Writes records in an order, each by itself, and then all of them again from another writer.
async fn write_in_order(world: &World, payloads: &[Value], order: &[usize]) {
    let ordered: Vec<Value> = order.iter().map(|at| payloads[*at].clone()).collect();
    let records = world.append(&ordered).await;
    let writer = world.writer();
    for record in &records {
        write_batch(&writer, &batch(std::slice::from_ref(record)), Gaps::Any).await.unwrap();
    }
    write_batch(&world.writer(), &batch(&records), Gaps::Any).await.unwrap();
}

/// In whatever order they come, an older record doesn't bring back what a newer one has deleted, and an older delete takes
/// nothing of a newer record.
#[rstest]
#[case(&[0, 1, 2, 3, 4, 5, 6])]
#[case(&[6, 5, 4, 3, 2, 1, 0])]
#[case(&[1, 0, 3, 2, 6, 4, 5])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_deletes_what_is_older(#[case] order: &[usize]) {
    let world = World::new().await;
    world.table("latest", &json!({"delete_when": "op = 'D'"})).await;
    let payloads = [
        json!({"id": "a", "version": 1}),
        json!({"id": "a", "version": 2, "op": "D"}),
        json!({"id": "b", "version": 2}),
        json!({"id": "b", "version": 1, "op": "D"}),
        json!({"id": "c", "version": 1, "op": "D"}),
        json!({"id": "d", "version": 1, "op": "D"}),
        json!({"id": "d", "version": 2, "op": "U"}),
    ];
    write_in_order(&world, &payloads, order).await;
    assert_eq!(world.rows("latest").await, versions(&[("b", 2), ("d", 2)]));
    assert_eq!(world.count("latest_failed").await, 0);
}

#[rstest]
#[case(&[0, 1, 2])]
#[case(&[2, 1, 0])]
#[case(&[1, 2, 0])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_field_is_that_of_the_newest_record_that_has_it(#[case] order: &[usize]) {
    let world = World::new().await;
    let columns = json!([
        {"name": "id", "type": "string"},
        {"name": "version", "type": "integer"},
        {"name": "note", "type": "string"},
        {"name": "color", "type": "string", "required": true},
    ]);
    world.table("patched", &json!({"merge": "patch", "columns": columns})).await;
    let payloads = [
        json!({"id": "a", "version": 1, "note": "first", "color": "red"}),
        json!({"id": "a", "version": 2, "color": "blue"}),
        json!({"id": "a", "version": 3, "note": "last"}),
    ];
    write_in_order(&world, &payloads, order).await;
    let expected = BTreeMap::from([("a".to_owned(), (3, "last".to_owned()))]);
    assert_eq!(world.notes("patched").await, expected);
    let of_blue = world.count_where("patched", "color = 'blue' AND note = 'last'").await;
    assert_eq!(of_blue, 1);
}
