//! Queued records to typed rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use freshet_model::{ColumnName, ColumnType, PayloadFormat, Position, QueuedRecord, TableDefinition};
use jiff::Timestamp;

use crate::column_values::{ColumnValues, text_array};
use crate::failed::FailedRow;
use crate::json::{Wanted, kind_of};
use crate::schema::{UTC, table_schema};
use crate::value::{Unfit, expected, shown};

/// Why a batch could not be made at all. None of these comes from what stands in a record: they are permanent, and
/// faults of the caller.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The texts of one column have more bytes than an array can; decode fewer records at a time.
    #[error(
        "a column would hold {bytes} bytes of text, more than the 2147483647 of one batch; decode fewer records at a time"
    )]
    TooMuchText {
        /// How many there would be.
        bytes: usize,
    },
    /// A record's place has no place in the table: partitions are 31 bits wide, offsets 63.
    #[error("partition {} and offset {} are beyond what a table can hold", .0.partition, .0.offset)]
    Position(Position),
    /// The columns don't make a batch.
    #[error("the decoded columns do not make a batch")]
    Arrow(#[from] ArrowError),
}

/// What became of a batch of records.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The rows, in the order of the records, with the [`table_schema`](crate::table_schema).
    pub rows: RecordBatch,
    /// For each row the offset in the queue of its record.
    pub row_offsets: Vec<u64>,
    /// The records that made no row, in their order. Rows and failed rows together are as many as the records.
    pub failed: Vec<FailedRow>,
    /// How many fields of the records no column asks for; one that stands twice counts twice. Fields of nested objects
    /// don't count.
    pub ignored_fields: u64,
}

/// Turns records into the rows of one table. Made once, used for many batches.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    wanted: Wanted,
}

#[derive(Debug)]
struct Column {
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

impl Decoder {
    /// The decoder of a table.
    pub fn new(definition: &TableDefinition) -> Self {
        let columns = definition.columns.iter().map(|column| Column {
            name: column.name.clone(),
            holds: column.column_type,
            needed: if definition.key.contains(&column.name) {
                Some("the column is part of the key")
            } else {
                column.required.then_some("the column is required")
            },
        });
        Self { schema: table_schema(definition), columns: columns.collect(), wanted: Wanted::new(&definition.columns) }
    }

    /// The schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes records; `written_at` goes into every row. A record whose fields are only some of the table's columns
    /// makes a row, with nulls for the rest, as long as key and required columns have values; a value that its column
    /// can't hold fails its row, and names the first such column.
    ///
    /// # Errors
    /// See [`DecodeError`]: never for what stands in a record.
    pub fn decode(&self, records: &[QueuedRecord], written_at: Timestamp) -> Result<Decoded, DecodeError> {
        let mut values: Vec<ColumnValues<'_>> =
            self.columns.iter().map(|column| ColumnValues::new(column.holds, records.len())).collect();
        let mut cells = vec![None; self.columns.len()];
        let mut kept: Vec<&QueuedRecord> = Vec::with_capacity(records.len());
        let mut failed = Vec::new();
        let mut ignored_fields = 0;
        for queued in records {
            cells.fill(None);
            let row = match queued.record.headers.format {
                PayloadFormat::Json => self.find_in_json(&queued.record.payload, &mut cells),
                PayloadFormat::Xml => {
                    Err(Failure { column: None, reason: "the payload is XML, expected a JSON object".to_owned() })
                }
            };
            let row = row.and_then(|unknown_fields| {
                ignored_fields += unknown_fields;
                self.push_row(&cells, &mut values)
            });
            match row {
                Ok(()) => kept.push(queued),
                Err(failure) => {
                    for column in &mut values {
                        column.truncate(kept.len());
                    }
                    failed.push(FailedRow::new(queued, failure.column, failure.reason));
                }
            }
        }
        let mut arrays = values.into_iter().map(ColumnValues::finish).collect::<Result<Vec<_>, _>>()?;
        arrays.extend(system_arrays(&kept, written_at)?);
        let row_offsets = kept.iter().map(|queued| queued.position.offset).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), arrays)?;
        Ok(Decoded { rows, row_offsets, failed, ignored_fields })
    }

    /// Puts each column's JSON text into its cell; returns how many fields no column asks for.
    fn find_in_json<'a>(&self, payload: &'a [u8], cells: &mut [Option<&'a str>]) -> Result<u64, Failure> {
        let of_record = |reason: String| Failure { column: None, reason };
        let json = std::str::from_utf8(payload)
            .map_err(|error| of_record(format!("the payload is not UTF-8 after byte {}", error.valid_up_to())))?;
        let from_first_character = json.trim_ascii_start();
        if from_first_character.is_empty() {
            return Err(of_record("the payload is empty, expected a JSON object".to_owned()));
        }
        if !from_first_character.starts_with('{') {
            // Its first character says what it is only if it is JSON at all.
            let reason = match serde_json::from_str::<serde::de::IgnoredAny>(json) {
                Ok(_) => format!("the payload is {}, expected a JSON object", kind_of(from_first_character)),
                Err(error) => format!("the payload is not valid JSON: {error}"),
            };
            return Err(of_record(reason));
        }
        self.wanted.find(json, cells).map_err(|error| of_record(format!("the payload is not valid JSON: {error}")))
    }

    fn push_row<'a>(&self, cells: &[Option<&'a str>], values: &mut [ColumnValues<'a>]) -> Result<(), Failure> {
        for ((column, cell), values) in self.columns.iter().zip(cells).zip(values) {
            match values.push(cell.unwrap_or("null")) {
                Ok(true) => {}
                Ok(false) => column.take_null(*cell)?,
                Err(unfit) => return Err(column.refuse(cell.unwrap_or("null"), unfit)),
            }
        }
        Ok(())
    }
}

impl Column {
    fn take_null(&self, cell: Option<&str>) -> Result<(), Failure> {
        let Some(needed) = self.needed else { return Ok(()) };
        let found = match cell {
            None => "the field is missing",
            Some("null") => "the value is null",
            Some(_) => "the value is an empty text, which counts as null,",
        };
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
