//! Kafka events as Lambda delivers them.

use aws_lambda_events::event::kafka::KafkaEvent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freshet_function_writer::{EventError, handle_event, partition_batches};
use freshet_model::QueuedRecord;
use freshet_queue::encode_headers;
use serde_json::{Value, json};

use crate::support::World;

/// A record in the form that the event source mapping gives it.
fn record(topic: &str, queued: &QueuedRecord) -> Value {
    let headers: Vec<Value> = encode_headers(&queued.record.headers)
        .iter()
        .map(|(name, value)| json!({*name: value.bytes().map(u8::cast_signed).collect::<Vec<i8>>()}))
        .collect();
    json!({
        "topic": topic, "partition": queued.position.partition, "offset": queued.position.offset,
        "timestamp": 1_545_084_650_987_i64, "timestampType": "CREATE_TIME",
        "value": STANDARD.encode(&queued.record.payload), "headers": headers,
    })
}

fn event(source: &str, topic: &str, records: &[Value]) -> KafkaEvent {
    serde_json::from_value(json!({"eventSource": source, "records": {format!("{topic}-0"): records}})).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_delivered_twice_is_written_once() {
    let world = World::new().await;
    world.table("every", &json!({"mode": "append", "key": null, "order_by": null})).await;
    let topic = world.services.queue.topic().to_owned();
    let records = world.append(&[json!({"id": "a", "version": 1}), json!({"id": "ü", "version": 1})]).await;
    let mut records: Vec<Value> = records.iter().map(|queued| record(&topic, queued)).collect();
    records.reverse();
    // A record of some other producer must not hold up the others.
    let mut foreign = records[0].clone();
    foreign["headers"] = json!([]);
    records.push(foreign);
    for source in ["aws:kafka", "SelfManagedKafka"] {
        handle_event(&world.writer(), event(source, &topic, &records)).await.unwrap();
    }
    assert_eq!(world.rows("every").await.into_keys().collect::<Vec<_>>(), ["a", "ü"]);
    assert_eq!(world.count("every").await, 2);
}

#[test]
fn an_event_of_another_topic_names_the_mistake() {
    let records = [json!({"topic": "other", "partition": 0, "offset": 0, "timestamp": 0, "headers": []})];
    let refused = partition_batches("freshet-records", event("aws:kafka", "other", &records)).unwrap_err();
    assert!(matches!(refused, EventError::OtherTopic { .. }));
    assert!(refused.to_string().contains("event source mapping"), "{refused}");
}
