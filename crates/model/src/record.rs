//! What ingest puts into the queue and the writer takes out of it.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{RequestId, StreamId, TenantId, did_you_mean};

/// The form of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadFormat {
    /// One JSON object a record.
    Json,
    /// One XML document a record.
    Xml,
}

impl PayloadFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Json, Self::Xml];

    /// As in a stream's definition: `json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }

    /// The media type that stands in a queued record's `content_type` header.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
        }
    }

    /// The format that a queued record's `content_type` header names.
    #[must_use]
    pub fn from_content_type(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.content_type() == text)
    }
}

impl fmt::Display for PayloadFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PayloadFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str);
            let hint = did_you_mean(text, names);
            format!("{text:?} is not a payload format; the formats are {}{hint}", names.join(", "))
        })
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
    /// The bytes as they came: one JSON object, or one XML document.
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
