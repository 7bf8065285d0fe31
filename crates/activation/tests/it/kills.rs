//! A process that dies at every single write of a delivery, before it and after it: no batch is lost, a manifest names whole files, and
//! the next attempt ends as if nothing had happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use crate::faults::{Life, MortalFiles, MortalStore};
use crate::receiver::Receiver;
use crate::scene::{Scene, delivery};

/// Beyond the writes of any delivery here.
const MOST_WRITES: usize = 100;

const BEFORE: [(&str, &str); 4] = [("1", "Oslo"), ("2", "Bergen"), ("3", "Bodø"), ("4", "Alta")];
const AFTER: [(&str, &str); 5] = [("2", "Bergen"), ("3", "Vardø"), ("4", "Hamar"), ("5", "Narvik"), ("6", "Molde")];
/// What the result is by the time of the next attempt.
const LATER: [(&str, &str); 3] = [("2", "Bergen"), ("5", "Vadsø"), ("7", "Lom")];

fn as_map(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
    rows.iter().map(|(id, city)| ((*id).to_owned(), (*city).to_owned())).collect()
}

/// The rows of files in the order of their deliveries, applied; each file that a manifest names is whole.
fn applied(scene: &Scene, deliveries: std::ops::RangeInclusive<u32>) -> BTreeMap<String, String> {
    let mut held = BTreeMap::new();
    for number in deliveries {
        let folder = delivery(number);
        let Some(manifest) = scene.delivered(&format!("{folder}/manifest.json")) else { continue };
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        if manifest["send"] == "all" {
            held.clear();
        }
        for file in manifest["files"].as_array().unwrap() {
            let name = file["name"].as_str().unwrap();
            let bytes = scene.delivered(&format!("{folder}/{name}")).expect("a file that the manifest names");
            assert_eq!(file["bytes"], json!(bytes.len()));
            for line in String::from_utf8(bytes).unwrap().lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                let id = row.get("_key").unwrap_or(&row["id"]).as_str().unwrap().to_owned();
                if row.get("_change") == Some(&json!("delete")) {
                    held.remove(&id).unwrap();
                } else {
                    held.insert(id, row["city"].as_str().unwrap().to_owned());
                }
            }
        }
    }
    held
}

#[rstest]
#[case::all_to_files("all", false)]
#[case::changes_to_files("changes", false)]
#[case::all_to_a_webhook("all", true)]
#[case::changes_to_a_webhook("changes", true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_killed_at_every_write(#[case] send: &str, #[case] is_webhook: bool) {
    for after in [false, true] {
        // Whether the next attempt is of the same delivery, or of the next.
        for is_same in [false, true] {
            let mut deaths = 0;
            for dies_at in 0..MOST_WRITES {
                let at = format!("{send} {is_webhook} {after} {is_same} {dies_at}");
                let (scene, receiver) = (Scene::new().await, Receiver::new().await);
                let destination = if is_webhook {
                    receiver.destination(2)
                } else {
                    json!({"type": "files", "location": "out", "format": "ndjson"})
                };
                scene.activation(send, destination).await;
                scene.people(&BEFORE);
                scene.deliver(1).await.unwrap();
                scene.people(&AFTER);
                let life = Life::until(dies_at, after);
                let store = Arc::new(MortalStore(Arc::clone(&scene.store), Arc::clone(&life)));
                let files = Arc::new(MortalFiles(Arc::clone(&scene.files), Arc::clone(&life)));
                let outcome = scene.deliver_on(store, files, 2).await;
                scene.people(&LATER);
                let next = if is_same { 2 } else { 3 };
                scene.deliver(next).await.unwrap_or_else(|error| panic!("{at}: {error}"));
                scene.deliver(4).await.unwrap_or_else(|error| panic!("{at}: {error}"));
                let held = if is_webhook && send == "all" {
                    let last: Vec<_> = receiver
                        .received()
                        .into_iter()
                        .filter(|each| each.id.starts_with(&delivery(4).to_string()))
                        .collect();
                    assert_eq!(last.len(), 2, "{at}");
                    last.iter()
                        .flat_map(|each| each.body["rows"].as_array().unwrap())
                        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["city"].as_str().unwrap().to_owned()))
                        .collect()
                } else if is_webhook {
                    receiver.applied()
                } else {
                    applied(&scene, 1..=4)
                };
                assert_eq!(held, as_map(&LATER), "{at}");
                if is_webhook {
                    // Every batch that was begun of a delivery that has ended was taken.
                    let taken = |number: u32| {
                        let of = delivery(number).to_string();
                        let all = receiver.received().into_iter().filter(|each| each.body["delivery"] == json!(of));
                        all.map(|each| (each.body["batch"].as_u64().unwrap(), each.body["batches"].as_u64().unwrap()))
                            .collect::<BTreeMap<_, _>>()
                    };
                    let numbers = if is_same { vec![1, 2, 4] } else { vec![1, 3, 4] };
                    for taken in numbers.into_iter().map(taken) {
                        assert!(taken.values().all(|batches| *batches == taken.len() as u64), "{at}: {taken:?}");
                    }
                }
                assert_eq!(scene.staged(), usize::from(send == "changes"), "{at}");
                if !life.has_died() {
                    outcome.unwrap();
                    break;
                }
                deaths += 1;
            }
            assert!((6..MOST_WRITES).contains(&deaths), "{deaths}");
        }
    }
}
