//! Values beside the text.

use freshet_query::{QueryError, SqlError};
use rstest::rstest;
use serde_json::json;

use crate::support::shop;

#[rstest]
#[case::numbered("SELECT order_id FROM orders WHERE email = $1 AND quantity = $2", r#"["bob@example.com", 2]"#)]
#[case::question_marks("SELECT order_id FROM orders WHERE email = ? AND quantity = ?", r#"["bob@example.com", 2]"#)]
#[case::named("SELECT order_id FROM orders WHERE email = $email", r#"{"email": "bob@example.com"}"#)]
#[case::used_twice("SELECT order_id FROM orders WHERE email = $e OR $e IS NULL", r#"{"e": "bob@example.com"}"#)]
#[case::decimal("SELECT order_id FROM orders WHERE revenue = $1", "[2500315.63]")]
#[case::decimal_text("SELECT order_id FROM orders WHERE revenue = $1", r#"["2500315.63"]"#)]
#[case::finer_decimal("SELECT order_id FROM orders WHERE revenue > $1 AND revenue < $2", "[2500315.629, 2500315.631]")]
#[case::whole_for_decimal("SELECT order_id FROM orders WHERE revenue > $1", "[11]")]
#[case::integer("SELECT order_id FROM orders WHERE quantity = $1", "[2]")]
#[case::fraction_for_integer("SELECT order_id FROM orders WHERE quantity > $1", "[1.5]")]
#[case::double("SELECT order_id FROM orders WHERE rating = $1", "[0.1]")]
#[case::boolean("SELECT order_id FROM orders WHERE gift = $1", "[false]")]
#[case::date("SELECT order_id FROM orders WHERE day = $1", r#"["1970-01-01"]"#)]
#[case::timestamp("SELECT order_id FROM orders WHERE ordered_at = $1", r#"["1970-01-01T00:00:00Z"]"#)]
#[case::day_for_timestamp("SELECT order_id FROM orders WHERE ordered_at < $1", r#"["1970-01-02"]"#)]
#[case::in_list("SELECT order_id FROM orders WHERE order_id IN (?, ?)", r#"["a-2", "a-9"]"#)]
#[case::between("SELECT order_id FROM orders WHERE quantity BETWEEN $low AND $high", r#"{"low": 2, "high": 3}"#)]
#[case::like("SELECT order_id FROM orders WHERE email LIKE $1", r#"["bob%"]"#)]
#[case::limit("SELECT order_id FROM orders ORDER BY order_id LIMIT $1 OFFSET 1", "[1]")]
#[case::subquery(
    "SELECT order_id FROM orders WHERE order_id IN (SELECT order_id FROM orders WHERE quantity = ?)",
    "[2]"
)]
#[case::in_a_call("SELECT order_id FROM orders WHERE coalesce(email, $1) = lower($2)", r#"["x", "BOB@example.com"]"#)]
#[case::concatenated("SELECT order_id FROM orders WHERE order_id || $1 = $2", r#"["x", "a-2x"]"#)]
#[case::never_pasted("SELECT order_id FROM orders WHERE quantity = 2 AND email <> $1", r#"["' OR 1=1 --"]"#)]
#[tokio::test]
async fn a_value_is_bound(#[case] sql: &str, #[case] parameters: &str) {
    assert_eq!(shop().rows_with(sql, parameters).await, json!([["a-2"]]));
}

#[rstest]
#[case("SELECT $1 AS v", r#"["text"]"#, json!([["text"]]))]
#[case("SELECT $1 AS v", "[12]", json!([[12]]))]
#[case("SELECT $1 AS v", "[0.10]", json!([[0.10]]))]
#[case("SELECT $1 AS v", "[true]", json!([[true]]))]
#[case("SELECT $1 AS v", "[null]", json!([[null]]))]
#[case("SELECT revenue * $1 AS v FROM orders WHERE order_id = 'a-1'", "[3]", json!([[30.30]]))]
#[case("SELECT order_id FROM orders WHERE email = $1", "[null]", json!([]))]
#[tokio::test]
async fn a_value_keeps_its_kind(#[case] sql: &str, #[case] parameters: &str, #[case] rows: serde_json::Value) {
    assert_eq!(shop().rows_with(sql, parameters).await, rows);
}

#[rstest]
#[case::missing("SELECT $1, $2", "[1]", "the query's parameter $2 has no value in parameters")]
#[case::none("SELECT $email", "[]", "the query's parameter $email has no value in parameters")]
#[case::superfluous("SELECT $1", "[1, 2]", "parameters has a value for $2, which the query does not use")]
#[case::gap("SELECT $2", "[1, 2]", "parameters has a value for $1, which the query does not use")]
#[case::without_any("SELECT 1", "[1]", "parameters has a value for $1, which the query does not use")]
#[case::misspelt(
    "SELECT $email",
    r#"{"emial": "x", "email": "x"}"#,
    "parameters has a value for $emial, which the query does not use; did you mean \"email\"?"
)]
#[case::array_for_names(
    "SELECT $email",
    "[1]",
    "the query's parameters are named: send their values as an object, as {\"email\": …}"
)]
#[case::object_for_positions(
    "SELECT ?",
    r#"{"a": 1}"#,
    "the query's parameters are positional: send their values as an array, as [\"a\", 2]"
)]
#[case::neither("SELECT $1", "1", "parameters is neither an array, as [1, \"a\"], nor an object, as {\"name\": 1}")]
#[case::nested(
    "SELECT $1",
    "[[1]]",
    "parameter $1 is an array or an object: a parameter is a string, a number, true, false or null"
)]
#[case::of_another_kind(
    "SELECT 1 FROM orders WHERE gift = $1",
    "[3]",
    "parameter $1 stands where the query has a boolean: send true or false"
)]
#[case::no_number(
    "SELECT 1 FROM orders WHERE revenue = $sum",
    r#"{"sum": "much"}"#,
    "parameter $sum stands where the query has a number: send a number"
)]
#[case::no_date(
    "SELECT 1 FROM orders WHERE day = $1",
    "[20000]",
    "parameter $1 stands where the query has a date: send a string such as \"2026-06-14\""
)]
#[case::no_time(
    "SELECT 1 FROM orders WHERE ordered_at = $1",
    r#"["noon"]"#,
    "parameter $1 stands where the query has a timestamp: send a string such as \"2026-06-14T00:24:16Z\""
)]
#[case::mixed(
    "SELECT $1, $a",
    "[1]",
    "the query mixes positional and named parameters: write all of them as $1 or all of them as $name"
)]
#[case::mixed_marks(
    "SELECT ?, $2",
    "[1, 2]",
    "the query mixes ? with parameters of another form: write all of them as ?, or as $1, or as $name"
)]
#[case::zero(
    "SELECT $0",
    "[1]",
    "$0 at line 1, column 8 is no parameter: write ? or $1 for positional ones, $name for named ones"
)]
#[case::numbered_mark(
    "SELECT ?1",
    "[1]",
    "?1 at line 1, column 8 is no parameter: write ? or $1 for positional ones, $name for named ones"
)]
#[tokio::test]
async fn a_wrong_parameter_is_told(#[case] sql: &str, #[case] parameters: &str, #[case] told: &str) {
    let refusal = shop().refusal_with(sql, parameters).await;
    assert!(matches!(refusal, QueryError::Sql(SqlError::Parameter { .. })), "{refusal:?}");
    assert_eq!(refusal.to_string(), told);
}
