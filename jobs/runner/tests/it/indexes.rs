//! When profile indexes are refreshed, and what goes when they do.

use freshet_catalog::Precondition;
use freshet_model::ResourceKind;
use freshet_runs::{RunState, Trigger};
use freshet_store::{Query, query_all};
use jiff::SignedDuration;

use crate::scene::{INDEX, Scene, subject, tenant, worked};

const ALL: &str = "SELECT id, city FROM people";

async fn last_trigger(scene: &Scene) -> Trigger {
    scene.runs().list(&subject(), 1, None).await.unwrap().runs[0].trigger.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_follows_the_tables_that_it_reads() {
    let scene = Scene::new().await;
    assert_eq!(scene.work().await, worked(0, 0, 0));
    scene.index(ALL, "commit").await;
    assert_eq!(scene.work().await, worked(1, 1, 0));
    assert_eq!(
        (scene.ids().await.unwrap(), last_trigger(&scene).await),
        (vec!["1".to_owned(), "2".to_owned()], Trigger::Definition)
    );
    scene.wait(60);
    assert_eq!(scene.work().await, worked(0, 0, 0), "nothing has changed");
    scene.people("id,city\n1,Oslo\n3,Bodø\n");
    assert_eq!(scene.work().await, worked(1, 1, 0));
    assert_eq!(
        (scene.ids().await.unwrap(), last_trigger(&scene).await),
        (vec!["1".to_owned(), "3".to_owned()], Trigger::Commit)
    );
    // Refreshes keep a distance.
    scene.people("id,city\n1,Oslo\n");
    scene.wait(1);
    assert_eq!(scene.work().await, worked(0, 0, 0));
    scene.wait(1);
    assert_eq!(scene.work().await, worked(1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_refreshed_by_its_cron_line() {
    let scene = Scene::new().await;
    scene.index(ALL, "30 * * * *").await;
    assert_eq!(scene.work().await, worked(1, 1, 0), "a new one is built at once");
    scene.people("id,city\n7,Oslo\n");
    scene.wait(29 * 60);
    assert_eq!(scene.work().await, worked(0, 0, 0));
    scene.wait(60);
    assert_eq!(scene.work().await, worked(1, 1, 0));
    assert_eq!((scene.ids().await.unwrap(), last_trigger(&scene).await), (vec!["7".to_owned()], Trigger::Schedule));
    scene.wait(60);
    assert_eq!(scene.work().await, worked(0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_refreshed_by_hand_alone_where_it_says_so() {
    let scene = Scene::new().await;
    scene.index(ALL, "manual").await;
    assert_eq!((scene.work().await, scene.ids().await), (worked(0, 0, 0), None));
    let run = scene.ask().await;
    assert_eq!(scene.work().await, worked(0, 1, 0));
    assert_eq!(scene.ids().await.unwrap().len(), 2);
    assert_eq!(scene.runs().get(&subject(), run.id).await.unwrap().unwrap().state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_definition_is_built_at_once_and_the_one_before_serves_until_then() {
    let scene = Scene::new().await;
    scene.index(ALL, "commit").await;
    scene.work().await;
    scene.index("SELECT id, nothing FROM people", "commit").await;
    scene.wait(2);
    assert_eq!(scene.work().await, worked(1, 0, 1));
    assert_eq!(scene.ids().await.unwrap().len(), 2, "what was there serves on");
    scene.index("SELECT id, city FROM people WHERE city = 'Oslo'", "commit").await;
    scene.wait(5);
    assert_eq!(scene.work().await, worked(1, 1, 0));
    assert_eq!(scene.ids().await.unwrap(), ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_fails_is_tried_again_at_growing_distances() {
    let scene = Scene::new().await;
    scene.no_people();
    scene.index(ALL, "commit").await;
    assert_eq!(scene.work().await, worked(1, 0, 1));
    for distance in [5, 10, 20] {
        scene.wait(distance - 1);
        assert_eq!(scene.work().await, worked(0, 0, 0), "{distance}");
        scene.wait(1);
        assert_eq!(scene.work().await, worked(1, 0, 1), "{distance}");
    }
    scene.people("id\n1\n");
    scene.index("SELECT id FROM people", "commit").await;
    scene.wait(40);
    assert_eq!(scene.work().await, worked(1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_gone_is_told_by_a_run_that_fails_and_the_profiles_stay() {
    let scene = Scene::new().await;
    scene.index(ALL, "commit").await;
    scene.work().await;
    scene.no_people();
    scene.wait(2);
    assert_eq!(scene.work().await, worked(1, 0, 1));
    let run = scene.runs().list(&subject(), 1, None).await.unwrap().runs.remove(0);
    assert_eq!(run.steps[0].message.as_deref(), Some("external table people has no csv files at its location"));
    assert_eq!(scene.ids().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_runner_died_is_done_by_another() {
    let scene = Scene::new().await;
    scene.index(ALL, "manual").await;
    let run = scene.ask().await;
    let dead = scene.runs().claim("dead", SignedDuration::from_secs(60), scene.now()).await.unwrap();
    drop(dead);
    scene.wait(59);
    assert_eq!(scene.work().await, worked(0, 0, 0));
    scene.wait(1);
    assert_eq!(scene.work().await, worked(0, 1, 0));
    assert_eq!(scene.runs().get(&subject(), run.id).await.unwrap().unwrap().attempts, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_index_leaves_nothing_behind() {
    let scene = Scene::new().await;
    scene.index(ALL, "commit").await;
    scene.work().await;
    let catalog = &scene.services.catalog;
    catalog.delete(&tenant(), ResourceKind::Indexes, "people", Precondition::None).await.unwrap();
    scene.work().await;
    scene.wait(61);
    scene.work().await;
    assert_eq!(scene.ids().await, None);
    let store = &*scene.services.store;
    assert!(query_all(store, Query::prefix("indexes-built/acme", INDEX)).await.unwrap().is_empty());
}
