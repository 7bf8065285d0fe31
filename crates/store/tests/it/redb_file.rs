//! What only a store in a file can do: be opened again, be held by another process, be unreadable.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use freshet_store::{Condition, Key, Query, RedbStore, Store, StoreError, query_all};

/// Where a child process finds the path of its file.
const CHILD_FILE: &str = "FRESHET_STORE_TEST_FILE";

fn key() -> Key {
    Key::new("p", "a")
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let mut versions = Vec::new();
    for round in 0..3_u8 {
        let store = RedbStore::open(&path).unwrap();
        if let Some(last) = versions.last() {
            let item = store.get(&key()).await.unwrap().unwrap();
            assert_eq!((item.value, item.version), (Bytes::from(vec![round - 1]), *last));
            store.delete(&key(), Condition::Is(*last)).await.unwrap();
        }
        let version = store.put(&key(), Bytes::from(vec![round]), Condition::Absent).await.unwrap();
        assert!(!versions.contains(&version), "{version:?} came back after reopening");
        versions.push(version);
    }
}

#[tokio::test]
async fn only_the_owner_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/of/freshet/store.redb");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    drop(RedbStore::open(&path).unwrap());
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&directory.path().join("data/of/freshet")), 0o700);
    assert_eq!(mode(&directory.path().join("data")), 0o700);

    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    drop(RedbStore::open(&path).unwrap());
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn what_is_not_a_store_is_not_opened_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "not a database, ".repeat(1_000)).unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("notes.txt is not a file of a store"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a database, ".repeat(1_000));

    for bad_path in [directory.path().to_path_buf(), path.join("store.redb")] {
        let error = RedbStore::open(&bad_path).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let mut child = start_writer(&path);
    acknowledged_by(&mut child).next().unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("open in another process; stop that one"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    let store = RedbStore::open(&path).unwrap();
    assert!(matches!(RedbStore::open(&path), Err(StoreError::Refused { .. })), "opened twice in one process");
    store.ping().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    for round in 1..=5 {
        let mut child = start_writer(&path);
        let mut numbers = acknowledged_by(&mut child);
        let mut acknowledged: Vec<_> = numbers.by_ref().take(20 * round).collect();
        assert_eq!(acknowledged.len(), 20 * round);
        child.kill().unwrap();
        acknowledged.extend(numbers);
        child.wait().unwrap();
        let store = RedbStore::open(&path).unwrap();
        let stored = query_all(&store, Query::prefix("numbers", "")).await.unwrap();
        for number in acknowledged {
            assert!(stored.iter().any(|item| item.key.sort == number), "{number} was acknowledged and is lost");
        }
    }
}

/// This test binary, as a process that writes to a file until it is killed.
fn start_writer(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "redb_file::a_process_that_writes", "--ignored", "--nocapture"])
        .env(CHILD_FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The numbers that a writer says are written.
fn acknowledged_by(writer: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap);
    // A line that the kill cut short was not said.
    let numbers = lines.filter_map(|line| line.split_once("written ").map(|(_, number)| number.to_owned()));
    numbers.filter(|number| number.len() == 9)
}

#[tokio::test]
#[ignore = "run by other tests, as a process of its own"]
async fn a_process_that_writes() {
    let path = std::env::var_os(CHILD_FILE).unwrap();
    let store = Arc::new(RedbStore::open(Path::new(&path)).unwrap());
    let begin = query_all(&*store, Query::prefix("numbers", "")).await.unwrap().len();
    // Eight at a time, so that groups of writes are committed together.
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in (begin..).skip(writer).step_by(8) {
                let number_key = Key::new("numbers", format!("{number:09}"));
                store.put(&number_key, Bytes::new(), Condition::Any).await.unwrap();
                println!("written {number:09}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}
