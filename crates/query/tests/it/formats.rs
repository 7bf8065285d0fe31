//! The same rows in each format.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::ipc::reader::StreamReader;
use freshet_query::{Format, JsonObjects, QueryError};
use futures::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Shop, shop, table};

async fn text(shop: &Shop, sql: &str, format: Format) -> String {
    String::from_utf8(shop.answer(sql, format).await.unwrap()).unwrap()
}

/// The batches of a binary format, read back.
fn read(body: Vec<u8>, format: Format) -> (SchemaRef, Vec<RecordBatch>) {
    match format {
        Format::ArrowStream => {
            let reader = StreamReader::try_new(Cursor::new(body), None).unwrap();
            (reader.schema(), reader.map(Result::unwrap).collect())
        }
        Format::Parquet => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(body)).unwrap().build().unwrap();
            (arrow::array::RecordBatchReader::schema(&reader), reader.map(Result::unwrap).collect())
        }
        other => panic!("{other:?} is text"),
    }
}

#[tokio::test]
async fn ndjson_has_an_object_a_row() {
    let text = text(&shop(), "SELECT * FROM orders ORDER BY order_id", Format::NdJson).await;
    assert_eq!(
        text,
        concat!(
            r#"{"order_id":"a-1","email":"ann@example.com","revenue":10.10,"quantity":1,"rating":4.5,"gift":true,"day":"2026-06-14","ordered_at":"2026-06-14T00:24:16.000001Z"}"#,
            "\n",
            r#"{"order_id":"a-2","email":"bob@example.com","revenue":2500315.63,"quantity":2,"rating":0.1,"gift":false,"day":"1970-01-01","ordered_at":"1970-01-01T00:00:00.000000Z"}"#,
            "\n",
            r#"{"order_id":"a-3","email":null,"revenue":null,"quantity":null,"rating":null,"gift":null,"day":null,"ordered_at":null}"#,
            "\n",
        )
    );
}

#[tokio::test]
async fn csv_has_a_row_of_names_and_quotes_where_they_are_needed() {
    let mut shop = shop();
    let texts: ArrayRef = Arc::new(StringArray::from(vec![
        Some("plain"),
        Some("a,b"),
        Some("say \"hi\""),
        Some("two\r\nlines"),
        Some(""),
        None,
        Some("=1+1"),
        Some(" é🦀 "),
    ]));
    shop.tables.push(table("texts", vec![("a \"name\"", texts)]));
    let answer = text(&shop, "SELECT \"a \"\"name\"\"\", 1 AS \"n,m\" FROM texts", Format::Csv).await;
    assert_eq!(
        answer,
        "\"a \"\"name\"\"\",\"n,m\"\r\nplain,1\r\n\"a,b\",1\r\n\"say \"\"hi\"\"\",1\r\n\"two\r\nlines\",1\r\n\"\",1\r\n,1\r\n=1+1,1\r\n é🦀 ,1\r\n"
    );
    let orders = text(&shop, "SELECT * FROM orders ORDER BY order_id", Format::Csv).await;
    assert_eq!(
        orders,
        "order_id,email,revenue,quantity,rating,gift,day,ordered_at\r\n\
         a-1,ann@example.com,10.10,1,4.5,true,2026-06-14,2026-06-14T00:24:16.000001Z\r\n\
         a-2,bob@example.com,2500315.63,2,0.1,false,1970-01-01,1970-01-01T00:00:00.000000Z\r\n\
         a-3,,,,,,,\r\n"
    );
}

#[tokio::test]
async fn a_csv_record_is_never_an_empty_line() {
    let answer = text(&shop(), "SELECT email FROM orders ORDER BY order_id", Format::Csv).await;
    assert_eq!(answer, "email\r\nann@example.com\r\nbob@example.com\r\n\"\"\r\n");
}

/// What a CSV reader makes of it is what JSON says.
#[tokio::test]
async fn csv_reads_back() {
    let sql = "SELECT repeat(CASE value % 7 WHEN 0 THEN 'a\"b' WHEN 1 THEN ',' WHEN 2 THEN chr(10) WHEN 3 THEN '\"' WHEN 4 THEN chr(13) WHEN 5 THEN '' ELSE 'é' END, value % 3) AS t, value AS n FROM generate_series(1, 500)";
    let shop = shop();
    let answer = shop.answer(sql, Format::Csv).await.unwrap();
    let mut reader = csv::Reader::from_reader(answer.as_slice());
    let records: Vec<Vec<String>> =
        reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
    let expected: Vec<Vec<String>> =
        serde_json::from_value(shop.rows(&format!("SELECT t, CAST(n AS varchar) FROM ({sql}) s")).await).unwrap();
    assert_eq!(records, expected);
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

#[rstest]
#[case("'x'", DataType::Utf8, "x")]
#[case("arrow_typeof(1)", DataType::Utf8, "Int64")]
#[case("1 = 1", DataType::Boolean, "true")]
#[case("CAST(7 AS SMALLINT)", DataType::Int64, "7")]
#[case("-9223372036854775807", DataType::Int64, "-9223372036854775807")]
#[case("18446744073709551615", DataType::UInt64, "18446744073709551615")]
#[case("CAST(0.1 AS DOUBLE)", DataType::Float64, "0.1")]
#[case("CAST(0.1 AS REAL)", DataType::Float32, "0.1")]
#[case("CAST('90071992547409.93' AS DECIMAL(18,2))", DataType::Decimal128(18, 2), "90071992547409.93")]
#[case("DATE '2026-06-14'", DataType::Date32, "2026-06-14")]
#[case("TIMESTAMP '2026-06-14 02:24:16'", utc(), "2026-06-14T02:24:16Z")]
#[case("TIMESTAMP '2026-06-14T02:24:16+02:00'", utc(), "2026-06-14T00:24:16Z")]
#[case("to_timestamp_seconds(0)", utc(), "1970-01-01T00:00:00Z")]
#[case("TIME '10:20:30'", DataType::Time64(TimeUnit::Microsecond), "10:20:30")]
#[case("INTERVAL '1 day'", DataType::Utf8, "1 days")]
#[case("X'00ff'", DataType::Binary, "00ff")]
#[case("make_array('a', NULL)", list(DataType::Utf8), "[a, ]")]
#[case("make_array(CAST(1 AS INT))", list(DataType::Int64), "[1]")]
#[case("NULL", DataType::Null, "")]
#[tokio::test]
async fn each_type_is_read_back(
    #[case] expression: &str,
    #[case] data_type: DataType,
    #[case] shown: &str,
    #[values(Format::ArrowStream, Format::Parquet)] format: Format,
) {
    let shop = shop();
    let body = shop.answer(&format!("SELECT {expression} AS v"), format).await.unwrap();
    let (schema, batches) = read(body, format);
    assert_eq!(schema.fields().len(), 1);
    assert_eq!((schema.field(0).name().as_str(), schema.field(0).data_type()), ("v", &data_type));
    let value = arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap();
    assert_eq!(value, shown);
}

#[rstest]
#[tokio::test]
async fn binary_formats_have_all_rows_under_the_tables_names(
    #[values(Format::ArrowStream, Format::Parquet)] format: Format,
) {
    let shop = shop();
    let body = shop
        .answer(
            "SELECT o.*, c.customer_id FROM orders o LEFT JOIN customers c ON o.email = c.email ORDER BY order_id",
            format,
        )
        .await
        .unwrap();
    let (schema, batches) = read(body, format);
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(
        names,
        ["order_id", "email", "revenue", "quantity", "rating", "gift", "day", "ordered_at", "Customer_ID"]
    );
    let rows = arrow::compute::concat_batches(&schema, &batches).unwrap();
    let ids: Vec<&str> = rows.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(ids, ["a-1", "a-2", "a-3"]);
    let revenue: Vec<Option<i128>> = rows.column(2).as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(revenue, [Some(1_010), Some(250_031_563), None]);
    let times: Vec<Option<i64>> = rows.column(7).as_primitive::<TimestampMicrosecondType>().iter().collect();
    assert_eq!(times, [Some(1_781_396_656_000_001), Some(0), None]);
}

#[rstest]
#[case(Format::Json, "{\"columns\":[{\"name\":\"order_id\",\"type\":\"string\"}],\"rows\":[],\"row_count\":0,")]
#[case(Format::NdJson, "")]
#[case(Format::Csv, "order_id\r\n")]
#[tokio::test]
async fn no_rows_are_an_answer_in_text(#[case] format: Format, #[case] begins: &str) {
    let answer = text(&shop(), "SELECT order_id FROM orders WHERE false", format).await;
    assert!(if begins.is_empty() { answer.is_empty() } else { answer.starts_with(begins) }, "{answer}");
}

#[rstest]
#[tokio::test]
async fn no_rows_are_an_answer_in_binary(#[values(Format::ArrowStream, Format::Parquet)] format: Format) {
    let body = shop().answer("SELECT order_id FROM orders WHERE false", format).await.unwrap();
    let (schema, batches) = read(body, format);
    assert_eq!(schema.field(0).name(), "order_id");
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

const TWO_OF_A_NAME: &str = "SELECT o.email, c.email FROM orders o JOIN customers c ON o.email = c.email";

#[rstest]
#[case(Format::NdJson)]
#[case(Format::Parquet)]
#[tokio::test]
async fn columns_of_one_name_are_refused_where_names_tell_them_apart(#[case] format: Format) {
    let refusal = shop().answer(TWO_OF_A_NAME, format).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the result has two columns \"email\", which this format tells apart by name: give each a name of its own with AS"
    );
}

#[tokio::test]
async fn columns_of_one_name_are_written_where_places_tell_them_apart() {
    let answer = text(&shop(), TWO_OF_A_NAME, Format::Csv).await;
    assert_eq!(answer, "email,email\r\nann@example.com,ann@example.com\r\n");
}

#[rstest]
#[case(Format::Json)]
#[case(Format::NdJson)]
#[case(Format::Csv)]
#[case(Format::ArrowStream)]
#[case(Format::Parquet)]
#[tokio::test]
async fn every_format_is_bounded_in_bytes(#[case] format: Format) {
    let mut shop = shop();
    shop.limit = 100_000;
    shop.answer_bytes = 100_000;
    let sql = "SELECT sha256(CAST(value AS VARCHAR)) AS v FROM generate_series(1, 100000)";
    let refusal = shop.answer(sql, format).await.unwrap_err();
    assert!(matches!(refusal, QueryError::ResultTooLarge { limit: 100_000, .. }), "{refusal:?}");
}

#[tokio::test]
async fn a_large_parquet_file_is_whole() {
    let mut shop = shop();
    (shop.limit, shop.answer_bytes) = (100_000, 1 << 30);
    let sql = "SELECT value AS n, sha512(CAST(value AS VARCHAR)) || sha512(CAST(-value AS VARCHAR)) AS v FROM generate_series(1, 100000)";
    let body = shop.answer(sql, Format::Parquet).await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(body.clone())).unwrap();
    assert!(reader.metadata().num_row_groups() > 1, "{} bytes", body.len());
    assert_eq!(reader.metadata().file_metadata().num_rows(), 100_000);
    let (_, batches) = read(body, Format::Parquet);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 100_000);
}

#[tokio::test]
async fn rows_are_written_as_objects_for_those_who_keep_them() {
    let shop = shop();
    let query = shop
        .query("SELECT order_id, revenue, 9007199254740993 AS big, email IS NULL AS gone FROM orders ORDER BY 1", "[]");
    let mut rows = shop.engine.start(query.unwrap(), ()).await.unwrap();
    let objects = JsonObjects::of(&rows.columns).unwrap();
    let mut written: Vec<Value> = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap();
        assert_eq!(batch.schema(), rows.schema);
        let of_batch = objects.rows(&batch);
        for row in 0..batch.num_rows() {
            let mut object = Vec::new();
            of_batch.write(row, &mut object).unwrap();
            written.push(serde_json::from_slice(&object).unwrap());
        }
    }
    assert_eq!(written[0], json!({"order_id": "a-1", "revenue": 10.10, "big": "9007199254740993", "gone": false}));
    assert_eq!(written[2], json!({"order_id": "a-3", "revenue": null, "big": "9007199254740993", "gone": true}));
}
