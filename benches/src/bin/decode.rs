//! Decoding JSON and XML into rows, beside `arrow-json` and a bare run through `quick-xml`'s events over the same bytes.

use std::hint::black_box;
use std::io::Cursor;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow_json::ReaderBuilder;
use bytes::Bytes;
use freshet_benches::{Must, Row, is_quick, median, report, say};
use freshet_decode::Decoder;
use freshet_model::{
    PayloadFormat, Position, QueuedRecord, Record, RecordHeaders, RequestId, StreamId, TableDefinition, TenantId,
};
use jiff::Timestamp;
use quick_xml::events::Event;
use serde_json::json;

/// Orders of a run.
const ORDERS: usize = 200_000;
/// Orders of an XML document.
const DOCUMENT: usize = 100;
/// Orders decoded at once, as the writer does.
const BATCH: usize = 10_000;
const ROUNDS: usize = 7;
const MEGABYTE: f64 = 1e6;

fn main() -> anyhow::Result<ExitCode> {
    let orders = if is_quick() { ORDERS / 10 } else { ORDERS };
    let rows = [json_row(orders)?, xml_row(orders)?];
    Ok(if report("decode", &rows)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn json_row(orders: usize) -> anyhow::Result<Row> {
    say("decoding JSON beside arrow-json …");
    let texts: Vec<String> = (0..orders).map(json_order).collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    let lines = texts.join("\n").into_bytes();
    let records = queued(texts, PayloadFormat::Json)?;
    let decoder = Decoder::new(&definition(None)?);
    let schema = peer_schema();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(speed(bytes, || decode(&decoder, &records, orders))?);
        let reader = ReaderBuilder::new(schema.clone()).with_batch_size(BATCH);
        theirs.push(speed(bytes, || {
            let mut rows = 0;
            for batch in reader.build(Cursor::new(&lines))? {
                rows += black_box(batch?).num_rows();
            }
            anyhow::ensure!(rows == orders, "arrow-json made {rows} rows");
            Ok(())
        })?);
    }
    Ok(Row::new("JSON to rows, beside arrow-json", "MB/s", median(&ours), Some(median(&theirs)), Must::AtLeast(300.0)))
}

fn xml_row(orders: usize) -> anyhow::Result<Row> {
    say("decoding XML beside quick-xml's bare events …");
    let numbers: Vec<usize> = (0..orders).collect();
    let texts: Vec<String> = numbers
        .chunks(DOCUMENT)
        .map(|numbers| format!("<orders>{}</orders>", numbers.iter().copied().map(xml_order).collect::<String>()))
        .collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    let records = queued(texts, PayloadFormat::Xml)?;
    let decoder = Decoder::new(&definition(Some("order"))?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(speed(bytes, || decode(&decoder, &records, orders))?);
        theirs.push(speed(bytes, || {
            for record in &records {
                let mut reader = quick_xml::Reader::from_reader(&record.record.payload[..]);
                while !matches!(black_box(reader.read_event()?), Event::Eof) {}
            }
            Ok(())
        })?);
    }
    let what = "XML to rows, beside quick-xml's events alone";
    Ok(Row::new(what, "MB/s", median(&ours), Some(median(&theirs)), Must::AtLeast(100.0)))
}

/// Megabytes a second.
fn speed(bytes: usize, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let started = Instant::now();
    work()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let megabytes = bytes as f64 / MEGABYTE;
    Ok(megabytes / started.elapsed().as_secs_f64())
}

fn decode(decoder: &Decoder, records: &[QueuedRecord], orders: usize) -> anyhow::Result<()> {
    let mut rows = 0;
    for batch in records.chunks(if records.len() == orders { BATCH } else { BATCH / DOCUMENT }) {
        let made = black_box(decoder.decode(batch, Timestamp::UNIX_EPOCH)?);
        anyhow::ensure!(made.failed.is_empty(), "a row failed: {}", made.failed.first().map_or("", |row| &row.reason));
        rows += made.rows.num_rows();
    }
    anyhow::ensure!(rows == orders, "{rows} rows were made");
    Ok(())
}

/// An order of about 500 bytes.
fn json_order(number: usize) -> String {
    json!({
        "order_id": format!("o-{number:010}"),
        "email": format!("customer{}@example.com", number % 20_000),
        "status": if number.is_multiple_of(4) { "cancelled" } else { "shipped" },
        "order_revenue": format!("{}.{:02}", number % 1_000, number % 100),
        "discount": number % 50,
        "order_datetime": format!("2026-06-{:02}T{:02}:{:02}:{:02}.{:03}Z", number % 28 + 1, number % 24, number % 60, number % 59, number % 1_000),
        "customer": {"address": {"street": format!("{} Market Street", number % 300), "city": "London", "postcode": "SW1A 1AA"}, "vip": number.is_multiple_of(7)},
        "items": [{"sku": format!("sku-{}", number % 97), "quantity": number % 5 + 1}, {"sku": "gift-wrap", "quantity": 1}],
        "note": "leave with the neighbour if nobody answers the door, please",
        "channel": "web",
    })
    .to_string()
}

fn xml_order(number: usize) -> String {
    format!(
        "<order id=\"o-{number:010}\"><email>customer{}@example.com</email><status>shipped</status><order_revenue>{}.{:02}</order_revenue><discount>{}</discount>\
         <order_datetime>2026-06-{:02}T{:02}:{:02}:{:02}.{:03}Z</order_datetime><customer vip=\"true\"><address><street>{} Market Street</street><city>London</city><postcode>SW1A 1AA</postcode></address></customer>\
         <note>leave with the neighbour if nobody answers the door, please</note><channel>web</channel></order>",
        number % 20_000,
        number % 1_000,
        number % 100,
        number % 50,
        number % 28 + 1,
        number % 24,
        number % 60,
        number % 59,
        number % 1_000,
        number % 300,
    )
}

fn definition(row_tag: Option<&str>) -> anyhow::Result<TableDefinition> {
    let id = if row_tag.is_some() {
        json!({"name": "order_id", "type": "string", "path": "id"})
    } else {
        json!({"name": "order_id", "type": "string"})
    };
    let mut definition = json!({
        "stream": "orders", "key": ["order_id"],
        "columns": [
            id,
            {"name": "email", "type": "string"},
            {"name": "status", "type": "string"},
            {"name": "order_revenue", "type": "decimal(18,2)"},
            {"name": "discount", "type": "integer"},
            {"name": "order_datetime", "type": "timestamp"},
            {"name": "city", "type": "string", "path": "customer.address.city"},
            {"name": "vip", "type": "boolean", "path": "customer.vip"},
            {"name": "items", "type": "json"},
            {"name": "note", "type": "string"},
            {"name": "channel", "type": "string"},
        ],
    });
    if let (Some(tag), Some(fields)) = (row_tag, definition.as_object_mut()) {
        fields.insert("row_tag".to_owned(), tag.into());
    }
    TableDefinition::read("", &definition).map_err(|problems| anyhow::anyhow!("{problems}"))
}

/// The same values as `arrow-json` reads them: it has no type of JSON texts, and no paths.
fn peer_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let address = DataType::Struct(Fields::from(vec![text("city")]));
    let customer = DataType::Struct(Fields::from(vec![
        Field::new("address", address, true),
        Field::new("vip", DataType::Boolean, true),
    ]));
    let item = DataType::Struct(Fields::from(vec![text("sku"), Field::new("quantity", DataType::Int64, true)]));
    Arc::new(Schema::new(vec![
        text("order_id"),
        text("email"),
        text("status"),
        Field::new("order_revenue", DataType::Decimal128(18, 2), true),
        Field::new("discount", DataType::Int64, true),
        // Of UTC by its offset: by its name arrow knows it only where other crates of the build make it.
        Field::new("order_datetime", DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), true),
        Field::new("customer", customer, true),
        Field::new("items", DataType::List(Arc::new(Field::new("item", item, true))), true),
        text("note"),
        text("channel"),
    ]))
}

fn queued(payloads: Vec<String>, format: PayloadFormat) -> anyhow::Result<Vec<QueuedRecord>> {
    let headers = RecordHeaders {
        tenant: TenantId::parse("bench").context("a tenant")?,
        stream: StreamId::parse("is-123456789").context("a stream")?,
        request_id: RequestId::parse("r-1").context("a request id")?,
        index: 0,
        received_at: Timestamp::UNIX_EPOCH,
        format,
    };
    let records = (0..).zip(payloads).map(|(offset, payload)| QueuedRecord {
        position: Position { partition: 0, offset },
        record: Record { headers: headers.clone(), payload: Bytes::from(payload) },
    });
    Ok(records.collect())
}
