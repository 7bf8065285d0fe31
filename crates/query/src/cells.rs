//! From [`plain`](crate::plain) columns to texts.
//!
//! | Type | In JSON | In CSV |
//! |---|---|---|
//! | `string` | a string | itself |
//! | `boolean` | `true`, `false` | the same |
//! | `integer` | a number; beyond ±2^53, which JSON's readers would round, a string | its digits |
//! | `double` | a number that reads back as the same double; `"NaN"`, `"Infinity"`, `"-Infinity"` | the same without quotes |
//! | `decimal(p,s)` | a number with all its digits; a string where there are more than JSON's readers keep: 15, or, without a point, ±2^53 | its digits |
//! | `date` | `"2026-06-14"` | `2026-06-14` |
//! | `timestamp` | RFC 3339 in UTC with microseconds: `"2026-06-14T00:24:16.000000Z"` | the same without quotes |
//! | `json` | a string that holds JSON; so come lists, structs and maps, too | that JSON |
//! | `time`, `interval`, `binary` | a string as `DataFusion` shows it, bytes in hexadecimal | the same without quotes |
//!
//! NULL is `null` in JSON, whatever the type, and nothing in CSV, where an empty string is `""`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array,
    Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Field, Float32Type, Float64Type, Int64Type,
    TimestampMicrosecondType, UInt64Type,
};
use arrow::util::display::array_value_to_string;
use datafusion::common::metadata::FieldMetadata;
use datafusion::error::DataFusionError;
use jiff::Timestamp;

use crate::QueryError;

/// Up to here an integer is the same in every reader of JSON: 2^53.
const EXACT: u64 = 1 << 53;
/// Below this a decimal's digits are: a double keeps any 15.
const EXACT_WITH_POINT: u64 = 1_000_000_000_000_000;
/// The key of a field's metadata, and its value there, that marks a text column as one of JSON texts.
const JSON_MARK: (&str, &str) = ("freshet.type", "json");
const SECONDS_OF_A_DAY: i64 = 86_400;

/// Marks a column as one of JSON texts.
pub(crate) fn json_mark() -> FieldMetadata {
    FieldMetadata::from(BTreeMap::from([(JSON_MARK.0.to_owned(), JSON_MARK.1.to_owned())]))
}

/// Whether a column is marked as one of JSON texts.
pub(crate) fn is_json(field: &Field) -> bool {
    field.metadata().get(JSON_MARK.0).is_some_and(|mark| mark == JSON_MARK.1)
}

/// A column's type in the words of table definitions.
pub(crate) fn type_name(field: &Field) -> String {
    if is_json(field) {
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
#[derive(Debug)]
pub(crate) struct Cells {
    nulls: Option<NullBuffer>,
    kind: Kind,
}

#[derive(Debug)]
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
    Nested(Box<Nested>),
    Shown(ArrayRef),
}

#[derive(Debug)]
enum Nested {
    List { offsets: OffsetBuffer<i32>, values: Cells },
    Struct { names: Vec<String>, columns: Vec<Cells> },
    Map { offsets: OffsetBuffer<i32>, keys: ArrayRef, values: Cells },
}

/// How the text of a value is written.
enum Form<'a> {
    /// There is none.
    Null,
    /// It was: a number that JSON's readers keep, or a boolean.
    Bare,
    /// It was: characters that need quotes in JSON, and no escapes.
    Words,
    /// It was not: any text.
    Text(Cow<'a, str>),
}

impl Cells {
    /// Of a column in one of the [`plain`](crate::plain) types.
    pub(crate) fn of(array: &ArrayRef) -> Self {
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean(array.as_boolean().clone()),
            DataType::Int64 => Kind::Integer(array.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => Kind::Unsigned(array.as_primitive::<UInt64Type>().clone()),
            DataType::Float32 => Kind::Single(array.as_primitive::<Float32Type>().clone()),
            DataType::Float64 => Kind::Double(array.as_primitive::<Float64Type>().clone()),
            DataType::Decimal128(..) => Kind::Decimal(array.as_primitive::<Decimal128Type>().clone()),
            DataType::Decimal256(..) => Kind::LargeDecimal(array.as_primitive::<Decimal256Type>().clone()),
            DataType::Date32 => Kind::Date(array.as_primitive::<Date32Type>().clone()),
            DataType::Timestamp(..) => Kind::Timestamp(array.as_primitive::<TimestampMicrosecondType>().clone()),
            DataType::Utf8 => Kind::Text(array.as_string::<i32>().clone()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let nested = Nested::List { offsets: list.offsets().clone(), values: Self::of(list.values()) };
                Kind::Nested(Box::new(nested))
            }
            DataType::Struct(fields) => {
                let names = fields.iter().map(|field| field.name().clone()).collect();
                let columns = array.as_struct().columns().iter().map(Self::of).collect();
                Kind::Nested(Box::new(Nested::Struct { names, columns }))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let (offsets, keys) = (map.offsets().clone(), Arc::clone(map.keys()));
                Kind::Nested(Box::new(Nested::Map { offsets, keys, values: Self::of(map.values()) }))
            }
            _ => Kind::Shown(Arc::clone(array)),
        };
        Self { nulls: array.logical_nulls(), kind }
    }

    /// Writes the value of a row as JSON; what is nested as a string that holds JSON.
    pub(crate) fn write_json(&self, row: usize, body: &mut Vec<u8>) -> Result<(), QueryError> {
        let start = body.len();
        match self.write(row, body)? {
            Form::Null => body.extend_from_slice(b"null"),
            Form::Bare => {}
            Form::Words => {
                body.insert(start, b'"');
                body.push(b'"');
            }
            Form::Text(text) => write_text(&text, body)?,
        }
        Ok(())
    }

    /// Writes the value of a row as a field of CSV.
    pub(crate) fn write_csv(&self, row: usize, body: &mut Vec<u8>) -> Result<(), QueryError> {
        if let Form::Text(text) = self.write(row, body)? {
            write_field(&text, body);
        }
        Ok(())
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    fn write(&self, row: usize, body: &mut Vec<u8>) -> Result<Form<'_>, QueryError> {
        if self.is_null(row) {
            return Ok(Form::Null);
        }
        match &self.kind {
            Kind::Null => Ok(Form::Null),
            Kind::Boolean(values) => write_words(format_args!("{}", values.value(row)), true, body),
            Kind::Integer(values) => {
                let value = values.value(row);
                write_words(format_args!("{value}"), value.unsigned_abs() <= EXACT, body)
            }
            Kind::Unsigned(values) => {
                let value = values.value(row);
                write_words(format_args!("{value}"), value <= EXACT, body)
            }
            Kind::Single(values) => match values.value(row) {
                value if value.is_finite() => write_json(&value, body).map(|()| Form::Bare),
                value => write_words(format_args!("{}", not_finite(f64::from(value))), false, body),
            },
            Kind::Double(values) => match values.value(row) {
                value if value.is_finite() => write_json(&value, body).map(|()| Form::Bare),
                value => write_words(format_args!("{}", not_finite(value)), false, body),
            },
            Kind::Decimal(values) => {
                let value = values.value(row);
                let text = Decimal128Type::format_decimal(value, values.precision(), values.scale());
                write_words(format_args!("{text}"), is_exact(value, values.scale()), body)
            }
            Kind::LargeDecimal(values) => {
                let value = values.value(row);
                let text = Decimal256Type::format_decimal(value, values.precision(), values.scale());
                let exact = value.to_i128().is_some_and(|value| is_exact(value, values.scale()));
                write_words(format_args!("{text}"), exact, body)
            }
            Kind::Date(values) => {
                let date = date(i64::from(values.value(row)))?;
                write_words(format_args!("{date}"), false, body)
            }
            Kind::Timestamp(values) => {
                let time =
                    Timestamp::from_microsecond(values.value(row)).map_err(|_error| out_of_range("timestamp"))?;
                write_words(format_args!("{time:.6}"), false, body)
            }
            Kind::Text(values) => Ok(Form::Text(Cow::Borrowed(values.value(row)))),
            Kind::Nested(nested) => {
                let mut json = Vec::new();
                nested.write(row, &mut json)?;
                Ok(Form::Text(Cow::Owned(String::from_utf8_lossy(&json).into_owned())))
            }
            Kind::Shown(values) => {
                let text = shown(values, row)?;
                write_words(format_args!("{text}"), false, body)
            }
        }
    }

    /// Writes the value of a row as it stands within a nested one.
    fn write_inside(&self, row: usize, body: &mut Vec<u8>) -> Result<(), QueryError> {
        match &self.kind {
            Kind::Nested(nested) if !self.is_null(row) => nested.write(row, body),
            _ => self.write_json(row, body),
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
#[derive(Debug, Default)]
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
    array_value_to_string(values, row).map_err(QueryError::of_arrow)
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

/// Whether readers of JSON, who know doubles only, keep all digits of a decimal.
fn is_exact(unscaled: i128, scale: i8) -> bool {
    let value = unscaled.unsigned_abs();
    match scale {
        0 => value <= u128::from(EXACT),
        1.. => value < u128::from(EXACT_WITH_POINT),
        // What is scaled up has more digits than are stored.
        _ => false,
    }
}

fn date(days: i64) -> Result<jiff::civil::Date, QueryError> {
    let midnight = days.checked_mul(SECONDS_OF_A_DAY).and_then(|seconds| Timestamp::from_second(seconds).ok());
    let midnight = midnight.ok_or_else(|| out_of_range("date"))?;
    Ok(jiff::tz::TimeZone::UTC.to_datetime(midnight).date())
}

fn out_of_range(what: &str) -> QueryError {
    QueryError::Data {
        message: format!("the result has a {what} outside of the years -9999 to 9999: cast it to a string to see it"),
    }
}

/// Writes what needs no escape, and quotes in JSON unless it is `bare`.
fn write_words<'a>(text: std::fmt::Arguments<'_>, bare: bool, body: &mut Vec<u8>) -> Result<Form<'a>, QueryError> {
    body.write_fmt(text).map_err(|error| QueryError::Internal { source: DataFusionError::IoError(error) })?;
    Ok(if bare { Form::Bare } else { Form::Words })
}

/// Writes a text as a field of CSV: in quotes where it would be read as another, or as none, without (RFC 4180).
pub(crate) fn write_field(text: &str, body: &mut Vec<u8>) {
    let special = |byte: u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    if !text.is_empty() && !text.bytes().any(special) {
        body.extend_from_slice(text.as_bytes());
        return;
    }
    body.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            body.push(b'"');
        }
        body.push(byte);
    }
    body.push(b'"');
}

/// Writes a string of JSON, escaped and in quotes.
pub(crate) fn write_text(text: &str, body: &mut Vec<u8>) -> Result<(), QueryError> {
    write_json(text, body)
}

/// Writes a value as JSON.
pub(crate) fn write_json(value: &(impl serde::Serialize + ?Sized), body: &mut Vec<u8>) -> Result<(), QueryError> {
    serde_json::to_writer(body, value)
        .map_err(|error| QueryError::Internal { source: DataFusionError::External(Box::new(error)) })
}
