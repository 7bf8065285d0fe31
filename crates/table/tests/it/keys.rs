//! Keys of every type, alone and together.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use freshet_table::{ChangeLimits, Merge, Since, Slice, Table, TableKind, TableSpec};
use rstest::rstest;

use crate::support::{Local, TOPIC, number};

/// Two values of each type of column.
fn values(of_type: &str, which: &[usize]) -> ArrayRef {
    fn pick<T: Copy>(which: &[usize], values: [T; 2]) -> impl Iterator<Item = T> {
        which.iter().map(move |index| values[*index])
    }
    match of_type {
        "string" => Arc::new(StringArray::from_iter_values(pick(which, ["it's \"ö\", 'ä' \u{1F600}", ""]))),
        "boolean" => Arc::new(pick(which, [true, false]).map(Some).collect::<BooleanArray>()),
        "integer" => Arc::new(Int64Array::from_iter_values(pick(which, [i64::MIN, i64::MAX]))),
        "double" => Arc::new(Float64Array::from_iter_values(pick(which, [-1.5e300, 0.1]))),
        "decimal" => {
            let array = Decimal128Array::from_iter_values(pick(which, [-123_456_789_012_345_678, 1]));
            Arc::new(array.with_precision_and_scale(18, 2).unwrap())
        }
        "date" => Arc::new(Date32Array::from_iter_values(pick(which, [-20_000, 20_000]))),
        "timestamp" => {
            let array = TimestampMicrosecondArray::from_iter_values(pick(which, [-1, 1_700_000_000_123_456]));
            Arc::new(array.with_timezone("UTC"))
        }
        other => panic!("{other} is no type of a column"),
    }
}

fn batch(keys: &[(&str, &[usize])], offset: i64) -> RecordBatch {
    let rows = keys[0].1.len();
    let received =
        TimestampMicrosecondArray::from_iter_values((0..rows).map(|_| 1_700_000_000_000_000)).with_timezone("UTC");
    let offsets = Int64Array::from_iter_values((offset..).take(rows));
    let mut columns: Vec<(String, ArrayRef)> =
        keys.iter().map(|(of_type, which)| (format!("Key_{of_type}"), values(of_type, which))).collect();
    columns.push(("value".to_owned(), Arc::new(offsets.clone())));
    columns.push(("received_at".to_owned(), Arc::new(received)));
    columns.push(("_partition".to_owned(), Arc::new(Int32Array::from_iter_values((0..rows).map(|_| 0)))));
    columns.push(("_offset".to_owned(), Arc::new(offsets)));
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())
        .unwrap()
}

async fn write(table: &Table, rows: RecordBatch, offset: u64) {
    let end = offset + rows.num_rows() as u64;
    let slice = Slice {
        partition: 0,
        offsets: offset..end,
        rows,
        row_offsets: (offset..end).collect(),
        deletes: None,
        absent: BTreeMap::new(),
    };
    table.write(TOPIC, vec![slice]).await.unwrap();
}

#[rstest]
#[case::string(&["string"])]
#[case::boolean(&["boolean"])]
#[case::integer(&["integer"])]
#[case::double(&["double"])]
#[case::decimal(&["decimal"])]
#[case::date(&["date"])]
#[case::timestamp(&["timestamp"])]
#[case::all_together(&["string", "boolean", "integer", "double", "decimal", "date", "timestamp"])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_any_type_is_found_again(#[case] types: &[&str]) {
    let local = Local::new();
    let first: Vec<(&str, &[usize])> = types.iter().map(|of_type| (*of_type, [0, 1, 0].as_slice())).collect();
    let second: Vec<(&str, &[usize])> = types.iter().map(|of_type| (*of_type, [1].as_slice())).collect();
    let rows = batch(&first, 0);
    let key = types.iter().map(|of_type| format!("Key_{of_type}")).collect();
    let spec =
        TableSpec { schema: rows.schema(), kind: TableKind::Upsert { key, order_by: None, merge: Merge::Replace } };
    let table = local.tables().open_or_create("tables/keys", &spec).await.unwrap();
    write(&table, rows, 0).await;
    // The first key twice in one batch: the later offset holds.
    assert_eq!(number(&table, "SELECT sum(value) FROM t").await, 1 + 2);
    write(&table, batch(&second, 3), 3).await;
    assert_eq!(number(&table, "SELECT sum(value) FROM t").await, 2 + 3);
    assert_eq!(number(&table, "SELECT count(*) FROM t").await, 2);
    // All keys differ in one column from the ones that are there.
    if types.len() > 1 {
        let mut third = second.clone();
        third[6] = ("timestamp", &[0]);
        write(&table, batch(&third, 4), 4).await;
        assert_eq!(number(&table, "SELECT count(*) FROM t").await, 3);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_any_type_is_told_as_the_value_that_it_is(
    #[values("string", "boolean", "integer", "double", "decimal", "date", "timestamp")] of_type: &str,
) {
    let local = Local::new();
    let rows = batch(&[(of_type, &[0, 1])], 0);
    let key = vec![format!("Key_{of_type}")];
    let spec =
        TableSpec { schema: rows.schema(), kind: TableKind::Upsert { key, order_by: None, merge: Merge::Replace } };
    let table = local.tables().open_or_create("tables/keys", &spec).await.unwrap();
    write(&table, rows, 0).await;
    let before = table.newest_version().await.unwrap();
    let made_by = before.made_by().await.unwrap().unwrap();
    write(&table, batch(&[(of_type, &[1])], 2), 2).await;
    let newest = table.newest_version().await.unwrap();
    let since = newest.changes_since(before.number(), &made_by, ChangeLimits::default()).await.unwrap();
    let Since::Changes(changes) = since else { panic!("{since:?}") };
    assert_eq!(*changes.keys, *values(of_type, &[1]));
}
