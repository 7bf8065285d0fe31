//! The types that results have, whatever their tables and functions work with, in batches of bounded size.
//!
//! | Type | In Arrow |
//! |---|---|
//! | `string`, `json` | Utf8 |
//! | `boolean` | Boolean |
//! | `integer` | Int64; UInt64 where its column is unsigned and 64 bits wide |
//! | `double` | Float64; Float32 where its column is |
//! | `decimal(p,s)` | Decimal128; Decimal256 beyond 38 digits |
//! | `date` | Date32 |
//! | `timestamp` | Timestamp in microseconds, UTC |
//! | `time` | Time64 in microseconds |
//! | `interval` | Utf8 |
//! | `binary` | Binary |
//! | lists, structs, maps | List, Struct, Map of these |

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;

use crate::QueryError;
use crate::sizes::{add, row_bytes};

/// Bytes of a batch of several rows: texts that many rows share in memory would come to gigabytes otherwise.
const BATCH_BYTES: u64 = 1 << 20;
/// Most bytes of one row.
pub(crate) const MAX_ROW_BYTES: u64 = 16 << 20;

/// The schema of a result whose rows come with the fields of another, under these names.
pub(crate) fn plain_schema<'a>(fields: impl IntoIterator<Item = (String, &'a Field)>) -> SchemaRef {
    let plain = fields.into_iter().map(|(name, field)| Field::new(name, plain_type(field.data_type()), true));
    Arc::new(Schema::new(plain.collect::<Vec<Field>>()))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Union(..) => DataType::Utf8,
        DataType::UInt64 => DataType::UInt64,
        integer if integer.is_integer() => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(plain_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_entries(entries), *sorted),
        plain => plain.clone(),
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), plain_type(field.data_type()), field.is_nullable()))
}

/// A map's entries are a struct that is never null.
fn plain_entries(entries: &FieldRef) -> FieldRef {
    Arc::new(Field::new(entries.name(), plain_type(entries.data_type()), false))
}

/// The ranges of a batch's rows that are few enough bytes to be copied at once.
///
/// # Errors
/// [`QueryError::RowTooLarge`]
pub(crate) fn ranges(batch: &RecordBatch) -> Result<Vec<Range<usize>>, QueryError> {
    let mut bytes = vec![0_u64; batch.num_rows()];
    for column in batch.columns() {
        add(&mut bytes, row_bytes(column).map_err(unwritable)?);
    }
    let mut ranges = Vec::new();
    let (mut start, mut sum) = (0, 0_u64);
    for (row, of_row) in bytes.into_iter().enumerate() {
        if of_row > MAX_ROW_BYTES {
            return Err(QueryError::RowTooLarge { limit: MAX_ROW_BYTES });
        }
        sum = sum.saturating_add(of_row);
        if sum > BATCH_BYTES && row > start {
            ranges.push(start..row);
            (start, sum) = (row, of_row);
        }
    }
    if start < batch.num_rows() {
        ranges.push(start..batch.num_rows());
    }
    Ok(ranges)
}

/// Some rows of a batch, in the types and under the names of a [`plain_schema`].
pub(crate) fn part(batch: &RecordBatch, rows: &Range<usize>, schema: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let rows = batch.slice(rows.start, rows.len());
    // A value that doesn't fit is an error, not NULL.
    let exactly = CastOptions { safe: false, format_options: FormatOptions::default() };
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            cast_with_options(column, field.data_type(), &exactly)
        })
        .collect::<Result<_, _>>()
        .map_err(unwritable)?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(unwritable)
}

fn unwritable(error: ArrowError) -> QueryError {
    QueryError::of_arrow(error)
}
