//! The values of one column while a batch is decoded.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringBuilder,
    TimestampMicrosecondArray,
};
use freshet_model::ColumnType;

use crate::DecodeError;
use crate::schema::UTC;
use crate::value::{Incoming, Unfit, to_boolean, to_date, to_decimal, to_double, to_integer, to_timestamp};

/// One value a row, of the column's type. Unlike arrow's builders it can be truncated, which takes back a row whose
/// later columns fail.
pub(crate) enum ColumnValues<'a> {
    Text(Vec<Option<Cow<'a, str>>>),
    Json(Vec<Option<Cow<'a, str>>>),
    Boolean(Vec<Option<bool>>),
    Integer(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    Decimal { precision: u8, scale: u8, values: Vec<Option<i128>> },
    Date(Vec<Option<i32>>),
    Timestamp(Vec<Option<i64>>),
}

impl<'a> ColumnValues<'a> {
    pub(crate) fn new(column_type: ColumnType, capacity: usize) -> Self {
        match column_type {
            ColumnType::String => Self::Text(Vec::with_capacity(capacity)),
            ColumnType::Json => Self::Json(Vec::with_capacity(capacity)),
            ColumnType::Boolean => Self::Boolean(Vec::with_capacity(capacity)),
            ColumnType::Integer => Self::Integer(Vec::with_capacity(capacity)),
            ColumnType::Double => Self::Double(Vec::with_capacity(capacity)),
            ColumnType::Decimal { precision, scale } => {
                Self::Decimal { precision, scale, values: Vec::with_capacity(capacity) }
            }
            ColumnType::Date => Self::Date(Vec::with_capacity(capacity)),
            ColumnType::Timestamp => Self::Timestamp(Vec::with_capacity(capacity)),
        }
    }

    /// Adds what a value is in this column; returns whether it is more than null. Adds nothing where it doesn't fit.
    pub(crate) fn push(&mut self, value: &impl Incoming<'a>) -> Result<bool, Unfit> {
        match self {
            Self::Text(values) => Ok(push(values, value.text()?)),
            Self::Json(values) => Ok(push(values, value.json())),
            Self::Boolean(values) => Ok(push(values, to_boolean(value.scalar()?)?)),
            Self::Integer(values) => Ok(push(values, to_integer(value.scalar()?)?)),
            Self::Double(values) => Ok(push(values, to_double(value.scalar()?)?)),
            Self::Decimal { precision, scale, values } => {
                Ok(push(values, to_decimal(value.scalar()?, *precision, *scale)?))
            }
            Self::Date(values) => Ok(push(values, to_date(value.scalar()?)?)),
            Self::Timestamp(values) => Ok(push(values, to_timestamp(value.scalar()?)?)),
        }
    }

    /// Adds a null.
    pub(crate) fn push_null(&mut self) {
        match self {
            Self::Text(values) | Self::Json(values) => values.push(None),
            Self::Boolean(values) => values.push(None),
            Self::Integer(values) | Self::Timestamp(values) => values.push(None),
            Self::Double(values) => values.push(None),
            Self::Decimal { values, .. } => values.push(None),
            Self::Date(values) => values.push(None),
        }
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        match self {
            Self::Text(values) | Self::Json(values) => values.truncate(rows),
            Self::Boolean(values) => values.truncate(rows),
            Self::Integer(values) | Self::Timestamp(values) => values.truncate(rows),
            Self::Double(values) => values.truncate(rows),
            Self::Decimal { values, .. } => values.truncate(rows),
            Self::Date(values) => values.truncate(rows),
        }
    }

    pub(crate) fn finish(self) -> Result<ArrayRef, DecodeError> {
        Ok(match self {
            Self::Text(values) | Self::Json(values) => text_array(&values)?,
            Self::Boolean(values) => Arc::new(BooleanArray::from(values)),
            Self::Integer(values) => Arc::new(Int64Array::from(values)),
            Self::Double(values) => Arc::new(Float64Array::from(values)),
            Self::Decimal { precision, scale, values } => {
                Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale.cast_signed())?)
            }
            Self::Date(values) => Arc::new(Date32Array::from(values)),
            Self::Timestamp(values) => Arc::new(TimestampMicrosecondArray::from(values).with_timezone(UTC)),
        })
    }
}

fn push<T>(values: &mut Vec<Option<T>>, value: Option<T>) -> bool {
    let is_some = value.is_some();
    values.push(value);
    is_some
}

/// Texts as an array, which counts bytes in 31 bits.
pub(crate) fn text_array<T: AsRef<str>>(values: &[Option<T>]) -> Result<ArrayRef, DecodeError> {
    let bytes: usize = values.iter().flatten().map(|value| value.as_ref().len()).sum();
    if i32::try_from(bytes).is_err() {
        return Err(DecodeError::TooMuchText { bytes });
    }
    let mut array = StringBuilder::with_capacity(values.len(), bytes);
    for value in values {
        array.append_option(value.as_ref());
    }
    Ok(Arc::new(array.finish()))
}
