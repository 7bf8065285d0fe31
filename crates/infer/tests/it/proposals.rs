//! What is proposed.

use bytes::Bytes;
use freshet_catalog::ResourceFile;
use freshet_infer::{InferError, Proposal, Sampled, propose};
use freshet_model::PayloadFormat;
use rstest::rstest;
use serde_json::{Value, json};

pub(crate) fn sampled(format: PayloadFormat, records: impl IntoIterator<Item = String>) -> Sampled {
    Sampled {
        format,
        records: records.into_iter().map(Bytes::from).collect(),
        stream: "orders".to_owned(),
        table: "orders".to_owned(),
        database: Some("retail".to_owned()),
        is_known: false,
    }
}

fn proposed(records: &[Value]) -> Proposal {
    propose(&sampled(PayloadFormat::Json, records.iter().map(Value::to_string))).unwrap()
}

/// The type of each column, and its path.
fn columns(proposal: &Proposal) -> Vec<(String, String)> {
    let document = serde_json::to_value(&proposal.definition).unwrap();
    let column = |column: &Value| {
        let path = column.get("path").map(|path| format!(" at {}", path.as_str().unwrap())).unwrap_or_default();
        (column["name"].as_str().unwrap().to_owned(), format!("{}{path}", column["type"].as_str().unwrap()))
    };
    document["columns"].as_array().unwrap().iter().map(column).collect()
}

/// Columns of one type each, from two values.
#[rstest]
#[case::texts(json!("a"), json!("b"), "string")]
#[case::booleans(json!(true), json!("false"), "boolean")]
#[case::integers(json!(1), json!(-7), "integer")]
#[case::integers_in_texts(json!("12"), json!("7"), "integer")]
#[case::leading_zeros(json!("00042"), json!("10115"), "string")]
#[case::beyond_64_bits(json!(1), json!("98765432109876543210"), "string")]
#[case::amounts(json!("79.99"), json!(5), "decimal(18,2)")]
#[case::fine_amounts(json!(0.125), json!(7.5), "decimal(18,3)")]
#[case::measurements(json!(0.123_456_789), json!(1.5e300), "double")]
#[case::days(json!("2026-06-14"), json!("2026-06-15"), "date")]
#[case::times(json!("2026-06-14T09:30:00Z"), json!("2026-06-14 10:00"), "timestamp")]
#[case::days_and_times(json!("2026-06-14"), json!("2026-06-14T09:30:00Z"), "timestamp")]
#[case::no_such_day(json!("2026-02-30"), json!("2026-06-14"), "string")]
#[case::arrays(json!([1, 2]), json!([]), "json")]
#[case::now_and_then(json!([1]), json!("none"), "json")]
#[case::mixed(json!("n/a"), json!(1), "string")]
#[case::nothing(json!(null), json!(""), "string")]
fn a_column_has_the_type_that_fits_all_values(#[case] first: Value, #[case] second: Value, #[case] column_type: &str) {
    let proposal = proposed(&[json!({"id": 1, "v": first}), json!({"id": 2, "v": second})]);
    assert_eq!(columns(&proposal)[1], ("v".to_owned(), column_type.to_owned()), "{}", proposal.table);
}

#[test]
fn nested_data_become_columns_by_path() {
    let record = |number: i64| {
        json!({
            "order_id": format!("o-{number}"), "customer": {"email": "a@x.org", "address": {"city": "Oslo", "id": number}},
            "items": [{"sku": "a"}], "received_at": "2026-06-14T09:30:00Z", "2nd note": "x", "a.b": 1, "Order_ID": number,
        })
    };
    let proposal = proposed(&[record(1), record(2)]);
    let expected = [
        ("order_id_2", "string at order_id"),
        ("email", "string at customer.email"),
        ("city", "string at customer.address.city"),
        ("id", "integer at customer.address.id"),
        ("items", "json"),
        ("source_received_at", "timestamp at received_at"),
        ("c_2nd_note", "string at 2nd note"),
        ("Order_ID", "integer"),
    ];
    let mut found = columns(&proposal);
    found.sort();
    let mut expected = expected.map(|(name, what)| (name.to_owned(), what.to_owned())).to_vec();
    expected.sort();
    assert_eq!(found, expected, "{}", proposal.table);
    assert!(proposal.notes.iter().any(|note| note.starts_with("a.b: no column's path")), "{:?}", proposal.notes);
}

#[rstest]
#[case::by_name(&["order_id", "email"], &["order_id"])]
#[case::of_the_stream(&["customer_id", "order_id"], &["order_id"])]
#[case::by_chance(&["label"], &["label"])]
fn the_key_is_what_is_unique_and_called_an_id(#[case] names: &[&str], #[case] key: &[&str]) {
    let record = |number: i64| {
        Value::Object(names.iter().map(|name| ((*name).to_owned(), json!(format!("{name}-{number}")))).collect())
    };
    let proposal = proposed(&[record(1), record(2), record(3)]);
    let document = serde_json::to_value(&proposal.definition).unwrap();
    assert_eq!(document["key"], json!(key), "{}", proposal.table);
}

#[test]
fn what_comes_again_with_another_time_is_an_update() {
    let record = |id: i64, minute: i64| json!({"order_id": id, "updated_at": format!("2026-06-14T09:{minute:02}:00Z"), "placed": "2026-06-14"});
    let proposal = proposed(&[record(1, 1), record(1, 2), record(2, 3)]);
    let document = serde_json::to_value(&proposal.definition).unwrap();
    assert_eq!((&document["key"], &document["order_by"]), (&json!(["order_id"]), &json!("updated_at")));
    assert!(proposal.notes.iter().any(|note| note.contains("taken as updates")), "{:?}", proposal.notes);
}

#[test]
fn two_columns_are_a_key_where_one_is_not_and_none_is_none() {
    let line = |order: i64, line: i64| json!({"order_id": order, "line_id": line, "quantity": 1});
    let proposal = proposed(&[line(1, 1), line(1, 2), line(2, 1)]);
    let document = serde_json::to_value(&proposal.definition).unwrap();
    assert_eq!(document["key"], json!(["order_id", "line_id"]));
    let proposal = proposed(&[json!({"page": "/"}), json!({"page": "/"})]);
    let document = serde_json::to_value(&proposal.definition).unwrap();
    assert_eq!((document.get("key"), &document["mode"]), (None, &json!("append")));
}

#[test]
fn what_was_ambiguous_stands_beside_its_column() {
    let mut records: Vec<Value> =
        (0..40).map(|id| json!({"id": id, "amount": id, "flag": id % 2, "zip": "00042"})).collect();
    records[7]["amount"] = json!("n/a");
    records[9].as_object_mut().unwrap().remove("flag");
    let proposal = proposed(&records);
    for says in [
        "type = \"string\" },  # 1 of 40 values are not numbers, e.g. \"n/a\"",
        "# only 0 and 1 were seen: boolean would do; null or missing in 1 of 40",
        "# digits with leading zeros: a number would lose them",
    ] {
        assert!(proposal.table.contains(says), "{says}: {}", proposal.table);
    }
}

#[test]
fn xml_is_proposed_with_its_row_tag() {
    let order = |id: i64| {
        format!(
            "<order id='o-{id}'><total currency='EUR'>1.50</total><customer><city>Oslo</city></customer><line sku='a' n='1'/><line sku='b' n='2'/></order>"
        )
    };
    let document = format!("<export><orders>{}{}</orders></export>", order(1), order(2));
    let proposal = propose(&sampled(PayloadFormat::Xml, [document])).unwrap();
    let found = columns(&proposal);
    for (name, what) in [("id", "string"), ("city", "string at customer.city"), ("line", "json")] {
        assert!(found.contains(&(name.to_owned(), what.to_owned())), "{found:?}");
    }
    assert_eq!(serde_json::to_value(&proposal.definition).unwrap()["row_tag"], "order");
    assert!(proposal.table.contains("format = \"xml\""), "{}", proposal.table);
}

#[test]
fn a_proposal_is_a_resource_file() {
    let proposal = proposed(&[json!({"id": 1, "a \"b\"": 2, "t": "x\n# y"}), json!({"id": 2})]);
    let file = ResourceFile::from_toml(&proposal.table).unwrap_or_else(|wrong| panic!("{wrong}\n{}", proposal.table));
    let document = file.to_json();
    let members: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["databases", "streams", "tables"]);
    let table = serde_json::to_value(&proposal.definition).unwrap();
    assert_eq!(document["tables"]["orders"]["columns"], table["columns"]);
}

#[test]
fn what_is_no_record_is_told() {
    let none = propose(&sampled(PayloadFormat::Json, [])).unwrap_err();
    assert!(matches!(none, InferError::NoRecords));
    let wrong = propose(&sampled(PayloadFormat::Json, ["{\"a\": 1}".to_owned(), "[1]".to_owned()])).unwrap_err();
    assert!(wrong.to_string().starts_with("record 2 is no JSON object"), "{wrong}");
    let wrong = propose(&sampled(PayloadFormat::Xml, ["<a><b></a>".to_owned()])).unwrap_err();
    assert!(wrong.to_string().starts_with("document 1 can't be read"), "{wrong}");
}
