//! Whole rows: which are written, which fail, and what stands in the columns of ours.

use arrow::datatypes::DataType;
use freshet_decode::{DecodeError, Decoder, FailedRow, failed_rows, failed_schema, table_schema};
use freshet_model::TableDefinition;
use rstest::rstest;
use serde_json::json;

use crate::support::{Cell, cell, decode, queued, written_at};

fn orders() -> TableDefinition {
    let document = json!({
        "stream": "orders", "key": ["order_id"],
        "columns": [
            {"name": "revenue", "type": "decimal(9,2)"},
            {"name": "order_id", "type": "string"},
            {"name": "at", "type": "timestamp", "required": true},
            {"name": "count", "type": "integer"},
        ],
    });
    TableDefinition::read("", &document).unwrap()
}

const GOOD: &str = r#"{"order_id": "o-1", "at": "2026-06-14 00:24", "revenue": "79.99", "count": 3}"#;

#[test]
fn the_schema_is_the_columns_and_then_ours() {
    let schema = table_schema(&orders());
    let timestamp = r#"Timestamp(µs, "UTC")"#;
    let columns: Vec<_> =
        schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    let expected = [
        "revenue Decimal128(9, 2)".to_owned(),
        "order_id Utf8".to_owned(),
        format!("at {timestamp}"),
        "count Int64".to_owned(),
        format!("received_at {timestamp}"),
        format!("written_at {timestamp}"),
        "request_id Utf8".to_owned(),
        "_partition Int32".to_owned(),
        "_offset Int64".to_owned(),
    ];
    assert_eq!(columns, expected);
    assert!(schema.fields().iter().all(|field| field.is_nullable()));
}

#[test]
fn a_row_holds_its_values_and_where_it_came_from() {
    let decoded = Decoder::new(&orders()).decode(&[queued(41, GOOD)], written_at()).unwrap();
    assert_eq!(decoded.rows.schema(), table_schema(&orders()));
    assert_eq!(decoded.row_offsets, [41]);
    let row: Vec<Cell> = decoded.rows.columns()[..7].iter().map(|column| cell(column, 0)).collect();
    let expected = [
        Cell::Decimal(7_999),
        Cell::Text("o-1".to_owned()),
        Cell::Micros(1_781_396_640_000_000),
        Cell::Integer(3),
        Cell::Micros(1_781_396_656_500_000),
        Cell::Micros(1_781_396_657_000_000),
        Cell::Text("request-1".to_owned()),
    ];
    assert_eq!(row, expected);
    assert_eq!(decoded.rows.column(7).data_type(), &DataType::Int32);
    assert_eq!(cell(decoded.rows.column(8), 0), Cell::Integer(41));
}

#[rstest]
#[case::key_missing(
    r#"{"at": 0}"#,
    "order_id",
    "order_id, string: the field is missing and the column is part of the key; expected a text"
)]
#[case::key_null(r#"{"order_id": null, "at": 0}"#, "order_id", "the value is null and the column is part of the key")]
#[case::required_missing(
    r#"{"order_id": "a"}"#,
    "at",
    "the field is missing and the column is required; expected a time"
)]
#[case::required_empty(
    r#"{"order_id": "a", "at": ""}"#,
    "at",
    "the value is an empty text, which counts as null, and the column is required"
)]
#[case::neither_needed_nor_fitting(
    r#"{"order_id": "a", "at": 0, "revenue": "79.991"}"#,
    "revenue",
    "\"79.991\" has more digits after the point"
)]
#[case::the_first_in_the_order_of_columns(r#"{"count": "x", "revenue": "y"}"#, "revenue", "\"y\" is not a number")]
fn a_row_that_fails_names_column_and_reason(#[case] record: &str, #[case] column: &str, #[case] says: &str) {
    let decoded = decode(&orders(), &[record]);
    assert_eq!(decoded.rows.num_rows(), 0);
    let [failed] = &decoded.failed[..] else { panic!("{:?}", decoded.failed) };
    assert_eq!(failed.column.as_ref().unwrap().as_str(), column);
    assert!(failed.reason.contains(says), "{}", failed.reason);
    assert_eq!(failed.raw, record);
}

/// An empty text is a value in a `string` column, also where it is the key.
#[rstest]
#[case::only_what_is_needed(r#"{"order_id": "", "at": 0}"#)]
#[case::unknown_fields(r#"{"order_id": "a", "at": 0, "x": {"y": [1]}}"#)]
#[case::optional_nulls(r#"{"order_id": "a", "at": 0, "revenue": null, "count": ""}"#)]
fn a_partial_match_is_a_row(#[case] record: &str) {
    let decoded = decode(&orders(), &[record]);
    assert_eq!(decoded.failed, []);
    assert_eq!(cell(decoded.rows.column(0), 0), Cell::Null);
    assert_eq!(cell(decoded.rows.column(3), 0), Cell::Null);
}

#[rstest]
#[case(b"", "the payload is empty, expected a JSON object")]
#[case(b"[1]", "the payload is an array, expected a JSON object")]
#[case(b"\"text\"", "the payload is a text, expected a JSON object")]
#[case(b"null", "the payload is null, expected a JSON object")]
#[case(b"order_id=1", "the payload is not valid JSON: expected value at line 1 column 1")]
#[case(b"{\"order_id\": ", "the payload is not valid JSON: EOF while parsing a value at line 1 column 13")]
#[case(b"{\"order_id\": 1}{}", "the payload is not valid JSON: trailing characters at line 1 column 16")]
#[case(b"{\"order_id\": \"\xff\"}", "the payload is not UTF-8 after byte 14")]
fn a_malformed_payload_never_stops_its_neighbours(#[case] payload: &[u8], #[case] says: &str) {
    let records = [queued(1, GOOD), queued(2, payload), queued(3, GOOD)];
    let decoded = Decoder::new(&orders()).decode(&records, written_at()).unwrap();
    assert_eq!(decoded.row_offsets, [1, 3]);
    let [failed] = &decoded.failed[..] else { panic!("{:?}", decoded.failed) };
    assert_eq!((failed.column.as_ref(), failed.reason.as_str()), (None, says));
    assert_eq!((failed.position, failed.index, &failed.raw[..]), (records[1].position, 2, payload));
}

#[test]
fn a_row_whose_last_column_fails_leaves_nothing_of_its_first() {
    let bad = GOOD.replace("3}", "3.5}").replace("79.99", "1.00");
    let other = GOOD.replace("79.99", "2.00");
    let decoded = decode(&orders(), &[&bad, &other, &bad, GOOD, &bad]);
    assert_eq!(decoded.row_offsets, [1, 3]);
    assert_eq!(decoded.failed.len(), 3);
    let revenues: Vec<Cell> = (0..2).map(|row| cell(decoded.rows.column(0), row)).collect();
    assert_eq!(revenues, [Cell::Decimal(200), Cell::Decimal(7_999)]);
}

#[test]
fn nesting_of_any_depth_is_text_like_any_other() {
    let deep = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    let record = format!(r#"{{"order_id": {deep}, "at": 0, "x": {deep}}}"#);
    let decoded = decode(&orders(), &[&record]);
    assert_eq!(decoded.failed, []);
    assert_eq!(cell(decoded.rows.column(1), 0), Cell::Text(deep));
}

#[test]
fn failed_rows_keep_the_record_as_it_came() {
    let records = [queued(7, r#"{ "order_id":null }"#), queued(8, b"\xff{")];
    let decoded = Decoder::new(&orders()).decode(&records, written_at()).unwrap();
    let batch = failed_rows("records", &decoded.failed, written_at()).unwrap();
    assert_eq!(batch.schema(), failed_schema());
    let text = |column: &str, row: usize| cell(batch.column_by_name(column).unwrap(), row);
    assert_eq!(text("raw", 0), Cell::Text(r#"{ "order_id":null }"#.to_owned()));
    assert_eq!(text("raw", 1), Cell::Text("\u{fffd}{".to_owned()));
    assert_eq!(text("column", 0), Cell::Text("order_id".to_owned()));
    assert_eq!(text("column", 1), Cell::Null);
    assert_eq!(text("reason", 1), Cell::Text(decoded.failed[1].reason.clone()));
    assert_eq!(text("topic", 1), Cell::Text("records".to_owned()));
    assert_eq!(text("offset", 1), Cell::Integer(8));
    assert_eq!(text("received_at", 0), Cell::Micros(1_781_396_656_500_000));
    assert_eq!(text("written_at", 0), Cell::Micros(1_781_396_657_000_000));
}

#[test]
fn nothing_decodes_to_nothing() {
    let decoded = Decoder::new(&orders()).decode(&[], written_at()).unwrap();
    assert_eq!((decoded.rows.num_rows(), decoded.failed.len(), decoded.ignored_fields), (0, 0, 0));
    assert_eq!(failed_rows("records", &[], written_at()).unwrap().num_rows(), 0);
}

#[test]
fn a_place_that_no_table_can_hold_is_an_error_and_not_another_place() {
    let far = queued(u64::MAX, GOOD);
    let error = Decoder::new(&orders()).decode(std::slice::from_ref(&far), written_at()).unwrap_err();
    assert!(matches!(error, DecodeError::Position(position) if position == far.position), "{error}");
    let failed = FailedRow {
        position: far.position,
        received_at: written_at(),
        request_id: far.record.headers.request_id.clone(),
        index: 0,
        column: None,
        reason: String::new(),
        raw: far.record.payload,
    };
    assert!(matches!(failed_rows("records", &[failed], written_at()), Err(DecodeError::Position(_))));
}
