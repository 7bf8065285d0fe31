//! What a query names.

use freshet_sql::{SqlError, parse_select};
use rstest::rstest;

#[rstest]
#[case("SELECT 1", &[])]
#[case("SELECT * FROM Orders o JOIN \"People\" USING (id)", &["People", "orders"])]
#[case("SELECT * FROM orders UNION SELECT * FROM ORDERS", &["orders"])]
#[case("SELECT (SELECT max(a) FROM b) FROM c WHERE EXISTS (SELECT 1 FROM d)", &["b", "c", "d"])]
#[case("WITH x AS (SELECT * FROM a) SELECT * FROM x", &["a"])]
#[case("WITH a AS (SELECT * FROM a) SELECT * FROM a", &["a"])]
#[case("SELECT * FROM retail.orders", &["retail.orders"])]
#[case("SELECT * FROM generate_series(1, 3)", &[])]
fn the_tables_of_a_query_are_told_each_once(#[case] sql: &str, #[case] tables: &[&str]) {
    assert_eq!(parse_select(sql).unwrap().tables(), tables);
}

#[rstest]
#[case("SELECT 1 WHERE 1 = 2", &[])]
#[case("SELECT $b, $a, $b", &["a", "b"])]
#[case("SELECT ?, ?", &["1", "2"])]
#[case("SELECT $2, $1", &["1", "2"])]
#[case("SELECT '$a', \"$b\" -- $c", &[])]
fn the_parameters_of_a_query_are_told_each_once(#[case] sql: &str, #[case] placeholders: &[&str]) {
    let select = parse_select(sql).unwrap();
    assert_eq!(select.placeholders().iter().map(String::as_str).collect::<Vec<_>>(), placeholders);
}

#[rstest]
#[case("SELECT $1, $a", "the query mixes positional and named parameters")]
#[case("SELECT ?, $2", "the query mixes ? with parameters of another form")]
#[case("SELECT\n  $0", "$0 at line 2, column 3 is no parameter")]
fn a_parameter_without_a_name_is_refused(#[case] sql: &str, #[case] says: &str) {
    let refusal = parse_select(sql).unwrap_err();
    assert!(matches!(refusal, SqlError::Parameter { .. }), "{refusal:?}");
    assert!(refusal.to_string().starts_with(says), "{refusal}");
}

#[test]
fn a_function_that_makes_no_table_is_refused_with_those_that_do() {
    let refusal = parse_select("SELECT 1\nFROM read_csv('/etc/passwd')").unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "read_csv at line 2, column 6 is no function that makes a table; there are generate_series and range"
    );
}

#[test]
fn quoted_names_are_respelt_and_nothing_else() {
    let select = parse_select("SELECT \"Email\", Email, 'Email' FROM \"Orders\"").unwrap();
    let query = select.query(|name| (name == "Email").then_some("email")).unwrap();
    assert_eq!(query.to_string(), "SELECT \"email\", Email, 'Email' FROM \"Orders\"");
}
