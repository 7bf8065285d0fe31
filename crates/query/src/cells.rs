//! From Arrow's columns to JSON's values.
//!
//! | Type | In JSON |
//! |---|---|
//! | `string` | a string |
//! | `boolean` | `true`, `false` |
//! | `integer` | a number; beyond ±2^53, which JSON's readers would round, a string |
//! | `double` | a number that reads back as the same double; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | `decimal(p,s)` | a number with all its digits; where these, without the point, are beyond ±2^53, a string |
//! | `date` | `"2026-06-14"` |
//! | `timestamp` | RFC 3339 in UTC with microseconds: `"2026-06-14T00:24:16.000000Z"` |
//! | `json` | a string that holds JSON; so come lists, structs and maps, too |
//! | `time`, `interval`, `binary` | a string as `DataFusion` shows it, bytes in hexadecimal |
//!
//! NULL is `null` in every type.

use std::collections::BTreeMap;
use std::io::Write;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array,
    Int64Array, LargeStringArray, StringArray, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Field, Float32Type, Float64Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use datafusion::common::metadata::FieldMetadata;
use datafusion::error::DataFusionError;
use jiff::Timestamp;

use crate::QueryError;
use crate::names::Spellings;

/// Up to here an integer is the same in every reader of JSON: 2^53.
const EXACT: u64 = 1 << 53;
/// The key of a field's metadata, and its value there, that marks a text column as one of JSON texts.
const JSON_MARK: (&str, &str) = ("freshet.type", "json");
const SECONDS_OF_A_DAY: i64 = 86_400;

/// Marks a column as one of JSON texts.
pub(crate) fn json_mark() -> FieldMetadata {
    FieldMetadata::from(BTreeMap::from([(JSON_MARK.0.to_owned(), JSON_MARK.1.to_owned())]))
}

/// A column's type in the words of table definitions.
pub(crate) fn type_name(field: &Field) -> String {
    if field.metadata().get(JSON_MARK.0).is_some_and(|mark| mark == JSON_MARK.1) {
        return "json".to_owned();
    }
    let name = match field.data_type() {
        DataType::Dictionary(_, value) => return type_name(&Field::new("", value.as_ref().clone(), true)),
        DataType::RunEndEncoded(_, values) => return type_name(values),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => return format!("decimal({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        DataType::Boolean => "boolean",
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "double",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(..) => "timestamp",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Duration(_) | DataType::Interval(_) => "interval",
        DataType::Null => "null",
        integer if integer.is_integer() => "integer",
        nested if nested.is_nested() => "json",
        _ => "binary",
    };
    name.to_owned()
}

/// One column of a batch, ready to be written row by row.
pub(crate) struct Cells {
    nulls: Option<NullBuffer>,
    kind: Kind,
}

enum Kind {
    Null,
    Boolean(BooleanArray),
    Integer(Int64Array),
    Unsigned(UInt64Array),
    Single(Float32Array),
    Double(Float64Array),
    Decimal(Decimal128Array),
    LargeDecimal(Decimal256Array),
    Date(Date32Array),
    Timestamp(TimestampMicrosecondArray),
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Nested(Box<Nested>),
    Shown(ArrayRef),
}

enum Nested {
    List { offsets: OffsetBuffer<i32>, values: Cells },
    Struct { names: Vec<String>, columns: Vec<Cells> },
    Map { offsets: OffsetBuffer<i32>, keys: ArrayRef, values: Cells },
}

impl Cells {
    pub(crate) fn of(array: &ArrayRef) -> Result<Self, QueryError> {
        Self::try_of(array)
            .map_err(|error| QueryError::of(DataFusionError::ArrowError(Box::new(error), None), &Spellings::default()))
    }

    fn try_of(array: &ArrayRef) -> Result<Self, ArrowError> {
        let nulls = array.logical_nulls();
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean(array.as_boolean().clone()),
            DataType::UInt64 => Kind::Unsigned(array.as_primitive::<UInt64Type>().clone()),
            DataType::Float32 => Kind::Single(array.as_primitive::<Float32Type>().clone()),
            DataType::Float64 => Kind::Double(array.as_primitive::<Float64Type>().clone()),
            DataType::Float16 => Kind::Double(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone()),
            DataType::Decimal128(..) => Kind::Decimal(array.as_primitive::<Decimal128Type>().clone()),
            DataType::Decimal256(..) => Kind::LargeDecimal(array.as_primitive::<Decimal256Type>().clone()),
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                let wide = cast(array, &DataType::Decimal128(*precision, *scale))?;
                Kind::Decimal(wide.as_primitive::<Decimal128Type>().clone())
            }
            DataType::Date32 => Kind::Date(array.as_primitive::<Date32Type>().clone()),
            DataType::Date64 => Kind::Date(cast(array, &DataType::Date32)?.as_primitive::<Date32Type>().clone()),
            DataType::Timestamp(_, zone) => {
                let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
                Kind::Timestamp(micros.as_primitive::<TimestampMicrosecondType>().clone())
            }
            DataType::Utf8 => Kind::Text(array.as_string::<i32>().clone()),
            DataType::LargeUtf8 => Kind::LargeText(array.as_string::<i64>().clone()),
            DataType::Utf8View => Kind::TextView(array.as_string_view().clone()),
            DataType::Dictionary(_, value) => return Self::try_of(&cast(array, value)?),
            DataType::RunEndEncoded(_, values) => return Self::try_of(&cast(array, values.data_type())?),
            integer if integer.is_integer() => {
                Kind::Integer(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let nested = Nested::List { offsets: list.offsets().clone(), values: Self::try_of(list.values())? };
                Kind::Nested(Box::new(nested))
            }
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                return Self::try_of(&cast(array, &DataType::List(item.clone()))?);
            }
            DataType::Struct(fields) => {
                let names = fields.iter().map(|field| field.name().clone()).collect();
                let columns = array.as_struct().columns().iter().map(Self::try_of).collect::<Result<_, _>>()?;
                Kind::Nested(Box::new(Nested::Struct { names, columns }))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let (offsets, keys) = (map.offsets().clone(), map.keys().clone());
                Kind::Nested(Box::new(Nested::Map { offsets, keys, values: Self::try_of(map.values())? }))
            }
            _ => Kind::Shown(array.clone()),
        };
        Ok(Self { nulls, kind })
    }

    /// Writes the value of a row as JSON; what is nested as a string that holds JSON.
    pub(crate) fn write(&self, row: usize, body: &mut Vec<u8>) -> Result<(), QueryError> {
        if matches!(self.kind, Kind::Nested(_)) && !self.is_null(row) {
            let mut json = Vec::new();
            self.write_inside(row, &mut json)?;
            return write_text(&String::from_utf8_lossy(&json), body);
        }
        self.write_inside(row, body)
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    fn write_inside(&self, row: usize, body: &mut Vec<u8>) -> Result<(), QueryError> {
        if self.is_null(row) {
            body.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.kind {
            Kind::Null => write_number(format_args!("null"), body),
            Kind::Boolean(values) => write_number(format_args!("{}", values.value(row)), body),
            Kind::Integer(values) => {
                let value = values.value(row);
                write_exact(&value, value.unsigned_abs() <= EXACT, body)
            }
            Kind::Unsigned(values) => write_exact(&values.value(row), values.value(row) <= EXACT, body),
            Kind::Single(values) => match values.value(row) {
                value if value.is_finite() => write_json(&value, body),
                value => write_text(not_finite(f64::from(value)), body),
            },
            Kind::Double(values) => match values.value(row) {
                value if value.is_finite() => write_json(&value, body),
                value => write_text(not_finite(value), body),
            },
            Kind::Decimal(values) => {
                let value = values.value(row);
                let text = Decimal128Type::format_decimal(value, values.precision(), values.scale());
                write_exact(&text, value.unsigned_abs() <= u128::from(EXACT), body)
            }
            Kind::LargeDecimal(values) => {
                let value = values.value(row);
                let text = Decimal256Type::format_decimal(value, values.precision(), values.scale());
                let exact = value.to_i128().is_some_and(|value| value.unsigned_abs() <= u128::from(EXACT));
                write_exact(&text, exact, body)
            }
            Kind::Date(values) => write_date(i64::from(values.value(row)), body),
            Kind::Timestamp(values) => {
                let time =
                    Timestamp::from_microsecond(values.value(row)).map_err(|_error| out_of_range("timestamp"))?;
                write_number(format_args!("\"{time:.6}\""), body)
            }
            Kind::Text(values) => write_text(values.value(row), body),
            Kind::LargeText(values) => write_text(values.value(row), body),
            Kind::TextView(values) => write_text(values.value(row), body),
            Kind::Nested(nested) => nested.write(row, body),
            Kind::Shown(values) => write_text(&shown(values, row)?, body),
        }
    }
}

impl Nested {
    fn write(&self, row: usize, body: &mut Vec<u8>) -> Result<(), QueryError> {
        let mut separator = Separator::default();
        match self {
            Self::List { offsets, values } => {
                body.push(b'[');
                for item in range(offsets, row) {
                    separator.write(body);
                    values.write_inside(item, body)?;
                }
                body.push(b']');
            }
            Self::Struct { names, columns } => {
                body.push(b'{');
                for (name, column) in names.iter().zip(columns) {
                    separator.write(body);
                    write_text(name, body)?;
                    body.push(b':');
                    column.write_inside(row, body)?;
                }
                body.push(b'}');
            }
            Self::Map { offsets, keys, values } => {
                body.push(b'{');
                for entry in range(offsets, row) {
                    separator.write(body);
                    write_text(&shown(keys, entry)?, body)?;
                    body.push(b':');
                    values.write_inside(entry, body)?;
                }
                body.push(b'}');
            }
        }
        Ok(())
    }
}

fn range(offsets: &OffsetBuffer<i32>, row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| offsets.get(index).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

/// A comma before all but the first.
#[derive(Default)]
pub(crate) struct Separator {
    behind_first: bool,
}

impl Separator {
    pub(crate) fn write(&mut self, body: &mut Vec<u8>) {
        if self.behind_first {
            body.push(b',');
        }
        self.behind_first = true;
    }
}

fn shown(values: &ArrayRef, row: usize) -> Result<String, QueryError> {
    array_value_to_string(values, row)
        .map_err(|error| QueryError::of(DataFusionError::ArrowError(Box::new(error), None), &Spellings::default()))
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn write_date(days: i64, body: &mut Vec<u8>) -> Result<(), QueryError> {
    let midnight = days.checked_mul(SECONDS_OF_A_DAY).and_then(|seconds| Timestamp::from_second(seconds).ok());
    let midnight = midnight.ok_or_else(|| out_of_range("date"))?;
    let date = jiff::tz::TimeZone::UTC.to_datetime(midnight).date();
    write_number(format_args!("\"{date}\""), body)
}

fn out_of_range(what: &str) -> QueryError {
    QueryError::Data {
        message: format!("the result has a {what} outside of the years -9999 to 9999: cast it to a string to see it"),
    }
}

fn write_exact(text: &impl std::fmt::Display, exact: bool, body: &mut Vec<u8>) -> Result<(), QueryError> {
    if exact { write_number(format_args!("{text}"), body) } else { write_number(format_args!("\"{text}\""), body) }
}

fn write_number(text: std::fmt::Arguments<'_>, body: &mut Vec<u8>) -> Result<(), QueryError> {
    body.write_fmt(text).map_err(|error| QueryError::Internal { source: DataFusionError::IoError(error) })
}

/// Writes a string, escaped and in quotes.
pub(crate) fn write_text(text: &str, body: &mut Vec<u8>) -> Result<(), QueryError> {
    write_json(text, body)
}

fn write_json(value: &(impl serde::Serialize + ?Sized), body: &mut Vec<u8>) -> Result<(), QueryError> {
    serde_json::to_writer(body, value)
        .map_err(|error| QueryError::Internal { source: DataFusionError::External(Box::new(error)) })
}
