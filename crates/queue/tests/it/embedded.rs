//! What only the embedded queue has: a file, its retention, its disk.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use freshet_queue::{EmbeddedQueue, EmbeddedSettings, Queue, QueueError, Watermarks};
use freshet_testkit::eventually;
use jiff::Timestamp;
use rstest::rstest;

use crate::support::{
    Kind, LONG_WAIT, NO_WAIT, PATIENCE, Topic, later, now, payload, read_all, record, records, shard,
};

/// A clock that stands until it is set.
fn clock(time: &Arc<AtomicI64>) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    let time = Arc::clone(time);
    Arc::new(move || Timestamp::from_microsecond(time.load(Ordering::SeqCst)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_deletes_from_the_start_and_offsets_are_never_used_again() {
    const SECOND: i64 = 1_000_000;
    let topic = Topic::new(Kind::Embedded, 2);
    let base = now();
    let time = Arc::new(AtomicI64::new(base.as_microsecond()));
    let settings =
        EmbeddedSettings { retention: Duration::from_secs(10), clock: clock(&time), ..topic.embedded_settings() };
    let queue = Arc::new(EmbeddedQueue::open(settings.clone()).await.unwrap());
    let shard = shard(0);
    let partition = shard.partition(2);
    // More than one step of deleting, and one record that is newer than those behind it.
    let times = (0..5_000).map(|number| later(base, number)).chain([1, 5, 2, 9].map(|at| later(base, at * SECOND)));
    queue.append(&shard, times.map(|at| record("x", at)).collect()).await.unwrap();
    let mut consumer = Arc::clone(&queue).consumer("group").await.unwrap();

    queue.expire().await.unwrap();
    assert_eq!(queue.watermarks(partition).await.unwrap(), Watermarks { low: 0, high: 5_004 });

    time.fetch_add(13 * SECOND, Ordering::SeqCst);
    queue.expire().await.unwrap();
    assert_eq!(queue.watermarks(partition).await.unwrap(), Watermarks { low: 5_001, high: 5_004 });
    let kept = queue.read(partition, 0, NO_WAIT).await.unwrap();
    assert_eq!(kept.iter().map(|queued| queued.position.offset).collect::<Vec<_>>(), [5_001, 5_002, 5_003]);
    assert_eq!(queue.offset_at(partition, base).await.unwrap(), 5_001);
    assert_eq!(queue.offset_at(partition, later(base, 6 * SECOND)).await.unwrap(), 5_003);
    let batches = consumer.poll(LONG_WAIT).await.unwrap();
    assert_eq!(batches[0].records, kept);

    time.fetch_add(60 * SECOND, Ordering::SeqCst);
    queue.expire().await.unwrap();
    let empty = Watermarks { low: 5_004, high: 5_004 };
    assert_eq!(queue.watermarks(partition).await.unwrap(), empty);
    assert_eq!(queue.offset_at(partition, base).await.unwrap(), 5_004);
    drop(consumer);
    drop(queue);

    // A record that is older than those that were deleted, and yet young enough once the clock is set back.
    time.store(base.as_microsecond(), Ordering::SeqCst);
    let queue = EmbeddedQueue::open(settings).await.unwrap();
    assert_eq!(queue.watermarks(partition).await.unwrap(), empty);
    let positions = queue.append(&shard, vec![record("y", later(base, 4 * SECOND))]).await.unwrap();
    assert_eq!(positions[0].offset, 5_004);
    assert_eq!(queue.offset_at(partition, later(base, 3 * SECOND)).await.unwrap(), 5_004);
    assert_eq!(queue.offset_at(partition, later(base, 5 * SECOND)).await.unwrap(), 5_005);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retention_nothing_is_deleted() {
    let queue = EmbeddedQueue::open(Topic::new(Kind::Embedded, 1).embedded_settings()).await.unwrap();
    queue.append(&shard(0), vec![record("x", Timestamp::UNIX_EPOCH)]).await.unwrap();
    tokio::time::timeout(PATIENCE, queue.expire()).await.unwrap().unwrap();
    assert_eq!(queue.watermarks(0).await.unwrap(), Watermarks { low: 0, high: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_can_read_the_file() {
    let topic = Topic::new(Kind::Embedded, 1);
    let _queue = topic.open().await;
    let mode = std::fs::metadata(topic.embedded_settings().path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[rstest]
#[case::partitions(|settings: &mut EmbeddedSettings| settings.partitions = 8, "has 4 partitions, not 8")]
#[case::topic(|settings: &mut EmbeddedSettings| settings.topic = "other".to_owned(), "not other: open it as")]
#[case::no_partitions(|settings: &mut EmbeddedSettings| settings.partitions = 0, "1 to 1024")]
#[case::many_partitions(|settings: &mut EmbeddedSettings| settings.partitions = 1_025, "1 to 1024")]
#[case::name(|settings: &mut EmbeddedSettings| settings.topic = "a b".to_owned(), "\"a b\" is not a topic")]
#[case::folder(|settings: &mut EmbeddedSettings| settings.path.push("none/queue"), "opening ")]
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_do_not_fit_are_refused(#[case] change: fn(&mut EmbeddedSettings), #[case] message: &str) {
    let topic = Topic::new(Kind::Embedded, 4);
    drop(topic.open().await);
    let mut settings = topic.embedded_settings();
    change(&mut settings);
    if message == "opening " {
        settings.path = topic.directory.path().join("none/queue.redb");
    }
    let error = EmbeddedQueue::open(settings).await.unwrap_err();
    assert!(matches!(error, QueueError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(message), "{error}");
}

#[rstest]
#[case::another_format(|_: &[u8]| b"PAR1 this is no queue at all, but long enough to be one".repeat(200))]
#[case::cut_off(|file: &[u8]| file[..file.len() / 2].to_vec())]
#[case::overwritten(|file: &[u8]| [&file[..64], vec![0x5a; file.len() - 64].as_slice()].concat())]
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_told(#[case] damage: fn(&[u8]) -> Vec<u8>) {
    let topic = Topic::new(Kind::Embedded, 4);
    let queue = topic.open().await;
    queue.append(&shard(0), records(0..2_000)).await.unwrap();
    drop(queue);
    let settings = topic.embedded_settings();
    let damaged = damage(&std::fs::read(&settings.path).unwrap());
    std::fs::write(&settings.path, damaged).unwrap();
    let error = EmbeddedQueue::open(settings).await.unwrap_err();
    assert!(matches!(&error, QueueError::Corrupt { context, .. } if context.contains("queue.redb")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_a_group_have_one_user_at_a_time() {
    let topic = Topic::new(Kind::Embedded, 1);
    let queue = topic.open().await;
    let error = EmbeddedQueue::open(topic.embedded_settings()).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");

    let consumer = Arc::clone(&queue).consumer("group").await.unwrap();
    let error = Arc::clone(&queue).consumer("group").await.map(drop).unwrap_err();
    assert!(matches!(&error, QueueError::Refused { context, .. } if context.contains("close it first")), "{error}");
    drop(consumer);
    assert!(queue.consumer("group").await.is_ok());
}

/// The test below in a process of its own, for a limit of file size holds for a whole process.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_the_queue_goes_on_when_there_is_room() {
    let child = tokio::process::Command::new("sh")
        // With the signal ignored, a write beyond the limit fails as it does on a full disk.
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "embedded::with_a_limit_of_file_size", "--nocapture"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE * 2, child).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

async fn limit_file_size(limit: &str) {
    let status = tokio::process::Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string(), &format!("--fsize={limit}:unlimited")])
        .status();
    assert!(status.await.unwrap().success(), "prlimit, of util-linux, is needed");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above"]
async fn with_a_limit_of_file_size() {
    let topic = Topic::new(Kind::Embedded, 1);
    let queue = topic.open().await;
    let mut acknowledged = 0;
    let batch = |from: usize| records((from..from + 500).map(|number| format!("{number:0500}")));
    queue.append(&shard(0), batch(acknowledged)).await.unwrap();
    acknowledged += 500;

    let length = std::fs::metadata(topic.embedded_settings().path).unwrap().len();
    limit_file_size(&(length + (1 << 20)).to_string()).await;
    let error = loop {
        match queue.append(&shard(0), batch(acknowledged)).await {
            Ok(_) => acknowledged += 500,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000_000);
    };
    assert!(error.is_temporary(), "{error:?}");
    // It stays so, and what was acknowledged can be read, as long as it is full.
    let readable = async || queue.read(0, 0, NO_WAIT).await.is_ok_and(|page| page.len() >= acknowledged);
    eventually(PATIENCE, readable).await.unwrap();
    let error = queue.append(&shard(0), records(0..20_000)).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");

    limit_file_size("unlimited").await;
    let position = loop {
        match queue.append(&shard(0), records(["after"])).await {
            Ok(positions) => break positions[0],
            Err(error) => assert!(error.is_temporary(), "{error:?}"),
        }
        tokio::task::yield_now().await;
    };
    let all = read_all(&*queue, 0, 0).await;
    let numbers = (0..acknowledged).map(|number| format!("{number:0500}"));
    assert!(all.iter().map(payload).zip(numbers).all(|(found, expected)| found == expected));
    assert_eq!((payload(all.last().unwrap()), all.last().unwrap().position), ("after", position));
}
