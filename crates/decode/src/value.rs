//! One incoming value, of whatever format, to one value of a column's type.

use std::borrow::Cow;

use freshet_model::ColumnType;

use crate::{number, time};

/// Longest part of a value that a reason repeats, in characters.
const SHOWN: usize = 100;

/// Why a value doesn't fit its column. The text goes on after the value: `"x" is not a number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("is {0}")]
    Kind(&'static str),
    #[error("holds half of a surrogate pair, which is not a character")]
    NotUnicode,
    #[error("is not true or false")]
    NotABoolean,
    #[error("is not a number")]
    NotANumber,
    #[error("is not a whole number")]
    NotWhole,
    #[error("has more digits after the point than the column keeps")]
    TooManyDecimals,
    #[error("is too large")]
    TooLarge,
    #[error("is too near to zero")]
    TooSmall,
    #[error("would be changed by rounding")]
    InexactDouble,
    #[error("is not a time")]
    NotATime,
    #[error("names a day or a time of day that does not exist")]
    NoSuchTime,
    #[error("lies outside the years 0001 to 9999")]
    OutsideYears,
    #[error("may be a count of seconds or milliseconds as well as a day without dashes")]
    PerhapsCompactDate,
}

/// What a reason says is right for a column of a type.
pub(crate) fn expected(column_type: ColumnType) -> Cow<'static, str> {
    Cow::Borrowed(match column_type {
        ColumnType::String => "a text",
        ColumnType::Json => "a JSON value",
        ColumnType::Boolean => "true, false, 0 or 1",
        ColumnType::Integer => "a whole number from -9223372036854775808 to 9223372036854775807",
        ColumnType::Double => "a number that 64 bits of floating point hold, as 79.99",
        ColumnType::Date => "a day as 2026-06-14, or a time as 2026-06-14T00:24:16Z",
        ColumnType::Timestamp => {
            "a time as 2026-06-14T00:24:16Z, or a count of seconds, milliseconds or microseconds since 1970"
        }
        ColumnType::Decimal { precision, scale } => {
            let before = precision.saturating_sub(scale);
            return Cow::Owned(format!("a number with at most {before} digits before the point and {scale} after it"));
        }
    })
}

/// A value's JSON text for a reason, shortened.
pub(crate) fn shown(json: &str) -> Cow<'_, str> {
    match json.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", json.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(json),
    }
}

/// A value of a record as columns take it, whatever the record's format.
pub(crate) trait Incoming<'a> {
    /// For a `string` column: a text's content; of anything else its JSON text. None: null.
    fn text(&self) -> Result<Option<Cow<'a, str>>, Unfit>;

    /// For a `json` column: JSON text, of texts too. An empty text is null here, as in every type but `string`.
    fn json(&self) -> Option<Cow<'a, str>>;

    /// For a column of any other type.
    fn scalar(&self) -> Result<Scalar<'a>, Unfit>;

    /// Whether it is there as null, and not as an empty text.
    fn is_null(&self) -> bool;

    /// The value's JSON text, for a reason.
    fn to_shown(&self) -> String;
}

/// A value that is not nested, as columns other than text take it: blanks around a text are gone, and a text of nothing
/// else is null.
pub(crate) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
}

impl<'a> Scalar<'a> {
    /// What a text is.
    pub(crate) fn of_text(text: Cow<'a, str>) -> Self {
        let trimmed = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        if trimmed.is_empty() { Self::Null } else { Self::Text(trimmed) }
    }

    pub(crate) fn into_number(self) -> Result<Option<Cow<'a, str>>, Unfit> {
        match self {
            Self::Null => Ok(None),
            Self::Number(text) => Ok(Some(Cow::Borrowed(text))),
            Self::Text(text) => Ok(Some(text)),
            Self::Boolean(_) => Err(Unfit::Kind("a boolean")),
        }
    }
}

pub(crate) fn to_boolean(scalar: Scalar<'_>) -> Result<Option<bool>, Unfit> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Boolean(value) => Ok(Some(value)),
        Scalar::Text(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Scalar::Text(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Scalar::Text(text) => zero_or_one(&text).map(Some),
        Scalar::Number(text) => zero_or_one(text).map(Some),
    }
}

fn zero_or_one(text: &str) -> Result<bool, Unfit> {
    match number::parse_integer(text) {
        Ok(0) => Ok(false),
        Ok(1) => Ok(true),
        _ => Err(Unfit::NotABoolean),
    }
}

pub(crate) fn to_integer(scalar: Scalar<'_>) -> Result<Option<i64>, Unfit> {
    scalar.into_number()?.map(|text| number::parse_integer(&text)).transpose()
}

pub(crate) fn to_double(scalar: Scalar<'_>) -> Result<Option<f64>, Unfit> {
    scalar.into_number()?.map(|text| number::parse_double(&text)).transpose()
}

/// The unscaled value.
pub(crate) fn to_decimal(scalar: Scalar<'_>, precision: u8, scale: u8) -> Result<Option<i128>, Unfit> {
    scalar.into_number()?.map(|text| number::parse_decimal(&text, precision, scale)).transpose()
}

/// Microseconds since 1970, UTC.
pub(crate) fn to_timestamp(scalar: Scalar<'_>) -> Result<Option<i64>, Unfit> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Number(text) => number::parse_integer(text).and_then(time::from_epoch).map(Some),
        Scalar::Text(text) if time::is_epoch_text(&text)? => {
            number::parse_integer(&text).and_then(time::from_epoch).map(Some)
        }
        Scalar::Text(text) => time::parse_time(&text).map(Some),
        Scalar::Boolean(_) => Err(Unfit::Kind("a boolean")),
    }
}

/// Days since 1970-01-01.
pub(crate) fn to_date(scalar: Scalar<'_>) -> Result<Option<i32>, Unfit> {
    to_timestamp(scalar)?.map(time::day_of).transpose()
}
