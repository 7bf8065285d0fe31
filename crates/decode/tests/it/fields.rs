//! Which value of a record comes into which column.

use rstest::rstest;
use serde_json::json;

use crate::support::{Cell, cell, decode, table};

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// The value that a `string` column with this name or path takes from a record, and how many fields are ignored.
fn taken(column: &serde_json::Value, record: &str) -> (Cell, u64) {
    let decoded = decode(&table(&json!([column])), &[record]);
    assert_eq!(decoded.failed, []);
    (cell(decoded.rows.column(0), 0), decoded.ignored_fields)
}

#[rstest]
#[case::exact(r#"{"order_id": "a"}"#, text("a"), 0)]
#[case::ignoring_case(r#"{"Order_ID": "a"}"#, text("a"), 0)]
#[case::exact_before_ignoring_case(r#"{"order_id": "a", "ORDER_ID": "b"}"#, text("a"), 0)]
#[case::whatever_their_order(r#"{"ORDER_ID": "b", "order_id": "a"}"#, text("a"), 0)]
#[case::exact_though_null(r#"{"ORDER_ID": "b", "order_id": null}"#, Cell::Null, 0)]
#[case::the_last_of_two(r#"{"order_id": "a", "order_id": "b"}"#, text("b"), 0)]
#[case::the_last_though_null(r#"{"order_id": "a", "order_id": null}"#, Cell::Null, 0)]
#[case::the_last_of_two_ignoring_case(r#"{"ORDER_ID": "a", "Order_Id": "b"}"#, text("b"), 0)]
#[case::escaped_name(r#"{"order\u005fid": "a"}"#, text("a"), 0)]
#[case::missing("{}", Cell::Null, 0)]
#[case::unknown_fields(r#"{"email": "e", "order_id": "a", "email": 1, "items": {"order_id": 3}}"#, text("a"), 3)]
#[case::a_name_that_is_no_text(r#"{"\ud800": 1, "order_id": "a"}"#, text("a"), 1)]
#[case::not_a_prefix(r#"{"order_i": 1, "order_id_": 2}"#, Cell::Null, 2)]
#[case::ignoring_case_of_ascii_only(r#"{"order_İd": 1}"#, Cell::Null, 1)]
fn fields_by_name(#[case] record: &str, #[case] expected: Cell, #[case] ignored: u64) {
    assert_eq!(taken(&json!({"name": "order_id", "type": "string"}), record), (expected, ignored));
}

#[rstest]
#[case("customer.address.city", r#"{"customer": {"address": {"city": "Oslo"}}}"#, text("Oslo"), 0)]
#[case::ignoring_case("customer.address.city", r#"{"CUSTOMER": {"Address": {"cITY": "Oslo"}}}"#, text("Oslo"), 0)]
#[case::exact_first(
    "customer.city",
    r#"{"customer": {"CITY": "Rome", "city": "Oslo", "City": "Bonn"}}"#,
    text("Oslo"),
    0
)]
#[case::the_last("customer.city", r#"{"customer": {"city": "Rome"}, "customer": {"city": "Oslo"}}"#, text("Oslo"), 0)]
#[case::the_last_without_it("customer.city", r#"{"customer": {"city": "Rome"}, "customer": {}}"#, Cell::Null, 0)]
#[case("items[0].sku", r#"{"items": [{"sku": "a"}, {"sku": "b"}]}"#, text("a"), 0)]
#[case("items[1].sku", r#"{"items": [{"sku": "a"}, {"sku": "b"}, 3, [4]]}"#, text("b"), 0)]
#[case("grid[1][0]", r#"{"grid": [[1, 2], [3, 4]]}"#, text("3"), 0)]
#[case::past_the_end("items[2].sku", r#"{"items": [{"sku": "a"}]}"#, Cell::Null, 0)]
#[case::not_an_array("items[0]", r#"{"items": {"0": 1}}"#, Cell::Null, 0)]
#[case::not_an_object("customer.city", r#"{"customer": ["city"]}"#, Cell::Null, 0)]
#[case::a_text_is_not_opened("customer.city", r#"{"customer": "{\"city\": \"Oslo\"}"}"#, Cell::Null, 0)]
#[case::nested_fields_are_not_counted(
    "customer.city",
    r#"{"customer": {"zip": 1, "city": "Oslo"}, "x": 1}"#,
    text("Oslo"),
    1
)]
#[case::nested_value("customer.address", r#"{"customer": {"address": { "a":1 }}}"#, text(r#"{ "a":1 }"#), 0)]
#[case::any_name("first name.größe", r#"{"first name": {"größe": 7}}"#, text("7"), 0)]
fn fields_by_path(#[case] path: &str, #[case] record: &str, #[case] expected: Cell, #[case] ignored: u64) {
    assert_eq!(taken(&json!({"name": "value", "type": "string", "path": path}), record), (expected, ignored));
}

#[test]
fn several_columns_take_parts_of_one_field() {
    let table = table(&json!([
        {"name": "customer", "type": "json"},
        {"name": "city", "type": "string", "path": "customer.city"},
        {"name": "again", "type": "string", "path": "customer.city"},
        {"name": "first", "type": "integer", "path": "customer.orders[0]"},
        {"name": "third", "type": "integer", "path": "customer.orders[2]"},
    ]));
    let decoded = decode(&table, &[r#"{"customer": {"orders": [7, 8, 9], "city": "Oslo"}}"#]);
    let row: Vec<Cell> = (0..5).map(|column| cell(decoded.rows.column(column), 0)).collect();
    let customer = text(r#"{"orders": [7, 8, 9], "city": "Oslo"}"#);
    assert_eq!(row, [customer, text("Oslo"), text("Oslo"), Cell::Integer(7), Cell::Integer(9)]);
    assert_eq!(decoded.ignored_fields, 0);
}

#[test]
fn paths_that_differ_by_case_each_take_their_own_field_first() {
    let table = table(&json!([
        {"name": "upper", "type": "string", "path": "ID"},
        {"name": "lower", "type": "string", "path": "id"},
    ]));
    let decoded = decode(&table, &[r#"{"id": "l", "ID": "u"}"#, r#"{"ID": "u"}"#, r#"{"Id": "x"}"#]);
    let column = |at: usize| -> Vec<Cell> { (0..3).map(|row| cell(decoded.rows.column(at), row)).collect() };
    assert_eq!(column(0), [text("u"), text("u"), text("x")]);
    assert_eq!(column(1), [text("l"), text("u"), text("x")]);
}
