//! What the log says of a data file's columns: least and greatest values, and how many are null.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use serde::Deserialize;
use serde_json::Value;

use crate::file::DataFile;

/// Digits of a decimal that JSON's numbers hold for sure.
const EXACT_DIGITS: u8 = 15;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    num_records: Option<u64>,
    min_values: HashMap<String, Value>,
    max_values: HashMap<String, Value>,
    null_count: HashMap<String, Value>,
}

/// What is known of a file's rows, dead ones too. All is a bound, marked as exact, whether or not a row has it: for leaving files
/// out. [`honest`] makes it true for a query that takes it as an answer.
pub(crate) fn bounds(file: &DataFile, schema: &Schema) -> Statistics {
    let said: Said = file.add().stats.as_deref().and_then(|said| serde_json::from_str(said).ok()).unwrap_or_default();
    // All rows, since the nulls are counted among all: with those of tombstones they may be as many as the live rows are, and the file
    // would be left out as one that has nothing but nulls.
    let rows = said.num_records.and_then(|rows| usize::try_from(rows).ok());
    let of_column = |field: &Arc<arrow::datatypes::Field>| {
        let bound = |values: &HashMap<String, Value>, is_greatest| {
            let value = values.get(field.name()).and_then(|value| parsed(value, field.data_type(), is_greatest));
            value.map_or(Precision::Absent, Precision::Exact)
        };
        let nulls =
            said.null_count.get(field.name()).and_then(Value::as_u64).and_then(|nulls| usize::try_from(nulls).ok());
        ColumnStatistics {
            null_count: nulls.map_or(Precision::Absent, Precision::Exact),
            min_value: bound(&said.min_values, false),
            max_value: bound(&said.max_values, true),
            ..ColumnStatistics::new_unknown()
        }
    };
    Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Exact),
        total_byte_size: Precision::Absent,
        column_statistics: schema.fields().iter().map(of_column).collect(),
    }
}

/// The same of its live rows, with what isn't sure marked so: where rows are dead, a bound may be a dead row's; texts and times are cut off.
pub(crate) fn honest(mut bounds: Statistics, file: &DataFile, schema: &Schema) -> Statistics {
    let dead = usize::try_from(file.dead_count()).unwrap_or(usize::MAX);
    bounds.num_rows = bounds.num_rows.map(|rows| rows.saturating_sub(dead));
    for (column, field) in bounds.column_statistics.iter_mut().zip(schema.fields()) {
        let is_whole =
            matches!(field.data_type(), DataType::Int64 | DataType::Int32 | DataType::Date32 | DataType::Boolean);
        if file.dead_count() > 0 || !is_whole {
            column.min_value = column.min_value.clone().to_inexact();
            column.max_value = column.max_value.clone().to_inexact();
        }
        if file.dead_count() > 0 {
            column.null_count = column.null_count.to_inexact();
        }
    }
    bounds
}

/// A bound as a value of a column. None: it can't be taken for one.
fn parsed(value: &Value, data_type: &DataType, is_greatest: bool) -> Option<ScalarValue> {
    let from_text = |text: String| ScalarValue::try_from_string(text, data_type).ok().filter(|value| !value.is_null());
    match (data_type, value) {
        (DataType::Utf8 | DataType::Utf8View | DataType::Date32, Value::String(text)) => from_text(text.clone()),
        (DataType::Timestamp(TimeUnit::Microsecond, zone), Value::String(text)) => {
            // The text is cut off to milliseconds: the greatest value may be up to one later.
            let ScalarValue::TimestampMicrosecond(Some(time), _) = from_text(text.clone())? else { return None };
            let time = if is_greatest { time.checked_add(999)? } else { time };
            Some(ScalarValue::TimestampMicrosecond(Some(time), zone.clone()))
        }
        (DataType::Boolean, Value::Bool(value)) => Some(ScalarValue::Boolean(Some(*value))),
        (DataType::Int64 | DataType::Int32 | DataType::Int16 | DataType::Int8, Value::Number(number)) => {
            from_text(number.as_i64()?.to_string())
        }
        (DataType::Float64, Value::Number(number)) => Some(ScalarValue::Float64(Some(number.as_f64()?))),
        (DataType::Decimal128(digits, _), Value::Number(number)) if *digits <= EXACT_DIGITS => {
            from_text(number.to_string())
        }
        _ => None,
    }
}

/// The value of a partition column, as the log has it: text, by the Delta protocol ("Partition Value Serialization").
pub(crate) fn partition_value(file: &DataFile, column: &str, data_type: &DataType) -> Result<ScalarValue> {
    match file.add().partition_values.get(column) {
        Some(Some(text)) if !text.is_empty() => ScalarValue::try_from_string(text.clone(), data_type),
        _ => ScalarValue::try_from(data_type),
    }
}
