//! More than fits into memory.

use freshet_runs::{RunKind, RunState};
use serde_json::json;

use crate::scene::{Scene, noon};

/// Bytes of the memory of one query: what a runner gives it.
const MEMORY: usize = 256 << 20;
/// The same, far below what the queries here hold.
const LITTLE: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sort_larger_than_memory_goes_to_disk() {
    let scene = Scene::with_memory(MEMORY).await;
    scene.write(0..1_000, 0).await;
    // 300,000 rows of 1,000 bytes: 300 MB to be sorted.
    let many = "SELECT a.order_id * 1000 + b.order_id AS id, repeat('x', 1000) AS filling FROM orders a, orders b WHERE b.order_id < 300";
    scene.define(&[("sorted", &format!("{many} ORDER BY filling, id"))]).await;
    let run = scene.process().run(&scene, RunKind::Databases, noon()).await.unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(scene.rows("SELECT count(*) AS n FROM sorted").await.unwrap(), [json!({"n": 300_000})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_sorted_on_disk_are_all_there() {
    let scene = Scene::with_memory(MEMORY / 4).await;
    scene.write(0..1_000, 0).await;
    let many = "SELECT a.order_id * 1000 + b.order_id AS id, repeat('x', 1000) AS filling FROM orders a, orders b WHERE b.order_id < 80";
    let index = scene.index(many, "id", &[]).await;
    let run = scene.process().run(&scene, RunKind::Indexes, noon()).await.unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(run.steps[0].counts["profiles"], 80_000);
    assert_eq!(scene.profiles(&index).await.unwrap().len(), 80_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_memory_that_there_is_not_is_refused_with_what_to_narrow() {
    let scene = Scene::with_memory(LITTLE).await;
    scene.write(0..1_000, 0).await;
    let gathers = "SELECT a.email, string_agg(repeat('x', 1000), ',') AS all FROM orders a, orders b GROUP BY a.email";
    scene.define(&[("gathered", gathers), ("counted", "SELECT count(*) AS n FROM orders")]).await;
    let run = scene.process().run(&scene, RunKind::Databases, noon()).await.unwrap();
    assert_eq!(run.state, RunState::Failed);
    let why = run.steps[0].message.clone().unwrap();
    assert!(why.contains("memory") || why.contains("larger than"), "{why}");
    // The process lives, and the other table is made.
    assert_eq!(scene.rows("SELECT n FROM counted").await.unwrap(), [json!({"n": 1_000})]);
}
