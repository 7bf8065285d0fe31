//! Tables whose whole content is replaced.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use freshet_table::{Maintenance, ReplaceError, Replacement, TableError, TableKind, Tables};
use futures::stream;
use object_store::ObjectStoreExt as _;

use crate::support::{Local, PATH, TOPIC, number, slice, spec, upsert};

const MADE: &str = "databases/acme/retail/totals";

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]))
}

fn batch(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    RecordBatch::try_new(schema(), vec![ids]).unwrap()
}

async fn put(tables: &Tables, batches: Vec<RecordBatch>) -> Replacement {
    let rows = stream::iter(batches.into_iter().map(Ok::<_, String>));
    tables.replace(MADE, schema(), rows).await.unwrap()
}

async fn sum(tables: &Tables) -> (i64, i64) {
    let table = tables.open(MADE).await.unwrap().expect("it is there");
    (number(&table, "SELECT count(*) FROM t").await, number(&table, "SELECT coalesce(sum(id), 0) FROM t").await)
}

/// Data files of the table, whichever version names them.
fn data_files(local: &Local) -> usize {
    let names = std::fs::read_dir(local.path(MADE)).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".parquet")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_takes_the_place_of_content_in_one_version() {
    let local = Local::new();
    let tables = local.tables();
    let first = put(&tables, vec![batch(1..=3), batch(4..=4)]).await;
    assert_eq!((first.version, first.rows), (0, 4));
    assert!(first.bytes > 0);
    assert_eq!(sum(&tables).await, (4, 10));
    // Another process has it open, and sees each version.
    let elsewhere = local.tables();
    assert_eq!(sum(&elsewhere).await, (4, 10));
    assert_eq!(put(&tables, vec![batch(100..=101)]).await.version, 1);
    assert_eq!((sum(&tables).await, sum(&elsewhere).await), ((2, 201), (2, 201)));
    let emptied = put(&elsewhere, Vec::new()).await;
    assert_eq!((emptied.version, emptied.rows, emptied.bytes), (2, 0, 0));
    assert_eq!((sum(&tables).await, sum(&elsewhere).await), ((0, 0), (0, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_may_be_others_and_keep_what_is_said_of_them() {
    let local = Local::new();
    let tables = local.tables();
    put(&tables, vec![batch(1..=3)]).await;
    let metadata = HashMap::from([("freshet.type".to_owned(), "json".to_owned())]);
    let other = Schema::new(vec![Field::new("body", DataType::Utf8, true).with_metadata(metadata.clone())]);
    let other = Arc::new(other);
    let bodies: ArrayRef = Arc::new(StringArray::from_iter_values(["{}", "[]"]));
    let rows = RecordBatch::try_from_iter([("body", bodies)]).unwrap();
    let replaced = tables.replace(MADE, other, stream::iter([Ok::<_, String>(rows)])).await.unwrap();
    assert_eq!((replaced.version, replaced.rows), (1, 2));
    for tables in [tables, local.tables()] {
        let table = tables.open(MADE).await.unwrap().unwrap();
        assert_eq!(number(&table, "SELECT count(*) FROM t WHERE body IN ('{}', '[]')").await, 2);
        let details = table.details().await.unwrap();
        assert_eq!(details.schema.field(0).metadata(), &metadata);
        assert_eq!(details.kind, Some(TableKind::Replaced));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_end_in_an_error_change_nothing_and_leave_nothing() {
    let local = Local::new();
    let tables = local.tables();
    let failing = || stream::iter([Ok(batch(1..=3)), Err("no more".to_owned())]);
    let failed = tables.replace(MADE, schema(), failing()).await.unwrap_err();
    assert!(matches!(failed, ReplaceError::Rows(ref why) if why == "no more"), "{failed:?}");
    assert!(tables.open(MADE).await.unwrap().is_none(), "nothing was made");
    put(&tables, vec![batch(1..=3)]).await;
    tables.replace(MADE, schema(), failing()).await.unwrap_err();
    assert_eq!(sum(&tables).await, (3, 6));
    assert_eq!(data_files(&local), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_replace_at_once_each_is_whole() {
    let local = Local::new();
    // One of them makes it.
    for _ in 0..5 {
        let racers = (1..=4_i64).map(|racer| {
            let tables = local.tables();
            async move { put(&tables, vec![batch(vec![racer; 10]), batch(vec![racer; 10])]).await.version }
        });
        futures::future::join_all(racers).await;
        let (count, total) = sum(&local.tables()).await;
        assert_eq!(count, 20);
        assert!((1..=4).map(|racer| racer * 20).any(|whole| whole == total), "{total}");
    }
    assert_eq!(local.tables().open(MADE).await.unwrap().unwrap().details().await.unwrap().version, 19);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_records_are_not_replaced_and_the_others_take_no_records() {
    let local = Local::new();
    let tables = local.tables();
    let records = tables.open_or_create(PATH, &spec(upsert())).await.unwrap();
    let refused = tables.replace(PATH, schema(), stream::iter([Ok::<_, String>(batch(1..=3))])).await.unwrap_err();
    assert!(matches!(refused, ReplaceError::Table(TableError::NotOurs { .. })), "{refused:?}");
    assert_eq!(number(&records, "SELECT count(*) FROM t").await, 0);
    put(&tables, vec![batch(1..=3)]).await;
    let made = tables.open(MADE).await.unwrap().unwrap();
    let refused = made.write(TOPIC, vec![slice(0, 0..1, &[])]).await.unwrap_err();
    assert!(matches!(refused, TableError::NotOurs { .. }), "{refused:?}");
}

/// The files of the version before stay for its readers; those of a writer that was killed go once they were nobody's for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_files_stay_for_readers_and_strays_go() {
    let local = Local::new();
    let tables = local.tables();
    put(&tables, vec![batch(1..=3)]).await;
    let table = tables.open(MADE).await.unwrap().unwrap();
    let reader = table.provider().await.unwrap();
    let stray = object_store::path::Path::from(format!("{MADE}/part-stray.parquet"));
    local.files().put(&stray, "of a writer that was killed".into()).await.unwrap();
    put(&tables, vec![batch(4..=6)]).await;
    assert_eq!(data_files(&local), 3, "the content before, the content now, and what may be somebody's");
    let context = datafusion::prelude::SessionContext::new();
    let rows = context.read_table(reader).unwrap().count().await.unwrap();
    assert_eq!(rows, 3, "a reader of the version before still has its files");
    let week = table.maintain(&Maintenance::default()).await.unwrap().vacuumed;
    assert_eq!((week.files, week.waiting), (0, 2));
    let at_once = Maintenance { retention: std::time::Duration::ZERO, ..Maintenance::default() };
    let vacuumed = table.maintain(&at_once).await.unwrap().vacuumed;
    assert_eq!((vacuumed.files, vacuumed.waiting), (2, 0));
    assert_eq!(data_files(&local), 1);
}

const READ_BACK: &str = r#"
import sys, deltalake, duckdb_delta
(path,) = sys.argv[1:]
print(duckdb_delta.connect().execute("SELECT count(*), sum(id)::BIGINT FROM delta_scan(?)", [path]).fetchone())
for version in (0, 1):
    table = deltalake.DeltaTable(path, version=version)
    rows = deltalake.QueryBuilder().register("t", table).execute("SELECT count(*) AS a, sum(id) AS b FROM t").read_all()
    print(*[rows.column(name)[0].as_py() for name in ["a", "b"]])
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_engines_read_each_version() {
    let local = Local::new();
    let tables = local.tables();
    put(&tables, vec![batch(1..=3)]).await;
    put(&tables, vec![batch(10..=11)]).await;
    let printed = freshet_testkit::python_script(READ_BACK, &[&local.path(MADE)]).await.unwrap();
    assert_eq!(printed.lines().collect::<Vec<_>>(), ["(2, 21)", "3 6", "2 21"]);
}
