//! Activations, run when they are asked for, and what goes when they do.

use freshet_catalog::Precondition;
use freshet_model::{ResourceKind, ResourceName};
use freshet_runs::{RunKind, RunState, Subject, Trigger};
use freshet_store::{Query, query_all};
use serde_json::json;

use crate::scene::{Scene, tenant, worked};

async fn scene() -> (Scene, Subject) {
    let scene = Scene::new().await;
    let query = json!({"database": "retail", "sql": "SELECT id, city FROM people"});
    scene.put(ResourceKind::Queries, "people", &query).await;
    let destination = json!({"type": "files", "location": "out", "format": "csv"});
    let activation = json!({"query": "people", "send": "changes", "key": "id", "destination": destination});
    scene.put(ResourceKind::Activations, "out", &activation).await;
    let of = Subject { tenant: tenant(), kind: RunKind::Activations, name: ResourceName::parse("out").unwrap() };
    (scene, of)
}

async fn kept(scene: &Scene) -> usize {
    query_all(&*scene.services.store, Query::prefix("activations/acme", "")).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_is_run_when_someone_asks_and_says_what_it_sent() {
    let (scene, of) = scene().await;
    assert_eq!(scene.work().await, worked(0, 0, 0));
    let run = scene.runs().start(&of, Trigger::Manual { by: "test".to_owned() }, scene.now()).await.unwrap();
    assert_eq!(scene.work().await, worked(0, 1, 0));
    let run = scene.runs().get(&of, run.id).await.unwrap().unwrap();
    assert_eq!((run.state, run.steps[0].counts["upserts"]), (RunState::Succeeded, 2), "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_fails_says_why_in_its_step() {
    let (scene, of) = scene().await;
    scene.no_people();
    let run = scene.runs().start(&of, Trigger::Manual { by: "test".to_owned() }, scene.now()).await.unwrap();
    assert_eq!(scene.work().await, worked(0, 0, 1));
    let run = scene.runs().get(&of, run.id).await.unwrap().unwrap();
    assert_eq!(run.steps[0].message.as_deref(), Some("external table people has no csv files at its location"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_activation_leaves_nothing_of_its_own_behind() {
    let (scene, of) = scene().await;
    scene.runs().start(&of, Trigger::Manual { by: "test".to_owned() }, scene.now()).await.unwrap();
    scene.work().await;
    assert_eq!(kept(&scene).await, 1);
    let catalog = &scene.services.catalog;
    catalog.delete(&tenant(), ResourceKind::Activations, "out", Precondition::None).await.unwrap();
    scene.work().await;
    assert_eq!(kept(&scene).await, 0);
}
