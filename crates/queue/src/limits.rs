//! What both queues refuse alike.

use freshet_model::Record;

use crate::QueueError;

/// Most bytes of a record's payload. Ingest allows 1,000,000; the rest is room for what others may put in.
pub const MAX_PAYLOAD_BYTES: usize = 2_000_000;
/// Most partitions of a topic.
pub const MAX_PARTITIONS: u32 = 1_024;
/// Kafka's own limit of names, which the embedded queue keeps too, so that a topic can move between them.
const MAX_NAME_BYTES: usize = 249;

pub(crate) fn refused(context: String) -> QueueError {
    QueueError::Refused { context, source: None }
}

pub(crate) fn check_topic(topic: &str) -> Result<(), QueueError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=MAX_NAME_BYTES).contains(&topic.len()) && topic.bytes().all(is_allowed) && topic != "." && topic != ".." {
        return Ok(());
    }
    let shown: String = topic.chars().take(64).collect();
    Err(refused(format!("{shown:?} is not a topic: 1 to {MAX_NAME_BYTES} of a-z, A-Z, 0-9, '.', '_' and '-'")))
}

pub(crate) fn check_partitions(partitions: u32) -> Result<(), QueueError> {
    if (1..=MAX_PARTITIONS).contains(&partitions) {
        return Ok(());
    }
    Err(refused(format!("{partitions} is not a number of partitions: 1 to {MAX_PARTITIONS}")))
}

pub(crate) fn check_partition(topic: &str, partition: u32, partitions: u32) -> Result<(), QueueError> {
    if partition < partitions {
        return Ok(());
    }
    let last = partitions.saturating_sub(1);
    Err(refused(format!("topic {topic} has no partition {partition}: its partitions are 0 to {last}")))
}

pub(crate) fn check_group(group: &str) -> Result<(), QueueError> {
    if (1..=MAX_NAME_BYTES).contains(&group.len()) && !group.contains('\0') {
        return Ok(());
    }
    Err(refused(format!("a group of consumers has a name of 1 to {MAX_NAME_BYTES} bytes")))
}

pub(crate) fn check_payloads(records: &[Record], limit: usize) -> Result<(), QueueError> {
    match records.iter().position(|record| record.payload.len() > limit) {
        None => Ok(()),
        Some(at) => {
            let length = records.get(at).map_or(0, |record| record.payload.len());
            Err(refused(format!("record {at} has {length} bytes, and the queue takes at most {limit} a record")))
        }
    }
}
