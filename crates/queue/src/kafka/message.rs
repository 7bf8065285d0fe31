//! From our records to Kafka's and back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use freshet_model::{Position, QueuedRecord, Record, RecordHeaders};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};

use crate::{QueueError, decode_headers, encode_headers};

pub(super) fn owned_headers(headers: &RecordHeaders) -> OwnedHeaders {
    let encoded = encode_headers(headers);
    encoded.iter().fold(OwnedHeaders::new_with_capacity(encoded.len()), |all, (key, value)| {
        all.insert(Header { key, value: Some(value.as_str()) })
    })
}

/// Where a message lies, if that can be told.
pub(super) fn position(message: &BorrowedMessage<'_>) -> Option<Position> {
    let partition = u32::try_from(message.partition()).ok()?;
    let offset = u64::try_from(message.offset()).ok()?;
    Some(Position { partition, offset })
}

/// The record of a message. What other producers have put into the topic must not stop its readers: it is logged with its
/// position and left out.
pub(super) fn record(topic: &str, position: Position, message: &BorrowedMessage<'_>) -> Option<QueuedRecord> {
    match headers(message) {
        Ok(headers) => {
            let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
            Some(QueuedRecord { position, record: Record { headers, payload } })
        }
        Err(error) => {
            let Position { partition, offset } = position;
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(topic, partition, offset, error = %error, cause, "skipped a record of another producer");
            None
        }
    }
}

fn headers(message: &BorrowedMessage<'_>) -> Result<RecordHeaders, QueueError> {
    // rdkafka panics at a header name that isn't UTF-8, which anybody may send who may write to the topic.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let named = message.headers().into_iter().flat_map(|headers| headers.iter());
        decode_headers(named.map(|header| (header.key, header.value.unwrap_or_default())))
    }));
    decoded.unwrap_or_else(|_| {
        Err(QueueError::Corrupt { context: "the name of a header is not UTF-8".to_owned(), source: None })
    })
}
