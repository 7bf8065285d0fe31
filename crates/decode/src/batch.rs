//! The rows of a batch while it is decoded.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use freshet_model::{Position, QueuedRecord};
use jiff::Timestamp;

use crate::column::{Column, Failure, RowRules};
use crate::column_values::{ColumnValues, text_array};
use crate::decoder::{DecodeError, Decoded};
use crate::failed::FailedRow;
use crate::schema::UTC;
use crate::value::Incoming;

/// So many values fill a batch: 240 MB where they are all texts.
pub(crate) const MOST_CELLS: usize = 10_000_000;

/// How far a batch is, so that it can go back there.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    rows: usize,
    failed: usize,
    ignored_fields: u64,
}

/// Rows and failed rows so far.
pub(crate) struct Batch<'c, 'a> {
    rules: &'c RowRules,
    values: Vec<ColumnValues<'a>>,
    /// For each column and row whether the record lacked the field; only where that matters.
    absent: Vec<Vec<bool>>,
    /// For each row whether it deletes; only where one may.
    deletes: Vec<bool>,
    /// For each row the record that it came from.
    kept: Vec<&'a QueuedRecord>,
    failed: Vec<FailedRow>,
    pub(crate) ignored_fields: u64,
}

impl<'c, 'a> Batch<'c, 'a> {
    pub(crate) fn new(rules: &'c RowRules, capacity: usize) -> Self {
        let columns = &rules.columns;
        Self {
            rules,
            values: columns.iter().map(|column| ColumnValues::new(column.holds, capacity)).collect(),
            absent: if rules.notes_absent { vec![Vec::with_capacity(capacity); columns.len()] } else { Vec::new() },
            deletes: Vec::new(),
            kept: Vec::with_capacity(capacity),
            failed: Vec::new(),
            ignored_fields: 0,
        }
    }

    /// Whether it holds as much as a batch may.
    pub(crate) fn is_full(&self) -> bool {
        (self.kept.len() + self.failed.len()).saturating_mul(self.rules.columns.len()) >= MOST_CELLS
    }

    /// Adds a row of these values, by the places of columns and, after them, of the fields that decide whether it deletes; or
    /// leaves the batch as it was.
    pub(crate) fn push_row<V: Incoming<'a>>(
        &mut self,
        queued: &'a QueuedRecord,
        cell: impl Fn(usize) -> Option<V>,
    ) -> Result<(), Failure> {
        let delete_test = self.rules.delete_test.as_ref();
        let deletes = delete_test.is_some_and(|test| test.holds(&cell));
        for (place, (column, values)) in self.rules.columns.iter().zip(&mut self.values).enumerate() {
            let value = cell(place);
            if let Some(absent) = self.absent.get_mut(place) {
                absent.push(value.is_none());
            }
            if deletes && !column.places {
                Column::push_if_it_fits(values, value.as_ref());
            } else if let Err(failure) = column.push(values, value.as_ref()) {
                self.truncate(self.kept.len());
                return Err(failure);
            }
        }
        self.kept.push(queued);
        if delete_test.is_some() {
            self.deletes.push(deletes);
        }
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
        for absent in &mut self.absent {
            absent.truncate(rows);
        }
        self.deletes.truncate(rows);
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
        let some = |values: Vec<bool>| values.contains(&true).then(|| BooleanArray::from(values));
        let names = self.rules.columns.iter().map(Column::name);
        let absent = names.zip(self.absent).filter_map(|(name, absent)| Some((name.to_owned(), some(absent)?)));
        Ok(Decoded {
            records,
            rows,
            row_offsets,
            deletes: some(self.deletes),
            absent: absent.collect(),
            failed: self.failed,
            ignored_fields: self.ignored_fields,
        })
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
