//! Rows that failed, and the batch that keeps them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch};
use bytes::Bytes;
use freshet_model::{ColumnName, Position, QueuedRecord, RequestId};
use jiff::Timestamp;

use crate::batch::{position_arrays, timestamp_array};
use crate::column_values::text_array;
use crate::decoder::DecodeError;
use crate::schema::failed_schema;

/// A record that made no row, or an element of an XML document that didn't, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// Where the record lies in the queue.
    pub position: Position,
    /// When ingest took it.
    pub received_at: Timestamp,
    /// The request that brought it.
    pub request_id: RequestId,
    /// Its place in the request, from 0.
    pub index: u32,
    /// The first column that has no fitting value; none where the record as a whole can't be read.
    pub column: Option<ColumnName>,
    /// What was found, at most 100 characters of it, and what would be right.
    pub reason: String,
    /// The record as it came; or the row's element as it stands in its document.
    pub raw: Bytes,
}

impl FailedRow {
    pub(crate) fn new(queued: &QueuedRecord, raw: Bytes, column: Option<ColumnName>, reason: String) -> Self {
        let headers = &queued.record.headers;
        Self {
            position: queued.position,
            received_at: headers.received_at,
            request_id: headers.request_id.clone(),
            index: headers.index,
            column,
            reason,
            raw,
        }
    }
}

/// Failed rows as rows of `<table>_failed`, with the [`failed_schema`]. Bytes of a record that are not UTF-8 become
/// U+FFFD: the bytes themselves are in the queue, at the row's place.
///
/// # Errors
/// See [`DecodeError`].
pub fn failed_rows(topic: &str, failed: &[FailedRow], written_at: Timestamp) -> Result<RecordBatch, DecodeError> {
    let request_ids: Vec<_> = failed.iter().map(|row| Some(row.request_id.as_str())).collect();
    // A request has far fewer records than 31 bits count; an index beyond that comes from a producer that isn't ours,
    // and must not hold up the others.
    let indexes = failed.iter().map(|row| i32::try_from(row.index).unwrap_or(i32::MAX));
    let columns: Vec<_> = failed.iter().map(|row| row.column.as_ref().map(ColumnName::as_str)).collect();
    let reasons: Vec<_> = failed.iter().map(|row| Some(row.reason.as_str())).collect();
    let raws: Vec<Option<Cow<'_, str>>> = failed.iter().map(|row| Some(String::from_utf8_lossy(&row.raw))).collect();
    let topics = vec![Some(topic); failed.len()];
    let (partitions, offsets) = position_arrays(failed.iter().map(|row| row.position))?;
    let arrays = vec![
        timestamp_array(failed.iter().map(|row| row.received_at)),
        timestamp_array(failed.iter().map(|_| written_at)),
        text_array(&request_ids)?,
        Arc::new(Int32Array::from_iter_values(indexes)),
        text_array(&columns)?,
        text_array(&reasons)?,
        text_array(&raws)?,
        text_array(&topics)?,
        partitions,
        offsets,
    ];
    Ok(RecordBatch::try_new(failed_schema(), arrays)?)
}
