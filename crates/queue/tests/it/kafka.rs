//! What only Kafka has: topics made by others, other producers, groups of several members, brokers that go away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_queue::{Consumer, KafkaQueue, KafkaSettings, Queue, QueueError, ReadLimit, TopicCreation, Watermarks};
use freshet_testkit::{Kafka, random_name};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::support::{
    Kind, LONG_WAIT, NO_WAIT, PATIENCE, Topic, kafka_settings, later, now, payload, read_all, record, records, shard,
    shard_in,
};

async fn shared() -> &'static Kafka {
    Kafka::shared().await.unwrap()
}

fn client(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap_servers());
    config
}

async fn create_topic(kafka: &Kafka, topic: NewTopic<'_>) {
    let admin: AdminClient<DefaultClientContext> = client(kafka).create().unwrap();
    let results = admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(PATIENCE))).await.unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_refused_with_what_to_do() {
    let kafka = shared().await;
    let name = random_name("missing");
    let settings = KafkaSettings { create_topic: None, ..kafka_settings(kafka, &name, 1) };
    let error = KafkaQueue::connect(settings).await.unwrap_err();
    assert!(matches!(error, QueueError::Refused { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("topic {name} does not exist on {}", kafka.bootstrap_servers())), "{text}");
    assert!(text.contains("create it there, or give the number of partitions"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_there_keeps_its_partitions_and_its_largest_message() {
    let kafka = shared().await;
    let name = random_name("existing");
    let topic = NewTopic::new(&name, 3, TopicReplication::Fixed(1)).set("max.message.bytes", "10000");
    create_topic(kafka, topic).await;
    let queue = KafkaQueue::connect(kafka_settings(kafka, &name, 7)).await.unwrap();
    assert_eq!(queue.partitions(), 3);
    // Compressed it would fit, but that can't be promised.
    let batch = vec![record("x", now()), record(vec![b'x'; 9_000], now())];
    let error = queue.append(&shard(0), batch).await.unwrap_err();
    assert!(error.to_string().contains("record 1 has 9000 bytes, and the queue takes at most 8976"), "{error}");
    queue.append(&shard(0), vec![record(vec![b'x'; 8_976], now())]).await.unwrap();
    assert_eq!(read_all(&queue, shard(0).partition(3), 0).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_wrong_are_refused() {
    let kafka = shared().await;
    let good = || kafka_settings(kafka, &random_name("wrong"), 1);
    let creation = |partitions, replication| Some(TopicCreation { partitions, replication });
    let cases = [
        (KafkaSettings { topic: "a b".to_owned(), ..good() }, "\"a b\" is not a topic"),
        (KafkaSettings { bootstrap_servers: " ".to_owned(), ..good() }, "there are no bootstrap servers"),
        (KafkaSettings { create_topic: creation(0, 1), ..good() }, "1 to 1024"),
        (KafkaSettings { create_topic: creation(1, 0), ..good() }, "0 is not a number of replicas"),
        (KafkaSettings { create_topic: creation(1, 9), ..good() }, "creating topic wrong-"),
        (KafkaSettings { properties: BTreeMap::from([("acks".to_owned(), "0".into())]), ..good() }, "acks is not"),
    ];
    for (settings, message) in cases {
        let error = KafkaQueue::connect(settings).await.unwrap_err();
        assert!(matches!(error, QueueError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_not_there_are_told_in_bounded_time() {
    let port = freshet_testkit::free_port().unwrap();
    let mut settings = kafka_settings(shared().await, "orders", 1);
    settings.bootstrap_servers = format!("127.0.0.1:{port}");
    let started = Instant::now();
    let error = KafkaQueue::connect(settings).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_other_producers_stop_nobody() {
    let topic = Topic::new(Kind::Kafka, 1);
    let queue = topic.open().await;
    let producer: FutureProducer = client(shared().await).create().unwrap();
    let foreign = async |headers: Option<OwnedHeaders>, payload: Option<&'static str>| {
        let message: FutureRecord<'_, str, str> =
            FutureRecord { headers, payload, ..FutureRecord::to(&topic.name).partition(0) };
        producer.send(message, PATIENCE).await.unwrap();
    };
    let tenant = || OwnedHeaders::new().insert(Header { key: "tenant", value: Some("ACME") });
    let base = now();
    foreign(None, Some("{}")).await;
    queue.append(&shard(0), vec![record("a", base)]).await.unwrap();
    foreign(Some(tenant()), Some("{}")).await;
    foreign(Some(tenant().insert(Header { key: "index", value: Some(&[0xff_u8, 0xfe]) })), None).await;
    queue.append(&shard(0), vec![record("b", later(base, 1_000))]).await.unwrap();
    foreign(None, None).await;

    let all = read_all(&*queue, 0, 0).await;
    let found: Vec<_> = all.iter().map(|queued| (queued.position.offset, payload(queued))).collect();
    assert_eq!(found, [(1, "a"), (4, "b")]);
    assert_eq!(read_all(&*queue, 0, 5).await, []);
    let one = ReadLimit { records: 1, ..NO_WAIT };
    assert_eq!(queue.read(0, 2, one).await.unwrap()[0].position.offset, 4);
    assert_eq!(queue.offset_at(0, later(base, 1)).await.unwrap(), 4);

    // A read that waits goes on behind them.
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.read(0, 5, LONG_WAIT).await.unwrap() }
    });
    let mut consumer = Arc::clone(&queue).consumer(&random_name("group")).await.unwrap();
    queue.append(&shard(0), vec![record("c", later(base, 2_000))]).await.unwrap();
    assert_eq!(waiting.await.unwrap()[0].position.offset, 6);
    let mut received = Vec::new();
    while received.len() < 3 {
        let batches = consumer.poll(LONG_WAIT).await.unwrap();
        received.extend(batches.iter().flat_map(|batch| &batch.records).map(|queued| queued.position.offset));
    }
    assert_eq!(received, [1, 4, 6]);
    consumer.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_passed_over() {
    let topic = Topic::new(Kind::Kafka, 1);
    let queue = topic.open().await;
    queue.append(&shard(0), records(["a", "b", "c"])).await.unwrap();
    let admin: AdminClient<DefaultClientContext> = client(shared().await).create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic.name, 0, Offset::Offset(2)).unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();

    assert_eq!(queue.watermarks(0).await.unwrap(), Watermarks { low: 2, high: 3 });
    assert_eq!(read_all(&*queue, 0, 0).await.iter().map(payload).collect::<Vec<_>>(), ["c"]);
    let mut consumer = queue.consumer(&random_name("group")).await.unwrap();
    assert_eq!(payload(&consumer.poll(LONG_WAIT).await.unwrap()[0].records[0]), "c");
    consumer.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_one_after_the_other_are_quick_and_exact() {
    const RECORDS: u64 = 500;
    let queue = Topic::new(Kind::Kafka, 2).open().await;
    for partition in 0..2 {
        let batch = records((0..RECORDS).map(|number| format!("{partition} {number}")));
        queue.append(&shard_in(partition, 2), batch).await.unwrap();
    }
    read_all(&*queue, 0, 0).await;
    let mut times = Vec::new();
    for step in 0..100 {
        // Back and forth in the same partitions with the same client, and to the end of them.
        let partition = u32::try_from(step % 2).unwrap();
        let offset = if step % 5 == 0 { RECORDS - 1 } else { step * 7_919 % RECORDS };
        let limit = ReadLimit { records: 20, ..NO_WAIT };
        let started = Instant::now();
        let page = queue.read(partition, offset, limit).await.unwrap();
        times.push(started.elapsed());
        let found: Vec<_> = page.iter().map(|queued| payload(queued).to_owned()).collect();
        let expected: Vec<_> =
            (offset..RECORDS.min(offset + 20)).map(|number| format!("{partition} {number}")).collect();
        assert_eq!(found, expected);
    }
    times.sort_unstable();
    assert!(
        times[50] < Duration::from_millis(50),
        "a read takes {:?} in the middle, {:?} at worst",
        times[50],
        times[99]
    );
}

/// Polls for a moment, commits what came, and notes it.
async fn consume(consumer: &mut dyn Consumer, found: &mut BTreeMap<u64, u32>, partitions: &mut BTreeSet<u32>) {
    let limit = ReadLimit { records: 40, bytes: usize::MAX, wait: Duration::from_millis(50) };
    for batch in consumer.poll(limit).await.unwrap() {
        for queued in &batch.records {
            *found.entry(payload(queued).parse().unwrap()).or_default() += 1;
        }
        partitions.insert(batch.partition);
        let next = batch.records.last().unwrap().position.offset + 1;
        // While the group is being rebalanced the brokers refuse commits; what isn't committed comes again.
        if let Err(error) = consumer.commit(batch.partition, next).await {
            assert!(error.is_temporary(), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_the_partitions_and_lose_nothing_when_they_come_and_go() {
    const PARTITIONS: u32 = 4;
    let topic = Topic::new(Kind::Kafka, PARTITIONS);
    let queue = topic.open().await;
    let other_queue = topic.open().await;
    let group = random_name("group");
    let mut appended = 0;
    let mut append = async || {
        for partition in 0..PARTITIONS {
            queue.append(&shard_in(partition, PARTITIONS), records(appended..appended + 25)).await.unwrap();
            appended += 25;
        }
        appended
    };
    let mut found = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    let in_time = || assert!(Instant::now() < deadline);

    // One member has all, until a second comes and each has some.
    let mut one = Arc::clone(&queue).consumer(&group).await.unwrap();
    let mut of_one = BTreeSet::new();
    while of_one.len() < 4 {
        in_time();
        append().await;
        consume(&mut *one, &mut found, &mut of_one).await;
    }
    let mut two = other_queue.consumer(&group).await.unwrap();
    let (mut of_one, mut of_two) = (BTreeSet::new(), BTreeSet::new());
    while of_one.len() != 2 || of_two.len() != 2 || !of_one.is_disjoint(&of_two) {
        in_time();
        append().await;
        // What each had in this round.
        (of_one, of_two) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..3 {
            consume(&mut *one, &mut found, &mut of_one).await;
            consume(&mut *two, &mut found, &mut of_two).await;
        }
    }
    // What a member still commits for a partition that it has no more does nothing.
    let lost = *of_two.first().unwrap();
    one.commit(lost, 0).await.unwrap();
    one.rewind(lost).await.unwrap();

    // The first one leaves with records that it has not committed.
    append().await;
    let uncommitted = one.poll(LONG_WAIT).await.unwrap();
    assert!(!uncommitted.is_empty());
    one.close().await.unwrap();
    let count = append().await;
    while found.len() < usize::try_from(count).unwrap() {
        in_time();
        consume(&mut *two, &mut found, &mut of_two).await;
    }
    assert_eq!(of_two.len(), 4);
    assert!(found.keys().copied().eq(0..count));
    two.close().await.unwrap();

    let repeated = found.values().filter(|times| **times > 1).count();
    assert!(repeated <= 400, "{repeated} of {count} came more than once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_killed_has_all_that_it_acknowledged_and_everything_goes_on() {
    let mut kafka = Kafka::start().await.unwrap();
    let queue = Arc::new(KafkaQueue::connect(kafka_settings(&kafka, "orders", 1)).await.unwrap());
    let mut consumer = Arc::clone(&queue).consumer("group").await.unwrap();
    queue.append(&shard(0), records(["0"])).await.unwrap();
    assert_eq!(payload(&consumer.poll(LONG_WAIT).await.unwrap()[0].records[0]), "0");
    consumer.commit(0, 1).await.unwrap();

    // Killed while four tasks append.
    let tasks: Vec<_> = (1..5)
        .map(|task| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for append in 0.. {
                    let batch = records((0..20).map(|number| task * 1_000_000 + append * 20 + number));
                    let payloads: Vec<_> = batch.iter().map(|record| record.payload.clone()).collect();
                    let started = Instant::now();
                    match queue.append(&shard(0), batch).await {
                        Ok(positions) => acknowledged.extend(positions.into_iter().zip(payloads)),
                        Err(error) => {
                            assert!(error.is_temporary(), "{error:?}");
                            assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
                            break;
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    while queue.watermarks(0).await.unwrap().high < 2_000 {
        tokio::task::yield_now().await;
    }
    kafka.kill().unwrap();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    assert!(acknowledged.len() > 1_000);
    assert!(queue.ping().await.unwrap_err().is_temporary());
    assert!(queue.read(0, 0, NO_WAIT).await.unwrap_err().is_temporary());

    kafka.restart().await.unwrap();
    let started = Instant::now();
    let position = loop {
        match queue.append(&shard(0), records(["after"])).await {
            Ok(positions) => break positions[0],
            Err(error) => assert!(error.is_temporary() && started.elapsed() < PATIENCE, "{error:?}"),
        }
    };
    queue.ping().await.unwrap();
    let all = read_all(&*queue, 0, 0).await;
    let at: BTreeMap<_, _> = all.iter().map(|queued| (queued.position, &queued.record.payload)).collect();
    for (position, payload) in &acknowledged {
        assert_eq!(at.get(position), Some(&payload), "at {position:?}");
    }
    assert_eq!(at.get(&position).unwrap().as_ref(), b"after");

    let started = Instant::now();
    let mut received: Vec<_> = Vec::new();
    while received.last() != Some(&position) {
        assert!(started.elapsed() < PATIENCE, "consumed {} of {}", received.len(), all.len());
        match consumer.poll(LONG_WAIT).await {
            Ok(batches) => received.extend(batches.iter().flat_map(|batch| &batch.records).map(|one| one.position)),
            Err(error) => assert!(error.is_temporary(), "{error:?}"),
        }
    }
    assert!(received.iter().copied().eq(all.iter().map(|queued| queued.position).skip(1)));
    consumer.commit(0, position.offset + 1).await.unwrap();
    consumer.close().await.unwrap();
}
