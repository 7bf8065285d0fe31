//! The rows of a batch while it is decoded.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use freshet_model::{ColumnDefinition, ColumnName, ColumnType, Position, QueuedRecord, TableDefinition};
use jiff::Timestamp;

use crate::column_values::{ColumnValues, text_array};
use crate::decoder::{DecodeError, Decoded};
use crate::failed::FailedRow;
use crate::schema::UTC;
use crate::value::{Incoming, Unfit, expected, shown};

/// So many values fill a batch: 240 MB where they are all texts.
pub(crate) const MOST_CELLS: usize = 10_000_000;

/// A column of a table, as rows are checked against it.
#[derive(Debug)]
pub(crate) struct Column {
    name: ColumnName,
    holds: ColumnType,
    /// Why a row needs a value here, if it does.
    needed: Option<&'static str>,
}

/// Why a record makes no row.
pub(crate) struct Failure {
    column: Option<ColumnName>,
    reason: String,
}

impl Failure {
    /// The record as a whole can't be read.
    pub(crate) fn of_record(reason: String) -> Self {
        Self { column: None, reason }
    }
}

/// How far a batch is, so that it can go back there.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    rows: usize,
    failed: usize,
    ignored_fields: u64,
}

/// Rows and failed rows so far.
pub(crate) struct Batch<'c, 'a> {
    columns: &'c [Column],
    values: Vec<ColumnValues<'a>>,
    /// For each row the record that it came from.
    kept: Vec<&'a QueuedRecord>,
    failed: Vec<FailedRow>,
    pub(crate) ignored_fields: u64,
}

impl<'c, 'a> Batch<'c, 'a> {
    pub(crate) fn new(columns: &'c [Column], capacity: usize) -> Self {
        Self {
            columns,
            values: columns.iter().map(|column| ColumnValues::new(column.holds, capacity)).collect(),
            kept: Vec::with_capacity(capacity),
            failed: Vec::new(),
            ignored_fields: 0,
        }
    }

    /// Whether it holds as much as a batch may.
    pub(crate) fn is_full(&self) -> bool {
        (self.kept.len() + self.failed.len()).saturating_mul(self.columns.len()) >= MOST_CELLS
    }

    /// Adds a row of these values, one a column in the columns' order; or leaves the batch as it was.
    pub(crate) fn push_row<V: Incoming<'a>>(
        &mut self,
        queued: &'a QueuedRecord,
        cells: impl Iterator<Item = Option<V>>,
    ) -> Result<(), Failure> {
        for ((column, values), cell) in self.columns.iter().zip(&mut self.values).zip(cells) {
            if let Err(failure) = column.push(values, cell) {
                self.truncate(self.kept.len());
                return Err(failure);
            }
        }
        self.kept.push(queued);
        Ok(())
    }

    /// Adds a failed row: a record, or a part of one.
    pub(crate) fn fail(&mut self, queued: &QueuedRecord, raw: Bytes, failure: Failure) {
        self.failed.push(FailedRow::new(queued, raw, failure.column, failure.reason));
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { rows: self.kept.len(), failed: self.failed.len(), ignored_fields: self.ignored_fields }
    }

    pub(crate) fn go_back(&mut self, mark: Mark) {
        self.kept.truncate(mark.rows);
        self.failed.truncate(mark.failed);
        self.ignored_fields = mark.ignored_fields;
        self.truncate(mark.rows);
    }

    fn truncate(&mut self, rows: usize) {
        for values in &mut self.values {
            values.truncate(rows);
        }
    }

    pub(crate) fn finish(
        self,
        schema: &SchemaRef,
        records: usize,
        written_at: Timestamp,
    ) -> Result<Decoded, DecodeError> {
        let mut arrays = self.values.into_iter().map(ColumnValues::finish).collect::<Result<Vec<_>, _>>()?;
        arrays.extend(system_arrays(&self.kept, written_at)?);
        let row_offsets = self.kept.iter().map(|queued| queued.position.offset).collect();
        let rows = RecordBatch::try_new(Arc::clone(schema), arrays)?;
        Ok(Decoded { records, rows, row_offsets, failed: self.failed, ignored_fields: self.ignored_fields })
    }
}

impl Column {
    pub(crate) fn new(column: &ColumnDefinition, table: &TableDefinition) -> Self {
        let needed = if table.key.contains(&column.name) {
            Some("the column is part of the key")
        } else {
            column.required.then_some("the column is required")
        };
        Self { name: column.name.clone(), holds: column.column_type, needed }
    }

    fn push<'a>(&self, values: &mut ColumnValues<'a>, cell: Option<impl Incoming<'a>>) -> Result<(), Failure> {
        let Some(value) = cell else {
            values.push_null();
            return self.take_null("the field is missing");
        };
        match values.push(&value) {
            Ok(true) => Ok(()),
            Ok(false) if value.is_null() => self.take_null("the value is null"),
            Ok(false) => self.take_null("the value is an empty text, which counts as null,"),
            Err(unfit) => Err(self.refuse(&value.to_shown(), unfit)),
        }
    }

    fn take_null(&self, found: &str) -> Result<(), Failure> {
        let Some(needed) = self.needed else { return Ok(()) };
        Err(self.failure(&format!("{found} and {needed}")))
    }

    fn refuse(&self, json: &str, unfit: Unfit) -> Failure {
        self.failure(&format!("{} {unfit}", shown(json)))
    }

    fn failure(&self, what: &str) -> Failure {
        let Self { name, holds, .. } = self;
        let reason = format!("{name}, {holds}: {what}; expected {}", expected(*holds));
        Failure { column: Some(name.clone()), reason }
    }
}

fn system_arrays(kept: &[&QueuedRecord], written_at: Timestamp) -> Result<[ArrayRef; 5], DecodeError> {
    let request_ids: Vec<Option<&str>> =
        kept.iter().map(|queued| Some(queued.record.headers.request_id.as_str())).collect();
    let received_at = kept.iter().map(|queued| queued.record.headers.received_at);
    let (partitions, offsets) = position_arrays(kept.iter().map(|queued| queued.position))?;
    Ok([
        timestamp_array(received_at),
        timestamp_array(kept.iter().map(|_| written_at)),
        text_array(&request_ids)?,
        partitions,
        offsets,
    ])
}

pub(crate) fn timestamp_array(times: impl Iterator<Item = Timestamp>) -> ArrayRef {
    let microseconds = times.map(Timestamp::as_microsecond);
    Arc::new(TimestampMicrosecondArray::from_iter_values(microseconds).with_timezone(UTC))
}

pub(crate) fn position_arrays(
    positions: impl ExactSizeIterator<Item = Position>,
) -> Result<(ArrayRef, ArrayRef), DecodeError> {
    let mut partitions = Vec::with_capacity(positions.len());
    let mut offsets = Vec::with_capacity(positions.len());
    for position in positions {
        partitions.push(i32::try_from(position.partition).map_err(|_| DecodeError::Position(position))?);
        offsets.push(i64::try_from(position.offset).map_err(|_| DecodeError::Position(position))?);
    }
    Ok((Arc::new(Int32Array::from(partitions)), Arc::new(Int64Array::from(offsets))))
}
