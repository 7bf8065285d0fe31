//! Tables to test on, and what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use freshet_table::{Merge, Slice, Table, TableKind, TableSpec, Tables};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tempfile::TempDir;
use url::Url;

use crate::model::{Given, Row};

pub(crate) const TOPIC: &str = "records";
pub(crate) const PATH: &str = "tables/acme/orders";

pub(crate) fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("order_id", DataType::Utf8, false),
        Field::new("line", DataType::Int64, false),
        Field::new("seq", DataType::Int64, true),
        Field::new("value", DataType::Utf8, true),
        Field::new("note", DataType::Utf8, true),
        Field::new("received_at", time(), false),
        Field::new("written_at", time(), false),
        Field::new("request_id", DataType::Utf8, false),
        Field::new("_partition", DataType::Int32, false),
        Field::new("_offset", DataType::Int64, false),
    ]))
}

pub(crate) fn spec(kind: TableKind) -> TableSpec {
    TableSpec { schema: schema(), kind }
}

pub(crate) fn patch() -> TableKind {
    match upsert() {
        TableKind::Upsert { key, order_by, .. } => TableKind::Upsert { key, order_by, merge: Merge::Patch },
        other => other,
    }
}

pub(crate) fn upsert() -> TableKind {
    TableKind::Upsert {
        key: vec!["order_id".to_owned(), "line".to_owned()],
        order_by: Some("seq".to_owned()),
        merge: Merge::Replace,
    }
}

/// Files in a directory of their own.
pub(crate) struct Local {
    directory: TempDir,
}

impl Local {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn files(&self) -> Arc<dyn ObjectStore> {
        Arc::new(LocalFileSystem::new_with_prefix(self.directory.path()).unwrap())
    }

    /// The tables as a process that has just started sees them.
    pub(crate) fn tables(&self) -> Tables {
        tables(self.files())
    }

    pub(crate) fn path(&self, table: &str) -> String {
        self.directory.path().join(table).display().to_string()
    }
}

pub(crate) fn tables(files: Arc<dyn ObjectStore>) -> Tables {
    Tables::new(files, Url::parse("file:///").unwrap())
}

/// Rows (of rising offsets) of one partition as the decoder would make them.
pub(crate) fn slice(partition: u32, offsets: std::ops::Range<u64>, rows: &[Row]) -> Slice {
    let time = |times: Vec<i64>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) };
    let signed = |offset: u64| i64::try_from(offset).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.key.0.as_str()))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.key.1.unwrap()))),
        Arc::new(rows.iter().map(|row| row.order).collect::<Int64Array>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.value.as_str()))),
        Arc::new(rows.iter().map(|row| row.note.text()).collect::<StringArray>()),
        time(rows.iter().map(|row| row.received_at).collect()),
        time(rows.iter().map(|row| row.received_at + 1).collect()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "r-1"))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| i32::try_from(partition).unwrap()))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| signed(row.offset)))),
    ];
    Slice {
        partition,
        offsets,
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
        row_offsets: rows.iter().map(|row| row.offset).collect(),
        deletes: rows.iter().any(|row| row.deletes).then(|| rows.iter().map(|row| Some(row.deletes)).collect()),
        absent: if rows.iter().any(|row| row.note == Given::Absent) {
            [("note".to_owned(), rows.iter().map(|row| Some(row.note == Given::Absent)).collect())].into()
        } else {
            BTreeMap::new()
        },
    }
}

/// Runs a query over the table `t`.
pub(crate) async fn query(table: &Table, sql: &str) -> Vec<RecordBatch> {
    let context = SessionContext::new();
    context.register_table("t", table.provider().await.unwrap()).unwrap();
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

/// One number out of a query.
pub(crate) async fn number(table: &Table, sql: &str) -> i64 {
    let batches = query(table, sql).await;
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Everything in the table, sorted.
pub(crate) async fn rows(table: &Table) -> Vec<Row> {
    rows_of(table.provider().await.unwrap()).await
}

/// Everything in a version of the table, sorted.
pub(crate) async fn rows_of(provider: Arc<dyn TableProvider>) -> Vec<Row> {
    rows_where(provider, "true").await
}

/// Those rows of a version of the table that a condition holds for, sorted.
pub(crate) async fn rows_where(provider: Arc<dyn TableProvider>, condition: &str) -> Vec<Row> {
    let context = SessionContext::new();
    context.register_table("t", provider).unwrap();
    let columns = "SELECT arrow_cast(order_id, 'Utf8'), line, seq, arrow_cast(value, 'Utf8'), arrow_cast(received_at, 'Int64'), \
               arrow_cast(_partition, 'Int64'), _offset, arrow_cast(written_at, 'Int64'), arrow_cast(note, 'Utf8') FROM t";
    let sql = format!("{columns} WHERE {condition}");
    let mut rows = Vec::new();
    for batch in context.sql(&sql).await.unwrap().collect().await.unwrap() {
        let text = |column: usize| batch.column(column).as_string::<i32>().clone();
        let number = |column: usize| batch.column(column).as_primitive::<Int64Type>().clone();
        let (order_ids, lines, orders, values) = (text(0), number(1), number(2), text(3));
        let notes = text(8);
        let (received, partitions, offsets, written) = (number(4), number(5), number(6), number(7));
        for row in 0..batch.num_rows() {
            assert_eq!(written.value(row), received.value(row) + 1, "columns of one record stay together");
            rows.push(Row {
                key: (order_ids.value(row).to_owned(), Some(lines.value(row))),
                order: orders.is_valid(row).then(|| orders.value(row)),
                value: values.value(row).to_owned(),
                received_at: received.value(row),
                partition: u32::try_from(partitions.value(row)).unwrap(),
                offset: u64::try_from(offsets.value(row)).unwrap(),
                note: if notes.is_valid(row) { Given::Text(notes.value(row).to_owned()) } else { Given::Null },
                deletes: false,
            });
        }
    }
    rows.sort();
    rows
}
