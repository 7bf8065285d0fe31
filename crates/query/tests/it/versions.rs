//! Tables at older versions, beside the newest.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use freshet_query::{QueryError, TableVersion};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Shop, shop, table};

const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// `Orders` with two rows, with one at version 1, and with one long ago, when it lacked a column that it has now.
fn versioned() -> Shop {
    let mut shop = shop();
    shop.tables.retain(|table| table.name != "orders");
    let orders = |ids: &[i64], value: &str, version| {
        let values = vec![value; ids.len()];
        let mut orders = table(
            "Orders",
            vec![("Id", Arc::new(Int64Array::from(ids.to_vec()))), ("value", Arc::new(StringArray::from(values)))],
        );
        orders.version = version;
        orders
    };
    let newest = orders(&[1, 2], "new", None);
    let mut first = table("Orders", vec![("Id", Arc::new(Int64Array::from(vec![7])))]);
    first.version = Some(TableVersion::Time(LONG_AGO.parse().unwrap()));
    first.columns.clone_from(&newest.columns);
    shop.tables.extend([newest, orders(&[1], "old", Some(TableVersion::Number(1))), first]);
    shop
}

#[rstest]
#[case::newest("SELECT id, value FROM orders ORDER BY 1", json!([[1, "new"], [2, "new"]]))]
#[case::older("SELECT id, value FROM orders VERSION AS OF 1", json!([[1, "old"]]))]
#[case::by_its_own_name("SELECT Orders.value FROM ORDERS VERSION AS OF 1 WHERE orders.ID = 1", json!([["old"]]))]
#[case::in_quotes("SELECT \"Orders\".\"Id\" FROM \"Orders\" VERSION AS OF 1", json!([[1]]))]
#[case::by_an_alias("SELECT o.* FROM orders FOR VERSION AS OF 1 AS o", json!([[1, "old"]]))]
#[case::a_column_of_later("SELECT * FROM orders TIMESTAMP AS OF '2026-01-01'", json!([[7, null]]))]
#[case::both(
    "SELECT n.id, o.value, n.value FROM orders n LEFT JOIN orders VERSION AS OF 1 o USING (id) ORDER BY 1",
    json!([[1, "old", "new"], [2, null, "new"]])
)]
#[case::what_is_new("SELECT id FROM orders EXCEPT SELECT id FROM orders VERSION AS OF 1", json!([[2]]))]
#[case::in_a_common_table("WITH o AS (SELECT * FROM orders VERSION AS OF 1) SELECT count(*) FROM o, orders", json!([[2]]))]
#[tokio::test]
async fn each_reference_reads_its_own_version(#[case] sql: &str, #[case] rows: Value) {
    assert_eq!(versioned().rows(sql).await, rows);
}

#[tokio::test]
async fn the_names_of_the_plan_reach_nothing() {
    match versioned().refusal("SELECT * FROM \"orders VERSION AS OF 1\"").await {
        QueryError::UnknownTable { name, .. } => assert_eq!(name, "orders VERSION AS OF 1"),
        other => panic!("{other:?}"),
    }
}
