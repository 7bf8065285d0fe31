//! What an answer looks like.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use freshet_query::{Format, TableColumn};
use rstest::rstest;
use serde_json::json;

use crate::support::{shop, table};

#[tokio::test]
async fn a_whole_answer() {
    let mut body = shop().ask("SELECT * FROM orders ORDER BY order_id").await.unwrap();
    let elapsed = body["statistics"]["elapsed_ms"].take();
    assert!(elapsed.is_u64(), "{elapsed}");
    let expected = json!({
        "columns": [
            {"name": "order_id", "type": "string"}, {"name": "email", "type": "string"},
            {"name": "revenue", "type": "decimal(18,2)"}, {"name": "quantity", "type": "integer"},
            {"name": "rating", "type": "double"}, {"name": "gift", "type": "boolean"},
            {"name": "day", "type": "date"}, {"name": "ordered_at", "type": "timestamp"},
        ],
        "rows": [
            ["a-1", "ann@example.com", 10.10, 1, 4.5, true, "2026-06-14", "2026-06-14T00:24:16.000001Z"],
            ["a-2", "bob@example.com", 2_500_315.63, 2, 0.1, false, "1970-01-01", "1970-01-01T00:00:00.000000Z"],
            ["a-3", null, null, null, null, null, null, null],
        ],
        "row_count": 3,
        "truncated": false,
        "as_of": "2026-06-14T00:24:16.000000Z",
        "statistics": {"elapsed_ms": null, "rows_read": 0, "bytes_spilled": 0},
    });
    assert_eq!(body, expected);
}

#[rstest]
#[case("NULL", "null", json!(null))]
#[case("9007199254740992", "integer", json!(9_007_199_254_740_992_i64))]
#[case("9007199254740993", "integer", json!("9007199254740993"))]
#[case("-9223372036854775807", "integer", json!("-9223372036854775807"))]
#[case("18446744073709551615", "integer", json!("18446744073709551615"))]
#[case("CAST(7 AS SMALLINT)", "integer", json!(7))]
#[case("0.1 + 0.2", "decimal(2,1)", json!(0.3))]
#[case("CAST('9999999999999.99' AS DECIMAL(18,2))", "decimal(18,2)", json!(9_999_999_999_999.99))]
#[case("CAST('10000000000000.00' AS DECIMAL(18,2))", "decimal(18,2)", json!("10000000000000.00"))]
#[case("CAST('9007199254740992' AS DECIMAL(18,0))", "decimal(18,0)", json!(9_007_199_254_740_992_i64))]
#[case("CAST('-9007199254740993' AS DECIMAL(18,0))", "decimal(18,0)", json!("-9007199254740993"))]
#[case("CAST('-0.05' AS DECIMAL(9,2))", "decimal(9,2)", json!(-0.05))]
#[case("CAST('12345678901234567890123456789012345678' AS DECIMAL(38,0))", "decimal(38,0)", json!("12345678901234567890123456789012345678"))]
#[case("CAST(0.1 AS DOUBLE) + CAST(0.2 AS DOUBLE)", "double", json!(0.300_000_000_000_000_04))]
#[case("CAST(1.5 AS REAL)", "double", json!(1.5))]
#[case("CAST('NaN' AS DOUBLE)", "double", json!("NaN"))]
#[case("CAST('inf' AS DOUBLE)", "double", json!("Infinity"))]
#[case("CAST('-inf' AS DOUBLE)", "double", json!("-Infinity"))]
#[case("'a \"quoted\"\n\u{1}text 🦀'", "string", json!("a \"quoted\"\n\u{1}text 🦀"))]
#[case("1 = 1", "boolean", json!(true))]
#[case("DATE '0001-01-01'", "date", json!("0001-01-01"))]
#[case("TIMESTAMP '1969-12-31 23:59:59.999999'", "timestamp", json!("1969-12-31T23:59:59.999999Z"))]
#[case("TIMESTAMP '2026-06-14T02:24:16+02:00'", "timestamp", json!("2026-06-14T00:24:16.000000Z"))]
#[case("date_trunc('month', TIMESTAMP '2026-06-14T02:24:16Z')", "timestamp", json!("2026-06-01T00:00:00.000000Z"))]
#[case("make_array(1, NULL, 3)", "json", json!("[1,null,3]"))]
#[case("named_struct('a', 1, 'b', make_array('x', 'y\"z'))", "json", json!(r#"{"a":1,"b":["x","y\"z"]}"#))]
#[case("MAP {'a': 1, 'b': NULL}", "json", json!(r#"{"a":1,"b":null}"#))]
#[case("TIME '10:20:30'", "time", json!("10:20:30"))]
#[case("INTERVAL '1 day'", "interval", json!("1 days"))]
#[case("X'00ff'", "binary", json!("00ff"))]
#[tokio::test]
async fn each_type_is_written_without_loss(
    #[case] expression: &str,
    #[case] type_name: &str,
    #[case] value: serde_json::Value,
) {
    let body = shop().ask(&format!("SELECT {expression} AS v")).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(body["columns"], json!([{"name": "v", "type": type_name}]));
    assert_eq!(body["rows"], json!([[value]]));
}

#[tokio::test]
async fn decimals_keep_all_their_digits_in_the_text() {
    let shop = shop();
    let sql = "SELECT revenue, 1.10 AS one FROM orders WHERE order_id = 'a-1'";
    let text = String::from_utf8(shop.answer(sql, Format::Json).await.unwrap()).unwrap();
    assert!(text.contains("\"rows\":[[10.10,1.10]]"), "{text}");
}

#[tokio::test]
async fn a_column_of_json_says_so() {
    let items: ArrayRef = Arc::new(StringArray::from(vec!["[1]"]));
    let mut shop = shop();
    let mut baskets = table("baskets", vec![("Items", items)]);
    baskets.columns[0].json = true;
    shop.tables.push(baskets);
    let body = shop.ask("SELECT items, upper(items) AS loud FROM (SELECT * FROM baskets) b").await.unwrap();
    assert_eq!(body["columns"], json!([{"name": "Items", "type": "json"}, {"name": "loud", "type": "string"}]));
    assert_eq!(body["rows"], json!([["[1]", "[1]"]]));
}

#[tokio::test]
async fn a_column_that_no_row_has_yet_is_null() {
    let mut shop = shop();
    shop.tables[0].columns.insert(1, TableColumn { name: "City".to_owned(), data_type: DataType::Utf8, json: false });
    let body = shop.ask("SELECT * FROM orders WHERE city IS NULL AND quantity = 2").await.unwrap();
    assert_eq!(body["columns"][1], json!({"name": "City", "type": "string"}));
    assert_eq!((&body["rows"][0][0], &body["rows"][0][1]), (&json!("a-2"), &json!(null)));
}

#[rstest]
#[case("SELECT count(*), sum(quantity), sum(revenue), avg(rating) FROM orders", json!([[3, 3, 2_500_325.73, 2.3]]))]
#[case("SELECT o.order_id, c.customer_id FROM orders o LEFT JOIN customers c ON o.email = c.email ORDER BY 1", json!([["a-1", 1], ["a-2", null], ["a-3", null]]))]
#[case("SELECT order_id FROM orders WHERE ordered_at > '2026-01-01' AND ordered_at < now() + INTERVAL '100 years'", json!([["a-1"]]))]
#[case("SELECT order_id FROM orders WHERE ordered_at >= TIMESTAMP '2026-06-14 00:00:00' AND day = '2026-06-14'", json!([["a-1"]]))]
#[case("SELECT order_id, rank() OVER (ORDER BY quantity DESC NULLS LAST) FROM orders ORDER BY 2, 1", json!([["a-2", 1], ["a-1", 2], ["a-3", 3]]))]
#[case("SELECT order_id FROM orders WHERE revenue = 10.1", json!([["a-1"]]))]
#[case("SELECT order_id FROM orders WHERE rating = 0.1", json!([["a-2"]]))]
#[case("SELECT order_id || '/' || quantity || '/' || email AS k FROM orders ORDER BY order_id", json!([["a-1/1/ann@example.com"], ["a-2/2/bob@example.com"], [null]]))]
#[case("SELECT 'a' || 'b', 'a' || NULL, [1] || [2], [1] || 3, concat('a', NULL)", json!([["ab", null, "[1,2]", "[1,3]", "a"]]))]
#[case("SELECT order_id || 'x', count(*) FROM orders WHERE order_id || 'x' = 'a-1x' GROUP BY order_id || 'x'", json!([["a-1x", 1]]))]
#[case("SELECT concat_ws('-', order_id, 'x'), replace(order_id, 'a-', ''), regexp_replace(email, '[^a-z]', '', 'g') FROM orders WHERE quantity = 1", json!([["a-1-x", "1", "annexamplecom"]]))]
#[case("SELECT rpad(order_id, 5, '.'), repeat('ab', 2), lpad('7', 3, '0') FROM orders WHERE quantity = 1", json!([["a-1..", "abab", "007"]]))]
#[case("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT sum(i) FROM n", json!([[10]]))]
#[case("SELECT gift, count(*) FROM orders GROUP BY gift HAVING count(*) > 0 ORDER BY gift NULLS FIRST", json!([[null, 1], [false, 1], [true, 1]]))]
#[tokio::test]
async fn what_analysts_ask(#[case] sql: &str, #[case] rows: serde_json::Value) {
    assert_eq!(shop().rows(sql).await, rows);
}
