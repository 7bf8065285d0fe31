//! What a table is asked to be, and what it is.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use freshet_table::{Merge, Slice, TableError, TableKind, TableSpec};
use rstest::rstest;

use crate::model::Row;
use crate::support::{Local, PATH, TOPIC, number, schema, slice, spec, upsert, upsert_by};

fn row(offset: u64) -> Row {
    Row { key: ("a".to_owned(), Some(1)), order: None, value: "x".to_owned(), received_at: 1, partition: 0, offset }
}

/// The columns with one more in front of ours.
pub(crate) fn wider(field: Field) -> SchemaRef {
    let mut fields: Vec<Field> = schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.insert(4, field);
    Arc::new(Schema::new(fields))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_is_added_and_rows_made_before_still_fit() {
    let local = Local::new();
    let tables = local.tables();
    let table = tables.open_or_create(PATH, &spec(upsert())).await.unwrap();
    table.write(TOPIC, vec![slice(0, 0..1, &[row(0)])]).await.unwrap();
    let schema = wider(Field::new("email", DataType::Utf8, true));
    let kind = upsert();
    tables.open_or_create(PATH, &TableSpec { schema: schema.clone(), kind }).await.unwrap();
    table.write(TOPIC, vec![slice(0, 1..2, &[row(1)])]).await.unwrap();
    let names: Vec<String> =
        table.details().await.unwrap().schema.fields().iter().map(|field| field.name().clone()).collect();
    assert!(names.contains(&"email".to_owned()), "{names:?}");
    assert_eq!(number(&table, "SELECT count(*) FROM t WHERE email IS NULL AND _offset = 1").await, 1);
    // Rows with the new column, in the order of the spec, not of the table.
    let narrow = slice(0, 2..3, &[row(2)]);
    let mut columns = narrow.rows.columns().to_vec();
    columns.insert(4, Arc::new(arrow::array::StringArray::from(vec!["a@b.c"])));
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    table.write(TOPIC, vec![Slice { rows, ..narrow }]).await.unwrap();
    assert_eq!(number(&table, "SELECT count(*) FROM t WHERE email = 'a@b.c' AND value = 'x'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_another_process_knows_of_and_this_one_not_yet_stays_and_is_null() {
    let local = Local::new();
    let schema = wider(Field::new("email", DataType::Utf8, true));
    let ahead = local.tables().open_or_create(PATH, &TableSpec { schema, kind: upsert() }).await.unwrap();
    let behind = local.tables().open_or_create(PATH, &spec(upsert())).await.unwrap();
    behind.write(TOPIC, vec![slice(0, 0..1, &[row(0)])]).await.unwrap();
    assert_eq!(number(&ahead, "SELECT count(*) FROM t WHERE email IS NULL AND value = 'x'").await, 1);
}

#[rstest]
#[case::another_type(TableSpec { schema: {
    let fields = schema().fields().iter().map(|field| match field.name().as_str() {
        "value" => Field::new("value", DataType::Float64, true),
        _ => field.as_ref().clone(),
    }).collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}, kind: upsert() }, "value", "column value is string and asked for as double")]
#[case::a_required_column_more(TableSpec { schema: wider(Field::new("email", DataType::Utf8, false)), kind: upsert() },
    "email", "column email is new and may not be null")]
#[case::another_key(spec(TableKind::Upsert { key: vec!["line".to_owned()], order_by: Some("seq".to_owned()), merge: Merge::Replace }), "", "kept as")]
#[case::another_merge(spec(upsert_by(Merge::Patch)), "", "kept as")]
#[case::another_mode(spec(TableKind::Append), "", "kept as")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anything_else_is_refused_with_the_way_out(
    #[case] wanted: TableSpec,
    #[case] named: &str,
    #[case] expected: &str,
) {
    let local = Local::new();
    local.tables().open_or_create(PATH, &spec(upsert())).await.unwrap();
    let error = local.tables().open_or_create(PATH, &wanted).await.unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    assert!(error.to_string().contains("make a new table on the same stream"), "{error}");
    assert!(!error.is_temporary());
    let TableError::SchemaMismatch { column, .. } = error else { panic!("{error:?}") };
    assert_eq!(column, named);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_create_a_table_at_once_get_the_same_one() {
    let local = Local::new();
    let created = (0..4).map(|_| {
        let tables = local.tables();
        async move { tables.open_or_create(PATH, &spec(upsert())).await.unwrap().details().await.unwrap().version }
    });
    let versions: Vec<u64> = futures::future::join_all(created).await;
    assert_eq!(versions, [0, 0, 0, 0]);
}

#[rstest]
#[case("../orders")]
#[case("tables//orders")]
#[case("/tables")]
#[case("")]
#[case("tables/or ders")]
#[case("tables/%2e%2e/x")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_could_lead_elsewhere_is_refused(#[case] path: &str) {
    let error = Local::new().tables().open(path).await.unwrap_err();
    assert!(matches!(error, TableError::BadPath { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_table_where_none_was_made() {
    let local = Local::new();
    assert!(local.tables().open(PATH).await.unwrap().is_none());
    local.tables().ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_other_columns_are_refused() {
    let local = Local::new();
    let table = local.tables().open_or_create(PATH, &spec(upsert())).await.unwrap();
    let good = slice(0, 0..1, &[row(0)]);
    let rows = good.rows.project(&[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
    // Delta's columns may all be null, but those that order the records are needed.
    let error = table.write(TOPIC, vec![Slice { rows, ..good }]).await.unwrap_err();
    assert!(matches!(error, TableError::BadSlice { .. }), "{error:?}");
    assert!(error.to_string().contains("_offset"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upsert_counts_what_became_of_its_rows() {
    let local = Local::new();
    let table = local.tables().open_or_create(PATH, &spec(upsert())).await.unwrap();
    let newer = Row { order: Some(9), ..row(0) };
    let outcome = table.write(TOPIC, vec![slice(0, 0..2, &[newer, row(1)])]).await.unwrap();
    assert_eq!((outcome.rows_received, outcome.rows_new, outcome.rows_written, outcome.rows_superseded), (2, 2, 1, 1));
    // A late record: nothing is written, and its offset is in all the same.
    let outcome = table.write(TOPIC, vec![slice(0, 0..3, &[row(0), row(2)])]).await.unwrap();
    assert_eq!((outcome.rows_received, outcome.rows_new, outcome.rows_written, outcome.rows_superseded), (2, 1, 0, 1));
    assert!(outcome.committed);
    assert_eq!(table.next_offsets(TOPIC).await.unwrap(), [(0, 3)].into());
    let outcome = table.write(TOPIC, vec![slice(0, 0..3, &[row(0), row(2)])]).await.unwrap();
    assert_eq!((outcome.rows_new, outcome.committed), (0, false));
}
