//! What the fuzz targets run, and the test of `crates/decode` that runs their corpus: one function a target, which takes any
//! bytes, and panics where a promise of the crate is broken.

use std::sync::LazyLock;

use bytes::Bytes;
use freshet_decode::{BodyForm, Decoded, Decoder, SplitLimits, failed_rows, split_records};
use freshet_model::{
    PayloadFormat, Position, QueuedRecord, Record, RecordHeaders, RequestId, StreamId, TableDefinition, TenantId,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A table that keeps every record.
static DECODER: LazyLock<Decoder> = LazyLock::new(|| decoder(&json!({"mode": "append"})));

/// The same columns in a table that merges by patch, and from which records delete.
static PATCHING: LazyLock<Decoder> = LazyLock::new(|| {
    let delete_when =
        "s = 'gone' OR d < 0 AND t < '2026-01-01' OR op IN ('D', 'X') OR NOT kept OR n > 1 OR j IS NULL AND b";
    decoder(&json!({"key": ["needed"], "order_by": "t", "merge": "patch", "delete_when": delete_when}))
});

/// The decoder of a table with columns of every type, and paths, for both formats.
fn decoder(how: &Value) -> Decoder {
    let mut document = json!({
        "stream": "orders", "row_tag": "r",
        "columns": [
            {"name": "s", "type": "string"},
            {"name": "_s", "type": "string"},
            {"name": "_VALUE", "type": "string"},
            {"name": "b", "type": "boolean"},
            {"name": "i", "type": "integer"},
            {"name": "f", "type": "double"},
            {"name": "d", "type": "decimal(9,2)"},
            {"name": "day", "type": "date"},
            {"name": "t", "type": "timestamp"},
            {"name": "j", "type": "json"},
            {"name": "needed", "type": "string", "required": true},
            {"name": "p", "type": "string", "path": "j.s"},
            {"name": "q", "type": "integer", "path": "j[1].i"},
            {"name": "u", "type": "json", "path": "J.J"},
        ],
    });
    for (field, value) in how.as_object().into_iter().flatten() {
        document[field] = value.clone();
    }
    Decoder::new(&TableDefinition::read("", &document).expect("a right definition"))
}

fn decode(format: PayloadFormat, payload: &[u8]) -> Decoded {
    let headers = RecordHeaders {
        tenant: TenantId::parse("acme").expect("a right tenant"),
        stream: StreamId::parse("is-2hzqsgX1E").expect("a right stream"),
        received_at: Timestamp::UNIX_EPOCH,
        request_id: RequestId::parse("r-1").expect("a right request"),
        index: 0,
        format,
    };
    let record = Record { headers, payload: Bytes::copy_from_slice(payload) };
    let records = [QueuedRecord { position: Position { partition: 0, offset: 7 }, record }];
    let decoded = DECODER.decode(&records, Timestamp::UNIX_EPOCH).expect("no record makes decoding fail");
    assert_eq!((decoded.records, decoded.rows.num_rows()), (1, decoded.row_offsets.len()));
    assert!(decoded.row_offsets.iter().all(|offset| *offset == 7));
    assert!(decoded.rows.num_rows() + decoded.failed.len() > 0, "a record makes a row or a failed one");
    let failed = failed_rows("records", &decoded.failed, Timestamp::UNIX_EPOCH).expect("failed rows are rows");
    assert_eq!(failed.num_rows(), decoded.failed.len());
    for row in &decoded.failed {
        assert!(row.reason.len() < 2_000, "{}", row.reason);
    }
    let patching = PATCHING.decode(&records, Timestamp::UNIX_EPOCH).expect("no record makes decoding fail");
    check_patching(&decoded, &patching);
    decoded
}

/// Only a record that deletes makes more rows than in a table without.
fn check_patching(plain: &Decoded, patching: &Decoded) {
    let rows = patching.rows.num_rows();
    for said in patching.absent.values().chain(&patching.deletes) {
        assert!(said.values().len() == rows && said.true_count() > 0);
    }
    assert!(!patching.absent.contains_key("needed"), "a key is never lacking");
    match &patching.deletes {
        None => assert_eq!((rows, patching.failed.len()), (plain.rows.num_rows(), plain.failed.len())),
        Some(_) => assert_eq!(rows + patching.failed.len(), plain.rows.num_rows() + plain.failed.len()),
    }
}

fn split_within(form: BodyForm, body: &[u8]) -> Option<Vec<Bytes>> {
    let limits = SplitLimits { record_bytes: 10_000, records: 100, depth: 100 };
    match split_records(&Bytes::copy_from_slice(body), form, limits) {
        Ok(records) => {
            assert!((1..=100).contains(&records.len()) && records.iter().all(|record| record.len() <= 10_000));
            Some(records)
        }
        Err(refused) => {
            assert!(refused.to_string().len() < 100_000);
            None
        }
    }
}

/// One payload of JSON: it decodes to one row or one failed one, and is told to be no JSON where a parser says so too.
pub fn json(data: &[u8]) {
    let decoded = decode(PayloadFormat::Json, data);
    assert_eq!(decoded.rows.num_rows() + decoded.failed.len(), 1);
    let is_readable = decoded.failed.first().is_none_or(|failed| failed.column.is_some());
    let is_object = std::str::from_utf8(data).is_ok_and(|text| text.trim_ascii_start().starts_with('{'))
        && serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok();
    assert_eq!(is_readable, is_object, "{:?}", decoded.failed);
}

/// One payload of XML: what ingest would take makes rows, or failed ones of single elements, or has no row's element; what it would
/// refuse makes nothing.
pub fn xml(data: &[u8]) {
    let decoded = decode(PayloadFormat::Xml, data);
    let whole =
        |what: &str| decoded.failed.iter().any(|failed| failed.column.is_none() && failed.reason.contains(what));
    let has_no_row = whole("the document has no element r");
    if has_no_row || whole("") {
        assert_eq!((decoded.rows.num_rows(), decoded.failed.len()), (0, 1));
    }
    for failed in decoded.failed.iter().filter(|failed| failed.column.is_some()) {
        let (opens, closes) = (failed.raw.starts_with(b"<"), failed.raw.ends_with(b">"));
        assert!(opens && closes, "{:?}", failed.raw);
    }
    for column in decoded.rows.columns() {
        assert_eq!(column.len(), decoded.rows.num_rows());
    }
    if data.trim_ascii().is_empty() || data.len() > 10_000 {
        return;
    }
    let is_taken = split_within(BodyForm::Xml, data).is_some();
    let is_readable = has_no_row || !whole("");
    assert_eq!(is_taken, is_readable, "{:?}", decoded.failed);
}

/// A body of any form, which the first byte chooses: its records are slices of it, and each decodes.
pub fn split(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let (form, format) = match first % 3 {
        0 => (BodyForm::Json, PayloadFormat::Json),
        1 => (BodyForm::NdJson, PayloadFormat::Json),
        _ => (BodyForm::Xml, PayloadFormat::Xml),
    };
    for record in split_within(form, body).into_iter().flatten() {
        assert!(body.windows(record.len()).any(|part| part == record), "a record is a part of the body");
        let decoded = decode(format, &record);
        if format == PayloadFormat::Json {
            let value: Result<Value, _> = serde_json::from_slice(&record);
            // A number too great for a double and half a surrogate pair are JSON, though this parser refuses them.
            assert!(value.is_err() || value.is_ok_and(|value| value.is_object()));
            assert!(decoded.failed.iter().all(|failed| failed.column.is_some()), "{:?}", decoded.failed);
        }
    }
}
