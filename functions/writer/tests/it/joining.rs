//! Tables that are made while records flow.

use freshet_function_writer::{Gaps, join_tables, write_batch};
use serde_json::json;

use crate::support::{World, batch, everything};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_starts_where_it_is_told_to() {
    let world = World::new().await;
    world.table("first", &json!({})).await;
    let writer = world.writer();
    let before = world.append(&[json!({"id": "a", "version": 1}), json!({"id": "b", "version": 1})]).await;
    write_batch(&writer, &batch(&before), Gaps::Any).await.unwrap();

    world.table("whole", &json!({"start": "beginning"})).await;
    world.table("tail", &json!({"start": "tail"})).await;
    let after = world.append(&[json!({"id": "c", "version": 1})]).await;
    // A writer whose definitions are read anew.
    write_batch(&world.writer(), &batch(&after), Gaps::Any).await.unwrap();
    let ids = |rows: std::collections::BTreeMap<String, Vec<i64>>| rows.into_keys().collect::<Vec<_>>();
    assert_eq!(ids(world.rows("first").await), ["a", "b", "c"]);
    assert_eq!(ids(world.rows("whole").await), ["a", "b", "c"]);
    assert_eq!(ids(world.rows("tail").await), ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_a_quiet_stream_fills_without_a_batch() {
    let world = World::new().await;
    let records = world.append(&[json!({"id": "a", "version": 1})]).await;
    let partition = records[0].position.partition;
    write_batch(&world.writer(), &batch(&records), Gaps::Any).await.unwrap();
    world.table("late", &json!({"start": "beginning"})).await;
    join_tables(&world.writer(), partition).await.unwrap();
    assert_eq!(world.count("late").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inactive_table_rests_and_goes_on_from_the_tail() {
    let world = World::new().await;
    world.table("orders", &json!({"start": "tail"})).await;
    let writer = world.writer();
    for (id, state) in [("a", "active"), ("b", "inactive"), ("c", "active")] {
        world.table("orders", &json!({"start": "tail", "state": state})).await;
        let records = world.append(&[json!({"id": id, "version": 1})]).await;
        write_batch(&world.writer(), &batch(&records), Gaps::Any).await.unwrap();
    }
    drop(writer);
    assert_eq!(world.rows("orders").await.into_keys().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(
        everything(&*world.services.queue, 0).await.len()
            + everything(&*world.services.queue, 1).await.len()
            + everything(&*world.services.queue, 2).await.len()
            + everything(&*world.services.queue, 3).await.len(),
        3
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_cannot_be_written_does_not_hold_up_the_others() {
    let world = World::new().await;
    world.table("good", &json!({})).await;
    world.table("bad", &json!({})).await;
    let first = world.append(&[json!({"id": "a", "version": 1})]).await;
    write_batch(&world.writer(), &batch(&first), Gaps::Any).await.unwrap();
    // Someone overwrites the table's newest commit by hand.
    let log = world.services.root.join("tables/acme/bad/_delta_log/").unwrap().to_file_path().unwrap();
    let newest = std::fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .max()
        .unwrap();
    let kept = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, "{ this is no commit").unwrap();
    let second = world.append(&[json!({"id": "b", "version": 1})]).await;
    write_batch(&world.writer(), &batch(&second), Gaps::Any).await.unwrap();
    assert_eq!(world.count("good").await, 2);
    std::fs::write(&newest, kept).unwrap();
    let third = world.append(&[json!({"id": "c", "version": 1})]).await;
    write_batch(&world.writer(), &batch(&third), Gaps::Any).await.unwrap();
    assert_eq!(world.rows("bad").await.into_keys().collect::<Vec<_>>(), ["a", "b", "c"], "it has caught up");
}
