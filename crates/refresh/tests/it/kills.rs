//! A runner that dies at every single write of a run, before it and after it: readers never see half, and the next run ends as if
//! nothing had happened.

use std::sync::Arc;

use freshet_runs::{RunKind, RunState};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::faults::{Life, MortalFiles, MortalStore};
use crate::scene::{Process, Scene, noon};

/// Beyond the writes of any run here.
const MOST_WRITES: usize = 200;

fn mortal(scene: &Scene, life: &Arc<Life>) -> Process {
    let store = Arc::new(MortalStore(Arc::clone(&scene.store), Arc::clone(life)));
    let files = Arc::new(MortalFiles(Arc::clone(&scene.files), Arc::clone(life)));
    scene.process_on(store, files)
}

/// A while later than `noon`: the lease of whoever died has expired.
fn later() -> jiff::Timestamp {
    noon() + SignedDuration::from_hours(1)
}

const TABLES: [(&str, &str); 2] = [
    ("by_buyer", "SELECT email, sum(revenue) AS spent FROM orders GROUP BY email"),
    ("total", "SELECT sum(spent) AS spent, count(*) AS buyers FROM by_buyer"),
];

async fn shown(scene: &Scene) -> Vec<Result<Vec<Value>, String>> {
    let mut shown = Vec::new();
    for sql in ["SELECT * FROM by_buyer ORDER BY email", "SELECT * FROM total"] {
        shown.push(scene.rows(sql).await);
    }
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_a_database_is_killed_at_every_write() {
    for after in [false, true] {
        let mut deaths = 0;
        for dies_at in 0..MOST_WRITES {
            let scene = Scene::new().await;
            scene.define(&TABLES).await;
            scene.write(0..50, 0).await;
            scene.process().run(&scene, RunKind::Databases, noon()).await.unwrap();
            let before = shown(&scene).await;
            scene.write(50..60, 50).await;

            let life = Life::until(dies_at, after);
            let outcome = mortal(&scene, &life).run(&scene, RunKind::Databases, noon()).await;
            let seen = shown(&scene).await;
            let run = scene.process().run(&scene, RunKind::Databases, later()).await.unwrap();
            assert_eq!(run.state, RunState::Succeeded, "at {dies_at}");
            let end = shown(&scene).await;
            assert_eq!(end[1], Ok(vec![json!({"spent": 2655.00, "buyers": 10})]), "at {dies_at}");
            for (table, seen) in seen.iter().enumerate() {
                assert!(*seen == before[table] || *seen == end[table], "at {dies_at} half is seen: {seen:?}");
            }
            if !life.has_died() {
                assert_eq!(outcome.unwrap().state, RunState::Succeeded);
                break;
            }
            deaths += 1;
        }
        assert!((10..MOST_WRITES).contains(&deaths), "{deaths}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_of_an_index_is_killed_at_every_write() {
    for after in [false, true] {
        let mut deaths = 0;
        for dies_at in 0..MOST_WRITES {
            let scene = Scene::new().await;
            scene.write(0..50, 0).await;
            let query = "SELECT email, sum(revenue) AS spent FROM orders WHERE order_id >= 0 GROUP BY email";
            let index = scene.index(query, "email", &["spent"]).await;
            scene.process().run(&scene, RunKind::Indexes, noon()).await.unwrap();
            let before = scene.profiles(&index).await.unwrap();
            scene.write(50..55, 50).await;

            let life = Life::until(dies_at, after);
            let outcome = mortal(&scene, &life).run(&scene, RunKind::Indexes, noon()).await;
            let seen = scene.profiles(&index).await.unwrap();
            let run = scene.process().run(&scene, RunKind::Indexes, later()).await.unwrap();
            assert_eq!(run.state, RunState::Succeeded, "at {dies_at}");
            let end = scene.profiles(&index).await.unwrap();
            assert_eq!((seen.len(), end.len()), (10, 10), "at {dies_at}");
            for (place, profile) in seen.iter().enumerate() {
                let is_whole = *profile == before[place] || *profile == end[place];
                assert!(is_whole, "at {dies_at} a mixture is seen: {profile:?}");
            }
            assert_ne!(before, end);
            if !life.has_died() {
                assert_eq!(outcome.unwrap().state, RunState::Succeeded);
                break;
            }
            deaths += 1;
        }
        assert!((10..MOST_WRITES).contains(&deaths), "{deaths}");
    }
}
