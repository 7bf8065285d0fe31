//! What ingest puts into the queue and the writer takes out of it.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{RequestId, StreamId, TenantId};

/// The form of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadFormat {
    /// One JSON object a record.
    Json,
}

impl PayloadFormat {
    /// The media type that stands in a queued record's `content_type` header.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
        }
    }

    /// The format that a queued record's `content_type` header names.
    #[must_use]
    pub fn from_content_type(text: &str) -> Option<Self> {
        (text == "application/json").then_some(Self::Json)
    }
}

/// Whose a record is and how it came: what the queue keeps beside the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHeaders {
    /// The owner of the stream.
    pub tenant: TenantId,
    /// The stream that it was posted to.
    pub stream: StreamId,
    /// When ingest took it, UTC, whole microseconds.
    pub received_at: Timestamp,
    /// The request that brought it.
    pub request_id: RequestId,
    /// Its place in the request, from 0.
    pub index: u32,
    /// How to read the payload.
    pub format: PayloadFormat,
}

/// One record: what came, and what ingest adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is and how it came.
    pub headers: RecordHeaders,
    /// The bytes as they came: one JSON object.
    pub payload: Bytes,
}

/// Where in the queue's topic a record lies. Ordered by partition, then offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Partition of the topic, from 0.
    pub partition: u32,
    /// Offset in the partition, from 0, growing.
    pub offset: u64,
}

/// A record with its place in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRecord {
    /// Where it lies.
    pub position: Position,
    /// What lies there.
    pub record: Record,
}
