//! Kafka events as Lambda's event source mappings deliver them, from MSK and from self-managed brokers.

use std::collections::BTreeMap;

use aws_lambda_events::event::kafka::{KafkaEvent, KafkaRecord};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use freshet_model::{Position, QueuedRecord, Record};
use freshet_queue::{PartitionBatch, QueueError, decode_headers};
use futures::future::join_all;
use metrics::counter;
use tracing::warn;

use crate::handler::{BatchOutcome, write_batch};
use crate::join::Gaps;
use crate::{WriteError, WriterContext};

/// Why an event can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It comes from another topic than the one that this writer was set up for: its event source mapping is wrong.
    #[error(
        "the event brings records of topic {found:?}; this writer follows {expected:?}, so mend the event source mapping or FRESHET_TOPIC"
    )]
    OtherTopic {
        /// The topic of the event.
        found: String,
        /// The topic of the settings.
        expected: String,
    },
    /// A record has no partition or offset that a queue can have.
    #[error("the event brings a record at partition {partition}, offset {offset}")]
    Position {
        /// As the event has it.
        partition: i64,
        /// As the event has it.
        offset: i64,
    },
    /// Some of it could not be written; Lambda delivers the event again.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes an event. Its partitions are written at the same time; all are tried before the first error is returned.
///
/// # Errors
/// The event can't be taken, or part of it could not be written: it must be delivered again.
pub async fn handle_event(context: &WriterContext, event: KafkaEvent) -> Result<Vec<BatchOutcome>, EventError> {
    let batches = partition_batches(context.queue.topic(), event)?;
    let results = join_all(batches.iter().map(|batch| write_batch(context, batch, Gaps::Any))).await;
    results.into_iter().map(|result| result.map_err(EventError::from)).collect()
}

/// The batches of an event, a partition each, in the order of their offsets. Records that no ingest of ours has queued are
/// left out with a warning: they must not hold up the others.
///
/// # Errors
/// The event is not of this topic, or has impossible positions.
pub fn partition_batches(topic: &str, event: KafkaEvent) -> Result<Vec<PartitionBatch>, EventError> {
    let mut partitions: BTreeMap<u32, Vec<QueuedRecord>> = BTreeMap::new();
    for record in event.records.into_values().flatten() {
        let found = record.topic.as_deref().unwrap_or_default();
        if found != topic {
            return Err(EventError::OtherTopic { found: found.to_owned(), expected: topic.to_owned() });
        }
        let (Ok(partition), Ok(offset)) = (u32::try_from(record.partition), u64::try_from(record.offset)) else {
            return Err(EventError::Position { partition: record.partition, offset: record.offset });
        };
        match queued(Position { partition, offset }, &record) {
            Ok(queued) => partitions.entry(partition).or_default().push(queued),
            Err(reason) => {
                counter!("freshet_writer_foreign_records_total").increment(1);
                warn!(partition, offset, reason, "a record of the topic is not Freshet's and is left out");
            }
        }
    }
    let batches = partitions.into_iter().map(|(partition, mut records)| {
        records.sort_by_key(|queued| queued.position);
        records.dedup_by_key(|queued| queued.position);
        PartitionBatch { partition, records }
    });
    Ok(batches.collect())
}

fn queued(position: Position, record: &KafkaRecord) -> Result<QueuedRecord, String> {
    let headers = record.headers.iter().flatten().map(|(name, value)| {
        // Java's bytes are signed.
        let bytes: Vec<u8> = value.iter().map(|byte| byte.cast_unsigned()).collect();
        (name.clone(), bytes)
    });
    let headers: Vec<(String, Vec<u8>)> = headers.collect();
    let borrowed = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    let headers = decode_headers(borrowed).map_err(|source: QueueError| source.to_string())?;
    let payload = STANDARD.decode(record.value.as_deref().unwrap_or_default()).map_err(|source| source.to_string())?;
    Ok(QueuedRecord { position, record: Record { headers, payload: Bytes::from(payload) } })
}
