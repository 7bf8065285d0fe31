//! Tables and records for the tests.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use freshet_decode::{Decoded, Decoder};
use freshet_model::{
    PayloadFormat, Position, QueuedRecord, Record, RecordHeaders, RequestId, StreamId, TableDefinition, TenantId,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A table that appends, with these columns.
pub(crate) fn table(columns: &Value) -> TableDefinition {
    TableDefinition::read("", &json!({"stream": "orders", "mode": "append", "columns": columns})).unwrap()
}

pub(crate) fn written_at() -> Timestamp {
    "2026-06-14T00:24:17Z".parse().unwrap()
}

/// A record at an offset of partition 3.
pub(crate) fn queued(offset: u64, payload: impl AsRef<[u8]>) -> QueuedRecord {
    queued_as(PayloadFormat::Json, offset, payload)
}

/// A record of some format at an offset of partition 3.
pub(crate) fn queued_as(format: PayloadFormat, offset: u64, payload: impl AsRef<[u8]>) -> QueuedRecord {
    let headers = RecordHeaders {
        tenant: TenantId::parse("acme").unwrap(),
        stream: StreamId::parse("is-2hzqsgX1E").unwrap(),
        received_at: "2026-06-14T00:24:16.5Z".parse().unwrap(),
        request_id: RequestId::parse("request-1").unwrap(),
        index: u32::try_from(offset % 1_000).unwrap(),
        format,
    };
    let record = Record { headers, payload: Bytes::copy_from_slice(payload.as_ref()) };
    QueuedRecord { position: Position { partition: 3, offset }, record }
}

pub(crate) fn decode(table: &TableDefinition, payloads: &[&str]) -> Decoded {
    let records: Vec<_> = (0..).zip(payloads).map(|(offset, payload)| queued(offset, payload)).collect();
    Decoder::new(table).decode(&records, written_at()).unwrap()
}

/// A table of a stream of XML whose rows are the elements `r`, with these columns.
pub(crate) fn xml_table(columns: &Value) -> TableDefinition {
    let document = json!({"stream": "orders", "mode": "append", "row_tag": "r", "columns": columns});
    TableDefinition::read("", &document).unwrap()
}

pub(crate) fn decode_xml(table: &TableDefinition, documents: &[&str]) -> Decoded {
    let records: Vec<_> =
        (0..).zip(documents).map(|(offset, document)| queued_as(PayloadFormat::Xml, offset, document)).collect();
    Decoder::new(table).decode(&records, written_at()).unwrap()
}

/// A value of a row, in the words of the tests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Text(String),
    Boolean(bool),
    Integer(i64),
    Double(f64),
    /// Unscaled.
    Decimal(i128),
    /// Since 1970.
    Days(i32),
    /// Since 1970.
    Micros(i64),
}

pub(crate) fn cell(array: &ArrayRef, row: usize) -> Cell {
    use arrow::datatypes::DataType;
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
        DataType::Int64 => Cell::Integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Cell::Double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => Cell::Decimal(array.as_primitive::<Decimal128Type>().value(row)),
        DataType::Date32 => Cell::Days(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => Cell::Micros(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        other => panic!("no column has the type {other}"),
    }
}

/// What the JSON value `incoming` becomes in a column of a type: the cell, or the reason.
pub(crate) fn decode_value(column_type: &str, incoming: &str) -> Result<Cell, String> {
    let table = table(&json!([{"name": "value", "type": column_type}]));
    let decoded = decode(&table, &[&format!("{{\"value\": {incoming}}}")]);
    match decoded.failed.first() {
        Some(failed) => {
            assert_eq!(failed.column.as_ref().unwrap().as_str(), "value");
            assert_eq!(decoded.rows.num_rows(), 0);
            Err(failed.reason.clone())
        }
        None => Ok(cell(decoded.rows.column(0), 0)),
    }
}
