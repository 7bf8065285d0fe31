//! Which fields a record lacks, where a table merges by patch.

use std::collections::BTreeMap;

use arrow::array::Array;
use freshet_decode::Decoded;
use freshet_model::TableDefinition;
use proptest::collection::vec;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::properties::check;
use crate::support::{Cell, cell, decode, decode_xml};

fn customers(merge: &str) -> TableDefinition {
    let document = json!({
        "stream": "orders", "row_tag": "r", "key": ["id"], "order_by": "at", "merge": merge,
        "columns": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "timestamp", "required": true},
            {"name": "name", "type": "string", "required": true},
            {"name": "count", "type": "integer"},
            {"name": "city", "type": "string", "path": "address.city"},
            {"name": "sku", "type": "string", "path": "items[1].sku"},
        ],
    });
    TableDefinition::read("", &document).unwrap()
}

/// The columns that each row's record lacked.
fn absent(decoded: &Decoded) -> Vec<Vec<&str>> {
    let mut of_rows = vec![Vec::new(); decoded.rows.num_rows()];
    for (name, absent) in &decoded.absent {
        assert_eq!((absent.len(), absent.null_count()), (of_rows.len(), 0));
        assert!(absent.true_count() > 0, "{name} was lacked by none and is not named");
        for (lacked, is_absent) in of_rows.iter_mut().zip(absent.values()) {
            lacked.extend(is_absent.then_some(name.as_str()));
        }
    }
    of_rows
}

/// What the only row of a table holds in a column, and which columns its record lacked.
fn patched<'d>(decoded: &'d Decoded, column: &str) -> (Cell, Vec<&'d str>) {
    assert_eq!(decoded.failed, []);
    (cell(decoded.rows.column_by_name(column).unwrap(), 0), absent(decoded).pop().unwrap())
}

#[rstest]
#[case::lacked(r#""name": "x", "city": "no path""#, &["city", "count", "sku"])]
#[case::null(r#""name": "x", "count": null, "address": {"city": null}, "items": [0, {"sku": null}]"#, &[])]
#[case::empty_text(r#""name": "", "count": "", "address": {"city": ""}, "items": [0, {"sku": ""}]"#, &[])]
#[case::required("\"count\": 1", &["city", "name", "sku"])]
#[case::ignoring_case(r#""NAME": "x", "Count": 1"#, &["city", "sku"])]
#[case::null_above(r#""name": "x", "count": 1, "address": null, "items": null"#, &[])]
#[case::null_just_above(r#""name": "x", "count": 1, "address": {}, "items": [{}, null]"#, &["city"])]
#[case::nothing_below(r#""name": "x", "count": 1, "address": {}, "items": [{}]"#, &["city", "sku"])]
#[case::something_else_above(r#""name": "x", "count": 1, "address": "x", "items": [0, 1]"#, &["city", "sku"])]
fn a_field_that_is_not_there_is_told_from_null(#[case] fields: &str, #[case] expected: &[&str]) {
    let record = format!(r#"{{"id": "a", "at": 1, {fields}}}"#);
    let decoded = decode(&customers("patch"), &[&record]);
    assert_eq!(patched(&decoded, "city").1, expected);
    let lacks_what_is_required = expected.contains(&"name");
    let replacing = decode(&customers("replace"), &[&record]);
    assert_eq!((replacing.absent, replacing.failed.len()), (BTreeMap::new(), usize::from(lacks_what_is_required)));
}

#[rstest]
#[case::lacked("<r id='a' at='1' name='x'/>", Cell::Null, &["city", "count", "sku"])]
#[case::an_empty_element("<r id='a' at='1' name='x'><count/><address><city/></address></r>", Cell::Text(String::new()), &["sku"])]
#[case::nil("<r id='a' at='1' name='x' xmlns:i='urn:i'><count i:nil='1'/><address><city i:nil='true'/></address></r>", Cell::Null, &["sku"])]
#[case::nil_above("<r id='a' at='1' name='x' count='1' xmlns:i='urn:i'><address i:nil='true'/><items/><items i:nil='1'/></r>", Cell::Null, &[])]
#[case::nothing_below("<r id='a' at='1' name='x'><address/><items/><items/></r>", Cell::Null, &["city", "count", "sku"])]
#[case::required("<r id='a' at='1'><address city='x'/></r>", Cell::Text("x".to_owned()), &["count", "name", "sku"])]
fn an_element_that_is_not_there_is_told_from_null(#[case] row: &str, #[case] city: Cell, #[case] expected: &[&str]) {
    let decoded = decode_xml(&customers("patch"), &[row]);
    assert_eq!(patched(&decoded, "city"), (city, expected.to_vec()));
}

#[rstest]
#[case::no_key(r#"{"at": 1, "name": "x"}"#, "id", "the field is missing and the column is part of the key")]
#[case::no_order(r#"{"id": "a", "name": "x"}"#, "at", "the field is missing and the column is required")]
#[case::null_where_required(
    r#"{"id": "a", "at": 1, "name": null}"#,
    "name",
    "the value is null and the column is required"
)]
#[case::no_number(r#"{"id": "a", "at": 1, "count": "x"}"#, "count", "\"x\" is not a number")]
fn a_record_of_a_patched_table_fails(#[case] record: &str, #[case] column: &str, #[case] says: &str) {
    let decoded = decode(&customers("patch"), &[record, r#"{"id": "b", "at": 1, "name": "x"}"#]);
    assert_eq!(decoded.failed[0].column.as_ref().unwrap().as_str(), column);
    assert!(decoded.failed[0].reason.contains(says), "{}", decoded.failed[0].reason);
    assert_eq!(absent(&decoded), [["city", "count", "sku"]], "only of what is a row");
}

#[test]
fn a_document_that_breaks_off_lacks_nothing() {
    let documents = ["<rows><r id='a' at='1'/><r id='b' at='1'/>", "<r id='c' at='1' name='x' count='1'/>"];
    let decoded = decode_xml(&customers("patch"), &documents);
    assert_eq!((absent(&decoded), decoded.failed.len()), (vec![vec!["city", "sku"]], 1));
}

/// What a path finds in a record: nothing, null (also on the way), or a value.
fn find(record: &Value, path: &[&str]) -> Option<Value> {
    let Some((step, rest)) = path.split_first() else { return Some(record.clone()) };
    match (record, step.parse::<usize>()) {
        (Value::Null, _) => Some(Value::Null),
        (Value::Object(fields), Err(_)) => find(fields.get(*step)?, rest),
        (Value::Array(elements), Ok(at)) => find(elements.get(at)?, rest),
        _ => None,
    }
}

fn any_record() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), (0..3_i64).prop_map(Value::from), Just(json!(""))];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("city|sku", inner, 0..3).prop_map(|fields| fields.into_iter().collect()),
        ]
    });
    let fields = proptest::collection::btree_map("name|count|address|items", value, 0..5);
    fields.prop_map(|fields| {
        let mut record = json!({"id": "a", "at": 1});
        record.as_object_mut().unwrap().extend(fields);
        record
    })
}

#[test]
fn a_column_is_absent_where_its_path_leads_nowhere() {
    let table = customers("patch");
    let paths = [("name", &["name"][..]), ("city", &["address", "city"]), ("sku", &["items", "1", "sku"])];
    check(1_000, &vec(any_record(), 1..6), |records| {
        let payloads: Vec<String> = records.iter().map(Value::to_string).collect();
        let decoded = decode(&table, &payloads.iter().map(String::as_str).collect::<Vec<_>>());
        let lacked = absent(&decoded);
        for (row, offset) in decoded.row_offsets.iter().enumerate() {
            let record = &records[usize::try_from(*offset).unwrap()];
            for (column, path) in paths {
                let found = find(record, path);
                prop_assert_eq!(lacked[row].contains(&column), found.is_none(), "{} of {}", column, record);
                let is_null = cell(decoded.rows.column_by_name(column).unwrap(), row) == Cell::Null;
                prop_assert_eq!(is_null, found.is_none_or(|value| value.is_null()), "{} of {}", column, record);
            }
        }
        Ok(())
    });
}
