//! Older versions of tables.

use freshet_sql::{SqlError, TableVersion, parse_select};
use rstest::rstest;

fn number(number: u64) -> TableVersion {
    TableVersion::Number(number)
}

fn time(time: &str) -> TableVersion {
    TableVersion::Time(time.parse().unwrap())
}

const TEN: &str = "2026-11-26T10:00:00Z";

#[rstest]
#[case::number("SELECT * FROM orders VERSION AS OF 12", Some(number(12)))]
#[case::lower_case("select * from Orders version as of 12 as o", Some(number(12)))]
#[case::broken_off("SELECT *\nFROM orders -- then\n  VERSION /* as it was */ AS OF 0 WHERE a = 1", Some(number(0)))]
#[case::with_for("SELECT * FROM orders FOR VERSION AS OF 12", Some(number(12)))]
#[case::a_keyword_s_name("SELECT * FROM \"orders\" VERSION AS OF 12", Some(number(12)))]
#[case::time("SELECT * FROM orders TIMESTAMP AS OF '2026-11-26T10:00:00Z'", Some(time(TEN)))]
#[case::another_zone("SELECT * FROM orders TIMESTAMP AS OF '2026-11-26T11:00:00+01:00'", Some(time(TEN)))]
#[case::without_a_zone("SELECT * FROM orders FOR TIMESTAMP AS OF ' 2026-11-26 10:00:00 '", Some(time(TEN)))]
#[case::midnight("SELECT * FROM orders TIMESTAMP AS OF '2026-11-26'", Some(time("2026-11-26T00:00:00Z")))]
#[case::of_the_standard("SELECT * FROM orders FOR SYSTEM_TIME AS OF '2026-11-26T10:00:00Z' o", Some(time(TEN)))]
#[case::within_brackets("SELECT (SELECT max(a) FROM orders VERSION AS OF 12)", Some(number(12)))]
#[case::in_a_common_table("WITH x AS (SELECT * FROM orders VERSION AS OF 12) SELECT * FROM x", Some(number(12)))]
#[case::the_newest("SELECT * FROM orders", None)]
#[case::a_column("SELECT version AS of FROM orders", None)]
#[case::a_condition("SELECT NOT version AS of, timestamp AS of FROM orders", None)]
#[case::an_alias("SELECT version.a FROM orders version", None)]
#[case::a_text("SELECT 'orders VERSION AS OF 12' FROM orders", None)]
fn the_version_of_a_table_is_told(#[case] sql: &str, #[case] version: Option<TableVersion>) {
    let select = parse_select(sql).unwrap();
    let reads: Vec<_> = select.reads().iter().map(|read| (read.name.as_str(), read.version)).collect();
    assert_eq!(reads, [("orders", version)]);
    assert_eq!(select.tables(), ["orders"]);
}

#[test]
fn a_table_is_told_once_for_each_version() {
    let sql = "SELECT * FROM orders JOIN orders VERSION AS OF 2 a USING (id) JOIN orders VERSION AS OF 2 b USING (id) \
               JOIN orders VERSION AS OF 1 c USING (id)";
    let select = parse_select(sql).unwrap();
    let versions: Vec<_> = select.reads().iter().map(|read| read.version).collect();
    assert_eq!(versions, [None, Some(number(1)), Some(number(2))]);
    assert_eq!(select.tables(), ["orders"]);
}

#[rstest]
#[case("SELECT orders.a FROM Orders VERSION AS OF 2", "SELECT orders.a FROM \"orders VERSION AS OF 2\" AS Orders")]
#[case("SELECT o.a FROM \"Orders\" VERSION AS OF 2 o", "SELECT o.a FROM \"orders VERSION AS OF 2\" o")]
#[case(
    "SELECT 1 FROM orders TIMESTAMP AS OF '2026-11-26', orders",
    "SELECT 1 FROM \"orders TIMESTAMP AS OF '2026-11-26T00:00:00Z'\" AS orders, orders"
)]
fn in_the_syntax_tree_it_is_a_table_of_another_name(#[case] sql: &str, #[case] tree: &str) {
    let query = parse_select(sql).unwrap().query(|name| (name == "Orders").then_some("orders")).unwrap();
    assert_eq!(query.to_string(), tree);
}

#[rstest]
#[case("FROM orders VERSION AS OF '12'", "VERSION AS OF takes the number of a version, written as it is, not '12'")]
#[case("FROM orders VERSION AS OF 1.5", "VERSION AS OF takes the number of a version, written as it is, not 1.5")]
#[case("FROM orders VERSION AS OF -1", "VERSION AS OF takes the number of a version, written as it is, not -")]
#[case("FROM orders VERSION AS OF $v", "VERSION AS OF takes the number of a version, written as it is, not $v")]
#[case("FROM orders VERSION AS OF", "VERSION AS OF takes the number of a version, written as it is, not nothing")]
#[case(
    "FROM orders VERSION AS OF 99999999999999999999",
    "VERSION AS OF takes the number of a version, written as it is, not 99999999999999999999"
)]
#[case(
    "FROM orders TIMESTAMP AS OF 'yesterday'",
    "TIMESTAMP AS OF takes a time as '2026-06-14T00:24:16Z', written as it is, not 'yesterday'"
)]
#[case(
    "FROM orders TIMESTAMP AS OF now() - INTERVAL '1 day'",
    "TIMESTAMP AS OF takes a time as '2026-06-14T00:24:16Z', written as it is, not now"
)]
#[case(
    "FROM orders SYSTEM_TIME AS OF 12",
    "SYSTEM_TIME AS OF takes a time as '2026-06-14T00:24:16Z', written as it is, not 12"
)]
#[case(
    "FROM orders o VERSION AS OF 12",
    "VERSION AS OF stands where no table's name is before it; an alias comes after it"
)]
#[case("FROM (SELECT 1) VERSION AS OF 12", "VERSION AS OF stands where no table's name is before it")]
#[case("FROM orders VERSION AS OF 12 VERSION AS OF 13", "VERSION AS OF stands where no table's name is before it")]
#[case(
    "FROM (SELECT a VERSION AS OF 1 FROM b)",
    "VERSION AS OF stands where no table's name is before it; an alias comes after it"
)]
#[case("FROM generate_series VERSION AS OF 1 (1, 2)", "VERSION AS OF stands after a function, which has no versions")]
fn what_is_no_version_of_a_table_is_refused(#[case] from: &str, #[case] says: &str) {
    match parse_select(&format!("SELECT *\n{from}")) {
        Err(SqlError::Syntax { message, position }) => assert_eq!((message.as_str(), position.line), (says, 2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_common_table_has_no_versions() {
    let refusal = parse_select("WITH x AS (SELECT 1) SELECT * FROM x VERSION AS OF 3").unwrap_err();
    let says = "VERSION AS OF stands after a common table expression, which has no versions at line 1, column 38";
    assert_eq!(refusal.to_string(), says);
}

#[test]
fn a_query_reads_ten_older_versions_at_most() {
    let with = |count: usize| {
        let tables: Vec<String> = (0..count).map(|version| format!("orders VERSION AS OF {version}")).collect();
        parse_select(&format!("SELECT 1 FROM {}", tables.join(", ")))
    };
    assert_eq!(with(10).unwrap().reads().len(), 10);
    let refusal = with(11).unwrap_err();
    assert_eq!(refusal.to_string(), "the query is too complex: it reads more than 10 older versions of tables");
}

#[rstest]
#[case("FROM orders TABLESAMPLE (10 PERCENT)", "TABLESAMPLE")]
#[case("FROM (SELECT 1) TABLESAMPLE (10 PERCENT)", "TABLESAMPLE")]
#[case("FROM orders PARTITION (p0)", "PARTITION")]
#[case("FROM orders WITH (NOLOCK)", "WITH")]
#[case("FROM generate_series(1, 3) WITH ORDINALITY", "WITH ORDINALITY")]
fn what_the_planner_would_pass_over_is_refused(#[case] from: &str, #[case] what: &str) {
    match parse_select(&format!("SELECT * {from}")) {
        Err(SqlError::Syntax { message, .. }) => {
            assert_eq!(message, format!("{what} is not known here, of what stands in FROM"));
        }
        other => panic!("{other:?}"),
    }
}
