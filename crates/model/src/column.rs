//! Columns of tables and their types.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{ColumnName, JsonPath, Problems, nearest, read_object};

/// Names of the columns that Freshet adds to every table.
pub mod system {
    /// When ingest took the record.
    pub const RECEIVED_AT: &str = "received_at";
    /// When the row was written to the table.
    pub const WRITTEN_AT: &str = "written_at";
    /// The request that brought the record.
    pub const REQUEST_ID: &str = "request_id";
    /// The partition of the queue that the record came through.
    pub const PARTITION: &str = "_partition";
    /// Its offset there.
    pub const OFFSET: &str = "_offset";
    /// In a table that merges by patch: the orders of the fields that are not of the row's own record.
    pub const FIELD_ORDERS: &str = "_field_orders";
}

/// The columns of ours that queries show.
pub const SYSTEM_COLUMNS: [&str; 3] = [system::RECEIVED_AT, system::WRITTEN_AT, system::REQUEST_ID];
/// The columns of ours that no query shows: lineage, and the order of records.
pub const INTERNAL_COLUMNS: [&str; 3] = [system::PARTITION, system::OFFSET, system::FIELD_ORDERS];
/// Most digits of a decimal: what 128 bits hold.
pub const MAX_DECIMAL_PRECISION: u8 = 38;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// UTF-8 text.
    String,
    /// True or false.
    Boolean,
    /// 64 bits, signed.
    Integer,
    /// IEEE 754, 64 bits.
    Double,
    /// A decimal number of `precision` digits (1 to 38), `scale` of them after the point (0 to `precision`).
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// A day.
    Date,
    /// A time in UTC, microseconds.
    Timestamp,
    /// The text of any JSON value.
    Json,
}

const TYPE_NAMES: [&str; 10] =
    ["string", "boolean", "integer", "double", "float", "decimal(p,s)", "date", "timestamp", "datetime", "json"];

impl FromStr for ColumnType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_ascii_lowercase();
        match name.as_str() {
            "string" => return Ok(Self::String),
            "boolean" => return Ok(Self::Boolean),
            "integer" => return Ok(Self::Integer),
            "double" | "float" => return Ok(Self::Double),
            "date" => return Ok(Self::Date),
            "timestamp" | "datetime" => return Ok(Self::Timestamp),
            "json" => return Ok(Self::Json),
            _ => {}
        }
        if let Some(rest) = name.strip_prefix("decimal") {
            return decimal(rest).ok_or_else(|| {
                format!(
                    "{text:?} is not a decimal type: write decimal(p,s) with p digits in all, 1 to 38, and s of them after the point, 0 to p, as decimal(18,2)"
                )
            });
        }
        let hint = nearest(&name, TYPE_NAMES).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        Err(format!("unknown type {text:?}; the types are {}{hint}", TYPE_NAMES.join(", ")))
    }
}

fn decimal(arguments: &str) -> Option<ColumnType> {
    let (precision, scale) = arguments.trim().strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale): (u8, u8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=MAX_DECIMAL_PRECISION).contains(&precision) && scale <= precision)
        .then_some(ColumnType::Decimal { precision, scale })
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Boolean => f.write_str("boolean"),
            Self::Integer => f.write_str("integer"),
            Self::Double => f.write_str("double"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Json => f.write_str("json"),
        }
    }
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnDefinition {
    /// Its name, and the field that fills it unless `path` says another: matched exactly first, then ignoring case.
    pub name: ColumnName,
    /// What it holds.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether a row without a value for it fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Where in the record its value stands, if not in the field of its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<JsonPath>,
}

impl ColumnDefinition {
    /// Reads one column; what is wrong is noted.
    pub(crate) fn read(path: &str, value: &Value, problems: &mut Problems) -> Option<Self> {
        let mut fields = read_object(path, value, problems)?;
        let name: Option<ColumnName> = fields.required("name", "order_id");
        if let Some(reserved) = name.as_ref().filter(|name| is_reserved(name.as_str())) {
            let message = format!(
                "{reserved} is a column of Freshet's own in every table; use another name, and path = \"{reserved}\" to read that field"
            );
            fields.problem("name", message);
        }
        let column_type = fields.required("type", "string");
        let required = fields.boolean("required").unwrap_or(false);
        let path = fields.optional("path");
        fields.finish();
        Some(Self { name: name?, column_type: column_type?, required, path })
    }
}

pub(crate) fn is_reserved(name: &str) -> bool {
    SYSTEM_COLUMNS.iter().chain(&INTERNAL_COLUMNS).any(|reserved| name.eq_ignore_ascii_case(reserved))
        || name.to_ascii_lowercase().starts_with("_freshet")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("string", ColumnType::String)]
    #[case("float", ColumnType::Double)]
    #[case("datetime", ColumnType::Timestamp)]
    #[case("decimal(18,2)", ColumnType::Decimal { precision: 18, scale: 2 })]
    #[case("DECIMAL( 38 , 38 )", ColumnType::Decimal { precision: 38, scale: 38 })]
    fn types(#[case] text: &str, #[case] expected: ColumnType) {
        assert_eq!(text.parse(), Ok(expected));
        assert_eq!(expected.to_string().parse(), Ok(expected));
    }

    #[rstest]
    #[case("strin", "did you mean \"string\"?")]
    #[case("decimal(39,2)", "1 to 38")]
    #[case("decimal(2,3)", "0 to p")]
    #[case("decimal", "decimal(18,2)")]
    #[case("int4range", "the types are string")]
    fn refused_types(#[case] text: &str, #[case] says: &str) {
        let message = text.parse::<ColumnType>().unwrap_err();
        assert!(message.contains(says), "{message}");
    }
}
