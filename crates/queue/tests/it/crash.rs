//! Killing the process that appends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use freshet_queue::{EmbeddedQueue, EmbeddedSettings, Queue};
use freshet_testkit::seed;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{payload, read_all, records, shard};

const PARTITIONS: u32 = 2;
const TASKS: u32 = 3;
const KILLS: u32 = 10;
const FILE: &str = "FRESHET_TEST_QUEUE_FILE";
const ROUND: &str = "FRESHET_TEST_ROUND";

fn settings(path: PathBuf) -> EmbeddedSettings {
    let clock = Arc::new(Timestamp::now);
    EmbeddedSettings { path, topic: "crash".to_owned(), partitions: PARTITIONS, retention: Duration::MAX, clock }
}

/// Appends for ever, and prints each record that is acknowledged: `acked PARTITION OFFSET PAYLOAD`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run and killed by the test below"]
async fn append_until_killed() {
    let queue = Arc::new(EmbeddedQueue::open(settings(std::env::var_os(FILE).unwrap().into())).await.unwrap());
    let round = std::env::var(ROUND).unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (queue, round) = (Arc::clone(&queue), round.clone());
            tokio::spawn(async move {
                let mut random = StdRng::seed_from_u64(u64::from(task));
                let mut next = 0;
                loop {
                    let count = random.random_range(1..200);
                    let payloads = (next..next + count).map(|number| format!("{round}-{task}-{number}"));
                    let batch = records(payloads.clone());
                    let positions = queue.append(&shard(task), batch).await.unwrap();
                    for (position, payload) in positions.iter().zip(payloads) {
                        println!("acked {} {} {payload}", position.partition, position.offset);
                    }
                    next += count;
                }
            })
        })
        .collect();
    futures::future::try_join_all(tasks).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_kill_is_there_once_and_in_order() {
    let mut random = StdRng::seed_from_u64(seed());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.redb");
    let mut acknowledged: BTreeMap<(u32, u64), String> = BTreeMap::new();
    for round in 0..KILLS {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "crash::append_until_killed", "--nocapture"])
            .env(FILE, &path)
            .env(ROUND, round.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = random.random_range(1..4_000);
        // After the kill, what the child has printed still comes.
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(line) = line.strip_prefix("acked ") {
                let fields: Vec<&str> = line.split(' ').collect();
                // The kill may have cut the last line.
                if let [partition, offset, payload] = fields[..] {
                    let position = (partition.parse().unwrap(), offset.parse().unwrap());
                    assert_eq!(acknowledged.insert(position, payload.to_owned()), None, "an offset was used again");
                }
                left -= 1;
                if left == 0 {
                    child.start_kill().unwrap();
                }
            }
        }
        assert!(left <= 0, "the child ended by itself: {:?}", child.wait().await);
        child.wait().await.unwrap();

        let queue = EmbeddedQueue::open(settings(path.clone())).await.unwrap();
        let mut next: BTreeMap<String, u64> = BTreeMap::new();
        let mut missing = acknowledged.clone();
        for partition in 0..PARTITIONS {
            for (offset, queued) in (0..).zip(read_all(&queue, partition, 0).await) {
                assert_eq!(queued.position.offset, offset, "a gap in partition {partition}");
                let (writer, number) = payload(&queued).rsplit_once('-').unwrap();
                let expected = next.entry(writer.to_owned()).or_default();
                assert_eq!(number.parse::<u64>().unwrap(), *expected, "of {writer} in partition {partition}");
                *expected += 1;
                if let Some(acked) = missing.remove(&(partition, offset))
                    && !payload(&queued).starts_with(&acked)
                {
                    panic!("{acked} was acknowledged at partition {partition}, offset {offset}, where {queued:?} is");
                }
            }
        }
        assert!(
            missing.is_empty(),
            "{} acknowledged records are gone, as {:?}",
            missing.len(),
            missing.first_key_value()
        );
    }
}
