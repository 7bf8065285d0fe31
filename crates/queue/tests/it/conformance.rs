//! What both queues promise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_model::{Position, QueuedRecord};
use freshet_queue::{Consumer, MAX_PAYLOAD_BYTES, PartitionBatch, QueueError, ReadLimit, Watermarks};
use freshet_testkit::{random_name, seed};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rstest::rstest;

use crate::support::{
    Kind, LONG_WAIT, NO_WAIT, PATIENCE, Topic, later, now, payload, read_all, record, records, shard, shard_in,
};

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_there_after_a_restart(#[case] kind: Kind) {
    let topic = Topic::new(kind, 2);
    let shard = shard_in(1, 2);
    let first = records(["a", "b", "c"]);
    let second = records(["d"]);

    let queue = topic.open().await;
    assert_eq!((queue.topic(), queue.partitions()), (topic.name.as_str(), 2));
    queue.ping().await.unwrap();
    let positions = queue.append(&shard, first.clone()).await.unwrap();
    assert_eq!(positions, [0, 1, 2].map(|offset| Position { partition: 1, offset }));
    assert_eq!(queue.append(&shard, Vec::new()).await.unwrap(), []);
    drop(queue);

    let queue = topic.open().await;
    let positions = queue.append(&shard, second.clone()).await.unwrap();
    assert_eq!(positions, [Position { partition: 1, offset: 3 }]);
    let expected: Vec<QueuedRecord> = (0..)
        .zip(first.into_iter().chain(second))
        .map(|(offset, record)| QueuedRecord { position: Position { partition: 1, offset }, record })
        .collect();
    assert_eq!(read_all(&*queue, 1, 0).await, expected);
    assert_eq!(read_all(&*queue, 1, 2).await, expected[2..]);
    assert_eq!(read_all(&*queue, 0, 0).await, []);
    assert_eq!(queue.watermarks(1).await.unwrap(), Watermarks { low: 0, high: 4 });
    assert_eq!(queue.watermarks(0).await.unwrap(), Watermarks { low: 0, high: 0 });
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_not_there_is_refused(#[case] kind: Kind) {
    let queue = Topic::new(kind, 2).open().await;
    let errors = [
        queue.watermarks(2).await.unwrap_err(),
        queue.read(7, 0, NO_WAIT).await.unwrap_err(),
        queue.offset_at(u32::MAX, now()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, QueueError::Refused { .. }) && !error.is_temporary());
        assert!(error.to_string().contains("its partitions are 0 to 1"), "{error}");
    }
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_read_keeps_its_limits(#[case] kind: Kind) {
    let queue = Topic::new(kind, 1).open().await;
    queue.append(&shard(0), records(["0123456789", "x", "y", "0123456789"])).await.unwrap();
    let read = async |offset, records, bytes| {
        let limit = ReadLimit { records, bytes, wait: Duration::ZERO };
        let page = queue.read(0, offset, limit).await.unwrap();
        page.iter().map(|queued| queued.position.offset).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 0, 100).await, [0_u64; 0]);
    assert_eq!(read(0, 2, 100).await, [0, 1]);
    assert_eq!(read(0, 9, 11).await, [0, 1]);
    assert_eq!(read(0, 9, 5).await, [0], "one record comes even if it alone is larger");
    assert_eq!(read(1, 9, 11).await, [1, 2]);
    assert_eq!(read(1, 9, 0).await, [1]);
    assert_eq!(read(4, 9, 100).await, [0_u64; 0]);
    assert_eq!(read(1_000, 9, 100).await, [0_u64; 0]);
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_for_a_record(#[case] kind: Kind) {
    let queue = Topic::new(kind, 2).open().await;
    let started = Instant::now();
    let wait = Duration::from_millis(120);
    assert_eq!(queue.read(0, 0, ReadLimit { wait, ..NO_WAIT }).await.unwrap(), []);
    assert!(started.elapsed() >= wait);

    let reading = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.read(0, 0, ReadLimit { wait: Duration::MAX, ..NO_WAIT }).await.unwrap() }
    });
    // The other partition's records don't end the wait.
    queue.append(&shard_in(1, 2), records(["other"])).await.unwrap();
    queue.append(&shard_in(0, 2), records(["mine"])).await.unwrap();
    let page = tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert_eq!(page.iter().map(payload).collect::<Vec<_>>(), ["mine"]);
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn the_first_record_at_a_time_is_found_whatever_order_the_times_have(#[case] kind: Kind) {
    let queue = Topic::new(kind, 1).open().await;
    let mut random = StdRng::seed_from_u64(seed());
    let base = now();
    assert_eq!(queue.offset_at(0, base).await.unwrap(), 0);
    let mut times = Vec::new();
    for _ in 0..6 {
        // A few milliseconds, so that several records share one, and the times go back and forth.
        let batch: Vec<i64> = (0..10).map(|_| random.random_range(0..6_000)).collect();
        queue.append(&shard(0), batch.iter().map(|at| record("x", later(base, *at))).collect()).await.unwrap();
        times.extend(batch);
    }
    let greatest = times.iter().max().copied().unwrap();
    let mut asked: Vec<i64> = (0..10).map(|_| random.random_range(-10..6_010)).collect();
    asked.extend(times.iter().take(10).flat_map(|at| [at - 1, *at, at + 1]));
    asked.extend([-1_000_000, greatest, greatest + 1, greatest + 1_000, greatest + 60_000_000]);
    for at in asked {
        let expected = times.iter().position(|time| *time >= at).unwrap_or(times.len());
        let found = queue.offset_at(0, later(base, at)).await.unwrap();
        assert_eq!(found, u64::try_from(expected).unwrap(), "at {at} of {times:?}");
    }
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_megabyte_fits_and_one_too_large_is_refused_with_its_neighbours(#[case] kind: Kind) {
    let queue = Topic::new(kind, 1).open().await;
    let mut random = StdRng::seed_from_u64(seed());
    let mut large = vec![0_u8; MAX_PAYLOAD_BYTES];
    random.fill_bytes(&mut large);
    let megabyte = record(large[..1_000_000].to_vec(), now());
    let largest = record(large.clone(), now());
    queue.append(&shard(0), vec![megabyte.clone(), largest.clone()]).await.unwrap();

    large.push(0);
    let error = queue.append(&shard(0), vec![record("x", now()), record(large, now())]).await.unwrap_err();
    assert!(matches!(error, QueueError::Refused { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the queue refused: record 1 has 2000001 bytes, and the queue takes at most 2000000 a record"
    );

    let found: Vec<_> = read_all(&*queue, 0, 0).await.into_iter().map(|queued| queued.record).collect();
    assert!(found == [megabyte, largest], "{} records are there", found.len());
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn each_append_keeps_its_order_among_others(#[case] kind: Kind) {
    const TASKS: usize = 6;
    const APPENDS: usize = 15;
    const RECORDS: usize = 40;
    let queue = Topic::new(kind, 1).open().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                for append in 0..APPENDS {
                    let numbers = append * RECORDS..(append + 1) * RECORDS;
                    let batch = records(numbers.map(|number| format!("{task} {number}")));
                    let expected: Vec<_> = batch.iter().map(|record| record.payload.clone()).collect();
                    let positions = queue.append(&shard(0), batch).await.unwrap();
                    assert!(positions.is_sorted_by(|one, next| one < next));
                    for (position, payload) in positions.iter().zip(expected) {
                        let one = ReadLimit { records: 1, ..NO_WAIT };
                        if position.offset % 37 == 0 {
                            let found = queue.read(0, position.offset, one).await.unwrap();
                            assert_eq!((found[0].position, &found[0].record.payload), (*position, &payload));
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = read_all(&*queue, 0, 0).await;
    assert_eq!(all.len(), TASKS * APPENDS * RECORDS);
    for task in 0..TASKS {
        let prefix = format!("{task} ");
        let numbers: Vec<usize> =
            all.iter().filter_map(|queued| payload(queued).strip_prefix(&prefix)).map(|n| n.parse().unwrap()).collect();
        assert_eq!(numbers, (0..APPENDS * RECORDS).collect::<Vec<_>>());
    }
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_a_stream_lie_in_different_partitions(#[case] kind: Kind) {
    const PARTITIONS: u32 = 24;
    let queue = Topic::new(kind, PARTITIONS).open().await;
    for number in 0..PARTITIONS {
        let positions = queue.append(&shard(number), records([number])).await.unwrap();
        assert_eq!(positions, [Position { partition: shard(number).partition(PARTITIONS), offset: 0 }]);
    }
    for number in 0..PARTITIONS {
        let found = read_all(&*queue, shard(number).partition(PARTITIONS), 0).await;
        assert_eq!(found.iter().map(payload).collect::<Vec<_>>(), [number.to_string()]);
    }
    let mut consumer = Arc::clone(&queue).consumer(&random_name("group")).await.unwrap();
    let mut found: Vec<u32> =
        poll_records(&mut *consumer, 24).await.iter().map(|n| payload(n).parse().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (0..PARTITIONS).collect::<Vec<_>>());
}

/// Polls until so many records have come.
async fn poll_records(consumer: &mut dyn Consumer, count: usize) -> Vec<QueuedRecord> {
    let mut found = Vec::new();
    while found.len() < count {
        let batches = consumer.poll(LONG_WAIT).await.unwrap();
        assert!(!batches.is_empty(), "only {} of {count} records came", found.len());
        found.extend(batches.into_iter().flat_map(|PartitionBatch { records, .. }| records));
    }
    found
}

fn payloads(records: &[QueuedRecord]) -> Vec<&str> {
    records.iter().map(payload).collect()
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_where_it_committed(#[case] kind: Kind) {
    let topic = Topic::new(kind, 2);
    let group = random_name("group");
    let queue = topic.open().await;
    let shard = shard_in(1, 2);
    queue.append(&shard, records(["a", "b", "c"])).await.unwrap();

    let mut consumer = Arc::clone(&queue).consumer(&group).await.unwrap();
    assert_eq!(payloads(&poll_records(&mut *consumer, 3).await), ["a", "b", "c"]);
    assert_eq!(consumer.poll(NO_WAIT).await.unwrap(), []);
    consumer.rewind(1).await.unwrap();
    assert_eq!(payloads(&poll_records(&mut *consumer, 3).await), ["a", "b", "c"], "nothing was committed yet");
    consumer.commit(1, 2).await.unwrap();
    consumer.rewind(1).await.unwrap();
    assert_eq!(payloads(&poll_records(&mut *consumer, 1).await), ["c"]);
    queue.append(&shard, records(["d"])).await.unwrap();
    assert_eq!(payloads(&poll_records(&mut *consumer, 1).await), ["d"]);
    consumer.close().await.unwrap();
    drop(queue);

    let queue = topic.open().await;
    let mut consumer = Arc::clone(&queue).consumer(&group).await.unwrap();
    assert_eq!(payloads(&poll_records(&mut *consumer, 2).await), ["c", "d"]);
    consumer.close().await.unwrap();
    let mut other = queue.consumer(&random_name("group")).await.unwrap();
    assert_eq!(payloads(&poll_records(&mut *other, 4).await), ["a", "b", "c", "d"]);
    other.close().await.unwrap();
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_poll_keeps_its_limits_and_gives_each_partition_its_turn(#[case] kind: Kind) {
    const PARTITIONS: u32 = 3;
    let queue = Topic::new(kind, PARTITIONS).open().await;
    for partition in 0..PARTITIONS {
        let batch = records((0..200).map(|number| format!("{number:010}")));
        queue.append(&shard_in(partition, PARTITIONS), batch).await.unwrap();
    }
    let mut consumer = Arc::clone(&queue).consumer(&random_name("group")).await.unwrap();
    let mut next = [0; 3];
    let mut polls = 0;
    while next != [200; 3] {
        let limit = ReadLimit { records: 30, bytes: 255, wait: PATIENCE };
        let batches = consumer.poll(limit).await.unwrap();
        let count: usize = batches.iter().map(|batch| batch.records.len()).sum();
        assert!((1..=25).contains(&count), "{count} records of 10 bytes");
        for PartitionBatch { partition, records } in batches {
            for queued in records {
                let expected = &mut next[partition as usize];
                assert_eq!(queued.position, Position { partition, offset: *expected });
                assert_eq!(payload(&queued), format!("{expected:010}"));
                *expected += 1;
            }
        }
        polls += 1;
        if kind == Kind::Embedded && polls == 3 {
            assert!(next.iter().all(|next| *next > 0), "one partition keeps the others waiting: {next:?}");
        }
    }
    assert!(polls <= 40, "{polls} polls for 600 records");
    consumer.close().await.unwrap();
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::kafka(Kind::Kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_given_up_loses_nothing(#[case] kind: Kind) {
    const RECORDS: usize = 3_000;
    let queue = Topic::new(kind, 1).open().await;
    let mut consumer = Arc::clone(&queue).consumer(&random_name("group")).await.unwrap();
    let appending = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move {
            for first in (0..RECORDS).step_by(50) {
                queue.append(&shard(0), records(first..first + 50)).await.unwrap();
            }
        }
    });
    let mut random = StdRng::seed_from_u64(seed());
    let mut found = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while found.len() < RECORDS && Instant::now() < deadline {
        let patience = Duration::from_micros(random.random_range(0..8_000));
        if let Ok(batches) = tokio::time::timeout(patience, consumer.poll(LONG_WAIT)).await {
            found.extend(batches.unwrap().into_iter().flat_map(|batch| batch.records));
        }
    }
    appending.await.unwrap();
    let numbers: Vec<usize> = found.iter().map(|queued| payload(queued).parse().unwrap()).collect();
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
    consumer.close().await.unwrap();
}
