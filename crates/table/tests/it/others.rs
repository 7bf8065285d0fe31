//! Other engines write our tables, and we read theirs.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::prelude::SessionContext;
use freshet_table::{ForeignTable, ForeignTables, Table, TableError};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use rstest::rstest;
use serde_json::json;

use crate::differential::at_once;
use crate::model::{Given, Row};
use crate::support::{Local, PATH, TOPIC, number, rows, slice, spec, upsert};

const KEYS: u64 = 20;

fn record(key: u64, offset: u64, value: &str) -> Row {
    Row {
        key: (format!("o-{key:02}"), Some(0)),
        order: Some(i64::try_from(offset).unwrap()),
        value: value.to_owned(),
        received_at: i64::try_from(offset).unwrap(),
        partition: 0,
        offset,
        note: Given::Null,
        deletes: false,
    }
}

/// Writes one record of each of some keys, from an offset on.
async fn write(table: &Table, first: u64, keys: std::ops::Range<u64>, value: &str) {
    let rows: Vec<Row> = keys.zip(first..).map(|(key, offset)| record(key, offset, value)).collect();
    let end = first + rows.len() as u64;
    table.write(TOPIC, vec![slice(0, first..end, &rows)]).await.unwrap();
}

const UPDATE: &str = r#"
import sys, deltalake
table = deltalake.DeltaTable(sys.argv[1])
table.update(updates={"value": "'theirs'"}, predicate="order_id < 'o-05'")
"#;

const OPTIMIZE: &str = r"
import sys, deltalake
table = deltalake.DeltaTable(sys.argv[1])
table.optimize.compact()
";

const DELETE: &str = r#"
import sys, deltalake
table = deltalake.DeltaTable(sys.argv[1])
table.delete("order_id < 'o-05'")
"#;

const ADD_COLUMN: &str = r#"
import sys, deltalake
from deltalake import Field
from deltalake.schema import PrimitiveType
table = deltalake.DeltaTable(sys.argv[1])
table.alter.add_columns([Field("theirs", PrimitiveType("string"))])
"#;

const RESTORE: &str = r"
import sys, deltalake
table = deltalake.DeltaTable(sys.argv[1])
table.restore(2)
";

/// What a table holds after another engine has changed it and [`upserts_go_on`] has written to it.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    pub(crate) keys: i64,
    /// Rows with the value `theirs`.
    pub(crate) theirs: i64,
}

/// Whoever changed a table, the next upserts find the rows of their keys: a warm process, whose index was built before, and one
/// that starts then. `change` is given the table's directory. Versions 1 to 3 are ours and have the keys `o-00` to `o-24`; after
/// the change, `o-00` to `o-19` are written again.
pub(crate) async fn upserts_go_on(local: &Local, change: impl AsyncFnOnce(&str), held: Held) {
    let warm = local.tables().open_or_create(PATH, &spec(upsert())).await.unwrap();
    write(&warm, 0, 0..KEYS, "first").await;
    write(&warm, 20, 0..10, "second").await;
    write(&warm, 30, 5..25, "third").await;
    warm.build_index().await.unwrap();
    change(&local.path(PATH)).await;
    write(&warm, 50, 0..8, "warm").await;
    let cold = local.tables().open(PATH).await.unwrap().unwrap();
    write(&cold, 58, 6..15, "cold").await;
    // What the others wrote is in the index from here on.
    warm.build_index().await.unwrap();
    write(&warm, 67, 12..20, "again").await;
    for maintained in [false, true] {
        if maintained {
            warm.maintain(&at_once()).await.unwrap();
        }
        for table in [&warm, &cold] {
            assert_eq!(rows(table).await.len(), usize::try_from(held.keys).unwrap());
            assert_eq!(number(table, "SELECT count(DISTINCT order_id) FROM t").await, held.keys, "no key is in twice");
            assert_eq!(number(table, "SELECT count(*) FROM t WHERE value = 'warm'").await, 6);
            assert_eq!(number(table, "SELECT count(*) FROM t WHERE value = 'cold'").await, 6);
            assert_eq!(number(table, "SELECT count(*) FROM t WHERE value = 'again'").await, 8);
            assert_eq!(number(table, "SELECT count(*) FROM t WHERE value = 'theirs'").await, held.theirs);
        }
    }
}

#[rstest]
#[case::update(UPDATE, 25)]
#[case::optimize(OPTIMIZE, 25)]
#[case::delete(DELETE, 25)]
#[case::add_column(ADD_COLUMN, 25)]
#[case::restore(RESTORE, 20)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_delta_rs_has_changed_is_upserted_on(#[case] script: &str, #[case] keys: i64) {
    let change = async |path: &str| {
        freshet_testkit::python_script(script, &[path]).await.unwrap();
    };
    upserts_go_on(&Local::new(), change, Held { keys, theirs: 0 }).await;
}

/// The sum of the amounts of some rows, as a query of ours reads them.
async fn amounts(table: &ForeignTable, filter: &str) -> i64 {
    let (provider, _) = table.provider().await.unwrap().unwrap();
    let context = SessionContext::new();
    context.register_table("t", provider).unwrap();
    let sum = context.sql(&format!("SELECT sum(amount) FROM t WHERE {filter}")).await.unwrap().collect().await;
    sum.unwrap()[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// A file of some rows.
fn in_parquet(rows: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    bytes
}

/// The log of a table whose column has another name in its files than in its schema.
async fn make_mapped(files: &Arc<dyn ObjectStore>, path: &str) {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 39]));
    let rows = RecordBatch::try_from_iter([("col-7f", column)]).unwrap();
    let bytes = in_parquet(&rows);
    let size = bytes.len();
    files.put(&Path::from(format!("{path}/part-0.parquet")), bytes.into()).await.unwrap();
    let schema = json!({ "type": "struct", "fields": [{
        "name": "amount", "type": "long", "nullable": true,
        "metadata": { "delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "col-7f" },
    }]});
    let actions = [
        json!({ "protocol": { "minReaderVersion": 2, "minWriterVersion": 5 } }),
        json!({ "metaData": {
            "id": "5b5d9d23-8a86-4b3c-a3f4-0d5a8c8f7d10", "format": { "provider": "parquet", "options": {} },
            "schemaString": schema.to_string(), "partitionColumns": [], "createdTime": 0,
            "configuration": { "delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "1" },
        }}),
        json!({ "add": {
            "path": "part-0.parquet", "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": true,
            "stats": json!({ "numRecords": 3 }).to_string(),
        }}),
    ];
    let entry = actions.map(|action| action.to_string()).join("\n");
    files.put(&Path::from(format!("{path}/_delta_log/{:020}.json", 0)), entry.into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_with_other_names_in_files_are_read_under_their_own() {
    let local = Local::new();
    make_mapped(&local.files(), "external/mapped").await;
    let table = ForeignTables::new(local.files()).open(Path::from("external/mapped")).await.unwrap().unwrap();
    assert_eq!(amounts(&table, "true").await, 42);
}

/// A table of 120 rows that delta-rs has partitioned by values of every awkward kind, with a checkpoint in between.
const PARTITIONED: &str = r#"
import sys, datetime, deltalake, polars
cities = ["S\u00e3o Paulo", "a/b %20=c", None, "x"]
days = [datetime.date(2026, 6, 14), datetime.date(2026, 6, 15), None]
for first in range(0, 120, 30):
    numbers = range(first, first + 30)
    frame = polars.DataFrame({
        "city": [cities[number % 4] for number in numbers],
        "amount": list(numbers),
        "day": [days[number % 3] for number in numbers],
    }, schema={"city": polars.String, "amount": polars.Int64, "day": polars.Date})
    frame.write_delta(sys.argv[1], mode="append", delta_write_options={"partition_by": ["day", "city"]})
    if first == 60:
        deltalake.DeltaTable(sys.argv[1]).create_checkpoint()
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_table_of_others_is_read_and_of_its_files_only_those_that_are_asked_for() {
    let local = Local::new();
    let path = local.path("external/partitioned");
    freshet_testkit::python_script(PARTITIONED, &[&path]).await.unwrap();
    let table = ForeignTables::new(local.files()).open(Path::from("external/partitioned")).await.unwrap().unwrap();
    let sum = async |filter: &str| amounts(&table, filter).await;
    let expected = |is: fn(i64) -> bool| (0..120).filter(|number| is(*number)).sum::<i64>();
    assert_eq!(sum("true").await, expected(|_| true));
    assert_eq!(sum("city = 'S\u{e3}o Paulo'").await, expected(|number| number % 4 == 0));
    assert_eq!(sum("city IS NULL AND day IS NULL").await, expected(|number| number % 4 == 2 && number % 3 == 2));
    assert_eq!(sum("day IS NOT NULL").await, expected(|number| number % 3 != 2));
    std::fs::remove_dir_all(format!("{path}/day=2026-06-15")).unwrap();
    let of_first_day = expected(|number| number % 3 == 0 && number % 4 == 1);
    assert_eq!(sum("day = DATE '2026-06-14' AND city = 'a/b %20=c'").await, of_first_day);
}

/// The actions of a log, as rows of a schema's columns.
fn as_rows(schema: &Arc<Schema>, actions: &[serde_json::Value]) -> RecordBatch {
    let mut decoder = arrow_json::ReaderBuilder::new(schema.clone()).build_decoder().unwrap();
    decoder.serialize(actions).unwrap();
    decoder.flush().unwrap().unwrap()
}

fn texts(name: &str) -> Field {
    let entries = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    let entries = Field::new("key_value", DataType::Struct(entries.into()), false);
    Field::new(name, DataType::Map(Arc::new(entries), false), true)
}

/// The third form of checkpoint, which goes on in sidecars, and all entries before it cleaned up: as Spark leaves a table whose
/// `delta.checkpointPolicy` is `v2`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_with_sidecars_is_read() {
    let local = Local::new();
    let files = local.files();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 39]));
    let rows = RecordBatch::try_from_iter([("amount", column)]).unwrap();
    let data = in_parquet(&rows);
    let add = Field::new(
        "add",
        DataType::Struct(
            vec![
                Field::new("path", DataType::Utf8, true),
                texts("partitionValues"),
                Field::new("size", DataType::Int64, true),
                Field::new("modificationTime", DataType::Int64, true),
                Field::new("dataChange", DataType::Boolean, true),
                Field::new("stats", DataType::Utf8, true),
            ]
            .into(),
        ),
        true,
    );
    let action = json!({ "add": {
        "path": "part%200.parquet", "partitionValues": {}, "size": data.len(), "modificationTime": 0, "dataChange": false,
        "stats": json!({ "numRecords": 3 }).to_string(),
    }});
    let sidecar = in_parquet(&as_rows(&Arc::new(Schema::new(vec![add])), &[action]));
    let schema = json!({ "type": "struct", "fields": [
        { "name": "amount", "type": "long", "nullable": true, "metadata": {} },
    ]});
    let checkpoint = [
        json!({ "checkpointMetadata": { "version": 7 } }),
        json!({ "protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["v2Checkpoint"], "writerFeatures": ["v2Checkpoint"],
        }}),
        json!({ "metaData": {
            "id": "5b5d9d23-8a86-4b3c-a3f4-0d5a8c8f7d10", "format": { "provider": "parquet", "options": {} },
            "schemaString": schema.to_string(), "partitionColumns": [], "createdTime": 0, "configuration": {},
        }}),
        json!({ "sidecar": { "path": "s-1.parquet", "sizeInBytes": sidecar.len(), "modificationTime": 0 } }),
    ];
    let checkpoint = checkpoint.map(|action| action.to_string()).join("\n").into_bytes();
    let log = "external/v2/_delta_log";
    let name = format!("{:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json", 7);
    for (path, bytes) in [
        ("external/v2/part 0.parquet".to_owned(), data),
        (format!("{log}/_sidecars/s-1.parquet"), sidecar),
        (format!("{log}/{name}"), checkpoint),
        (format!("{log}/_last_checkpoint"), br#"{"version":7,"size":4}"#.to_vec()),
    ] {
        files.put(&Path::parse(path).unwrap(), bytes.into()).await.unwrap();
    }
    let table = ForeignTables::new(files).open(Path::from("external/v2")).await.unwrap().unwrap();
    assert_eq!((amounts(&table, "true").await, table.version().await.unwrap()), (42, Some(7)));
}

/// Gives the newest version a feature.
async fn require(files: &Arc<dyn ObjectStore>, version: u64, of_readers: &[&str], of_writers: &[&str]) {
    let entry = json!({ "protocol": {
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": of_readers, "writerFeatures": of_writers,
    }});
    let name = Path::from(format!("{PATH}/_delta_log/{version:020}.json"));
    files.put(&name, entry.to_string().into()).await.unwrap();
}

#[rstest]
#[case("rowTracking", false)]
#[case("typeWidening", true)]
#[case("fromTheFuture", true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feature_that_would_be_misread_is_refused_by_its_name(#[case] feature: &str, #[case] of_readers: bool) {
    let local = Local::new();
    let table = local.tables().open_or_create(PATH, &spec(upsert())).await.unwrap();
    write(&table, 0, 0..3, "first").await;
    let both = ["deletionVectors", feature];
    let next = table.version().await.unwrap() + 1;
    require(&local.files(), next, if of_readers { &both } else { &both[..1] }, &both).await;
    let rows = [record(1, 3, "second")];
    let error = table.write(TOPIC, vec![slice(0, 3..4, &rows)]).await.unwrap_err();
    assert!(matches!(error, TableError::Unsupported { .. }), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(feature), "{source}");
}
