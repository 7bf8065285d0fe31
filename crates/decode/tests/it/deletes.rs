//! Which records delete the row of their key.

use arrow::array::{Array, BooleanArray};
use freshet_decode::Decoded;
use freshet_model::TableDefinition;
use proptest::collection::vec;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::properties::check;
use crate::support::{Cell, cell, decode, decode_xml};

/// A table with columns of all types, of which the records that `delete_when` is true for delete.
fn orders(delete_when: &str) -> TableDefinition {
    let document = json!({
        "stream": "orders", "row_tag": "r", "key": ["id"], "order_by": "at", "delete_when": delete_when,
        "columns": [
            {"name": "amount", "type": "decimal(9,2)", "required": true},
            {"name": "id", "type": "string"},
            {"name": "at", "type": "timestamp"},
            {"name": "gone", "type": "boolean"},
            {"name": "status", "type": "string", "path": "state.name"},
            {"name": "count", "type": "integer"},
            {"name": "ratio", "type": "double"},
            {"name": "day", "type": "date"},
            {"name": "body", "type": "json"},
        ],
    });
    TableDefinition::read("", &document).unwrap()
}

fn deletes(decoded: &Decoded) -> Vec<bool> {
    let rows = decoded.rows.num_rows();
    let none = BooleanArray::from(vec![false; rows]);
    let deletes = decoded.deletes.as_ref().unwrap_or(&none);
    assert_eq!((deletes.len(), deletes.null_count()), (rows, 0));
    deletes.values().iter().collect()
}

/// Whether the only record of a table, with what a row needs, deletes.
fn holds(delete_when: &str, fields: &str) -> bool {
    let record = format!(r#"{{"id": "a", "at": 1, "amount": 1, {fields}}}"#);
    let decoded = decode(&orders(delete_when), &[&record]);
    assert_eq!(decoded.failed, [], "{record}");
    deletes(&decoded) == [true]
}

#[rstest]
#[case::a_field("op = 'D'", r#""op": "D""#, true)]
#[case::another_value("op = 'D'", r#""op": "d""#, false)]
#[case::blanks_belong_to_a_text("op = 'D'", r#""op": " D""#, false)]
#[case::no_field("op = 'D'", r#""x": 1"#, false)]
#[case::a_null("op <> 'D'", r#""op": null"#, false)]
#[case::a_field_ignoring_case("op = 'D'", r#""OP": "D""#, true)]
#[case::the_exact_field_first("op = 'D'", r#""op": "D", "OP": "U""#, true)]
#[case::the_last_of_two("op = 'D'", r#""op": "D", "op": "U""#, false)]
#[case::escapes("op = 'é'", r#""\u006fp": "\u00e9""#, true)]
#[case::half_a_pair("op <> 'D' OR op IS NULL", r#""op": "\ud800""#, false)]
#[case::a_list("op IN ('D', 'X')", r#""op": "X""#, true)]
#[case::not_in_a_list("op NOT IN ('D', 'X')", r#""op": "U""#, true)]
#[case::a_number_is_its_text("op = '1'", r#""op": 1"#, true)]
#[case::a_text_is_a_number("op = 1", r#""op": " 1.0 ""#, true)]
#[case::numbers_are_exact("op > 9007199254740992", r#""op": 9007199254740993"#, true)]
#[case::what_is_no_number_is_null("op <> 1", r#""op": "one""#, false)]
#[case::nor_is_true("op = 1", r#""op": true"#, false)]
#[case::a_boolean("deleted = true", r#""deleted": true"#, true)]
#[case::a_boolean_alone("deleted", r#""deleted": "True""#, true)]
#[case::one_is_true("deleted", r#""deleted": 1"#, true)]
#[case::not_of_a_boolean("NOT active", r#""active": "false""#, true)]
#[case::what_is_no_boolean_is_null("NOT active", r#""active": "no""#, false)]
#[case::an_object_is_its_text("op IS NOT NULL", r#""op": {"a": 1}"#, true)]
#[case::an_empty_text_is_a_text("op IS NOT NULL", r#""op": """#, true)]
#[case::a_missing_field_is_null("op IS NULL", r#""x": 1"#, true)]
#[case::a_null_is_null("op IS NULL", r#""op": null"#, true)]
#[case::a_column("gone", r#""gone": 1"#, true)]
#[case::a_column_by_its_path("status = 'gone'", r#""state": {"name": "gone"}"#, true)]
#[case::not_a_field_of_a_columns_name("status = 'gone'", r#""status": "gone""#, false)]
#[case::both("status = 'gone' AND body IS NULL", r#""state": {"name": "gone"}"#, true)]
#[case::not_both("status = 'gone' AND body IS NULL", r#""state": {"name": "gone"}, "body": 1"#, false)]
#[case::a_decimal("amount < 1.001", r#""amount": "0.50""#, true)]
#[case::an_integer("count > 9007199254740992", r#""count": 9007199254740993"#, true)]
#[case::a_double("ratio = 0.1", r#""ratio": 0.1000000000000000055"#, true)]
#[case::a_timestamp("at >= '1970-01-01T00:00:01Z'", r#""x": 1"#, true)]
#[case::an_earlier_timestamp("at > '1970-01-01T00:00:01Z'", r#""x": 1"#, false)]
#[case::a_date("day < '2026-06-14'", r#""day": "2026-06-13T23:59:59Z""#, true)]
#[case::an_empty_text_is_null_in_a_column("count IS NULL", r#""count": """#, true)]
#[case::more_than_one_field("op = 'D' OR kind = 'delete'", r#""kind": "delete""#, true)]
fn a_record_deletes_where_the_condition_is_true(
    #[case] delete_when: &str,
    #[case] fields: &str,
    #[case] expected: bool,
) {
    assert_eq!(holds(delete_when, fields), expected);
}

/// Nothing is deleted for a value that its column can't hold: the row fails as it would without.
#[rstest]
#[case("count IS NULL")]
#[case("count IS NOT NULL AND count < 1")]
#[case("count = 1 OR NOT count = 1")]
fn a_value_that_does_not_fit_its_column_deletes_nothing(#[case] delete_when: &str) {
    let decoded = decode(&orders(delete_when), &[r#"{"id": "a", "at": 1, "amount": 1, "count": "1.5"}"#]);
    assert_eq!((decoded.rows.num_rows(), decoded.deletes), (0, None));
    assert_eq!(decoded.failed[0].column.as_ref().unwrap().as_str(), "count");
}

#[test]
fn a_delete_needs_no_more_than_its_key_and_its_order() {
    let table = orders("op = 'D'");
    let records = [
        r#"{"id": "a", "at": 1, "op": "D"}"#,
        r#"{"id": "b", "at": 2, "op": "D", "amount": "much", "gone": "maybe", "count": 7}"#,
        r#"{"id": "c", "at": 3, "op": "U", "amount": 5}"#,
        r#"{"id": "d", "op": "D"}"#,
    ];
    let decoded = decode(&table, &records);
    assert_eq!(decoded.failed, []);
    assert_eq!(deletes(&decoded), [true, true, false, true]);
    let column = |name: &str| {
        let column = decoded.rows.column_by_name(name).unwrap();
        (0..4).map(|row| cell(column, row)).collect::<Vec<_>>()
    };
    assert_eq!(column("id"), ["a", "b", "c", "d"].map(|id| Cell::Text(id.to_owned())));
    assert_eq!(column("at"), [Cell::Micros(1_000_000), Cell::Micros(2_000_000), Cell::Micros(3_000_000), Cell::Null]);
    assert_eq!(column("amount"), [Cell::Null, Cell::Null, Cell::Decimal(500), Cell::Null]);
    assert_eq!(column("count"), [Cell::Null, Cell::Integer(7), Cell::Null, Cell::Null]);
    assert_eq!(decoded.ignored_fields, 0, "the field of the condition is asked for");
}

#[rstest]
#[case::no_key(r#"{"at": 1, "op": "D"}"#, "id")]
#[case::no_time_in_its_order(r#"{"id": "a", "at": "soon", "op": "D"}"#, "at")]
#[case::no_delete(r#"{"id": "a", "at": 1, "op": "U"}"#, "amount")]
fn what_does_not_say_what_it_deletes_fails(#[case] record: &str, #[case] column: &str) {
    let decoded = decode(&orders("op = 'D'"), &[r#"{"id": "a", "at": 1, "op": "D"}"#, record]);
    assert_eq!(decoded.failed[0].column.as_ref().unwrap().as_str(), column);
    assert_eq!(deletes(&decoded), [true]);
}

#[test]
fn where_nothing_deletes_there_is_nothing_to_say() {
    assert_eq!(decode(&orders("op = 'D'"), &[r#"{"id": "a", "amount": 1}"#]).deletes, None);
    assert_eq!(decode(&orders("op = 'D'"), &[]).deletes, None);
}

#[rstest]
#[case::an_element("op = 'D'", "<r><id>a</id><op>D</op></r>", true)]
#[case::an_attribute("op = 'D'", "<r id='a' op='D'/>", true)]
#[case::trimmed("op = 'D'", "<r id='a'><op> D </op></r>", true)]
#[case::its_own_text("\"_VALUE\" = 'D'", "<r id='a'>D</r>", true)]
#[case::a_number("op > 9", "<r id='a'><op>10</op></r>", true)]
#[case::a_boolean("op", "<r id='a'><op>true</op></r>", true)]
#[case::a_nil_is_null("op IS NULL", "<r id='a' xmlns:i='urn:i'><op i:nil='true'>D</op></r>", true)]
#[case::a_missing_element_is_null("op IS NULL", "<r id='a'/>", true)]
#[case::an_empty_element_is_a_text("op IS NOT NULL", "<r id='a'><op/></r>", true)]
#[case::several_are_json("op = '[\"D\",\"D\"]'", "<r id='a'><op>D</op><op>D</op></r>", true)]
fn rows_of_a_document_delete(#[case] delete_when: &str, #[case] row: &str, #[case] expected: bool) {
    let other = "<r id='b' amount='1'><op>other</op></r>";
    let decoded = decode_xml(&orders(delete_when), &[&format!("<rows>{row}</rows>")]);
    assert_eq!(decoded.failed, []);
    assert_eq!(deletes(&decoded), [expected]);
    let decoded = decode_xml(&orders("op = 'D'"), &[&format!("<rows>{other}<r id='a' op='D'/></rows>"), "<rows><r"]);
    assert_eq!((deletes(&decoded), decoded.failed.len()), (vec![false, true], 1));
}

#[test]
fn a_document_that_breaks_off_deletes_nothing() {
    let decoded =
        decode_xml(&orders("op = 'D'"), &["<rows><r id='a' op='D'/><r id='b' op='D'/>", "<r id='c' op='D'/>"]);
    assert_eq!((deletes(&decoded), decoded.row_offsets, decoded.failed.len()), (vec![true], vec![1], 1));
}

/// A condition in words, and what it is for a record.
#[derive(Debug, Clone)]
enum Model {
    IsNull(usize),
    Equal(usize, i64),
    Less(usize, i64),
    In(usize, Vec<i64>),
    And(Box<Model>, Box<Model>),
    Or(Box<Model>, Box<Model>),
    Not(Box<Model>),
}

/// A column and two fields, all of whole numbers.
const NAMES: [&str; 3] = ["count", "a", "b"];

impl Model {
    fn text(&self) -> String {
        match self {
            Self::IsNull(of) => format!("{} IS NULL", NAMES[*of]),
            Self::Equal(of, value) => format!("{} = {value}", NAMES[*of]),
            Self::Less(of, value) => format!("{value} > {}", NAMES[*of]),
            Self::In(of, values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                format!("{} IN ({})", NAMES[*of], values.join(", "))
            }
            Self::And(left, right) => format!("({} AND {})", left.text(), right.text()),
            Self::Or(left, right) => format!("({} OR {})", left.text(), right.text()),
            Self::Not(inner) => format!("NOT {}", inner.text()),
        }
    }

    fn holds(&self, record: [Option<i64>; 3]) -> Option<bool> {
        match self {
            Self::IsNull(of) => Some(record[*of].is_none()),
            Self::Equal(of, value) => record[*of].map(|it| it == *value),
            Self::Less(of, value) => record[*of].map(|it| it < *value),
            Self::In(of, values) => record[*of].map(|it| values.contains(&it)),
            Self::And(left, right) => match (left.holds(record), right.holds(record)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (left.holds(record), right.holds(record)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(inner) => inner.holds(record).map(|it| !it),
        }
    }
}

fn any_condition() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![
        (0..3_usize).prop_map(Model::IsNull),
        (0..3_usize, -2..3_i64).prop_map(|(of, value)| Model::Equal(of, value)),
        (0..3_usize, -2..3_i64).prop_map(|(of, value)| Model::Less(of, value)),
        (0..3_usize, vec(-2..3_i64, 1..3)).prop_map(|(of, values)| Model::In(of, values)),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Model::And(left.into(), right.into())),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Model::Or(left.into(), right.into())),
            inner.prop_map(|inner| Model::Not(inner.into())),
        ]
    })
}

#[test]
fn conditions_are_what_three_truth_values_make_of_them() {
    let record = || [0, 1, 2].map(|_| prop::option::weighted(0.8, -2..3_i64));
    check(500, &(any_condition(), vec(record(), 1..8)), |(condition, records)| {
        let table = orders(&condition.text());
        let of = |record: &[Option<i64>; 3]| json!({"id": "a", "amount": 1, "count": record[0], "a": record[1], "b": record[2]});
        let payloads: Vec<String> = records.iter().map(of).map(|record: Value| record.to_string()).collect();
        let decoded = decode(&table, &payloads.iter().map(String::as_str).collect::<Vec<_>>());
        let expected: Vec<bool> = records.iter().map(|record| condition.holds(*record) == Some(true)).collect();
        prop_assert_eq!(deletes(&decoded), expected, "{}", condition.text());
        Ok(())
    });
}
