//! What is no SELECT, or more than one may ask.

use std::time::{Duration, Instant};

use freshet_sql::{MAX_SQL_BYTES, SqlError, parse_select};
use rstest::rstest;

#[rstest]
#[case("", 1, 1, "nothing")]
#[case("  -- only a comment", 1, 1, "nothing")]
#[case(";", 1, 1, ";")]
#[case("INSERT INTO orders VALUES (1)", 1, 1, "INSERT")]
#[case("\n  UPDATE orders SET quantity = 0", 2, 3, "UPDATE")]
#[case("DELETE FROM orders", 1, 1, "DELETE")]
#[case("CREATE TABLE x AS SELECT 1", 1, 1, "CREATE")]
#[case("CREATE VIEW v AS SELECT 1", 1, 1, "CREATE")]
#[case("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", 1, 1, "CREATE")]
#[case("DROP TABLE orders", 1, 1, "DROP")]
#[case("COPY orders TO '/tmp/x.parquet'", 1, 1, "COPY")]
#[case("EXPLAIN SELECT 1", 1, 1, "EXPLAIN")]
#[case("SHOW TABLES", 1, 1, "SHOW")]
#[case("DESCRIBE orders", 1, 1, "DESCRIBE")]
#[case("SET datafusion.execution.batch_size = 1", 1, 1, "SET")]
#[case("RESET datafusion.execution.batch_size", 1, 1, "RESET")]
#[case("PREPARE p AS SELECT 1", 1, 1, "PREPARE")]
#[case("BEGIN", 1, 1, "BEGIN")]
#[case("ATTACH DATABASE 'x' AS y", 1, 1, "ATTACH")]
#[case("VALUES (1)", 1, 1, "VALUES")]
#[case("SELECT 1; SELECT 2", 1, 11, "a second statement")]
#[case("SELECT 1;\n DROP TABLE orders", 2, 2, "a second statement")]
#[case("SELECT 1 UNION VALUES (2)", 1, 16, "VALUES")]
#[case("SELECT * INTO copy FROM orders", 1, 10, "INTO")]
#[case("SELECT * FROM orders FOR UPDATE", 1, 22, "FOR")]
#[case("WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x", 1, 12, "DELETE")]
#[case("WITH x AS (SELECT 1) INSERT INTO orders SELECT * FROM x", 1, 22, "INSERT")]
#[case("WITH x AS (SELECT 1) DELETE FROM orders", 1, 22, "DELETE")]
fn only_one_select_is_read(#[case] sql: &str, #[case] line: u64, #[case] column: u64, #[case] told: &str) {
    match parse_select(sql) {
        Err(SqlError::NotOneSelect { found, position }) => {
            assert_eq!((position.line, position.column), (line, column), "{found}");
            assert_eq!(found, format!("found {told}"));
        }
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case("SELECT * FROM orders WHERE", 1, 27)]
#[case("SELECT * FROM orders WHERE GROUP BY 1", 1, 34)]
#[case("SELECT a,\n       b c d\nFROM orders", 2, 12)]
#[case("SELECT (1", 1, 10)]
#[case("SELECT 'open", 1, 8)]
#[case("SELECT 1)", 1, 9)]
#[case("SELECT 1 /* open", 1, 17)]
fn what_is_no_sql_is_refused_with_its_place(#[case] sql: &str, #[case] line: u64, #[case] column: u64) {
    match parse_select(sql) {
        Err(SqlError::Syntax { position, message }) => {
            assert_eq!((position.line, position.column), (line, column), "{message}");
            assert!(!message.is_empty() && !message.contains("Line:"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::text(format!("SELECT '{}'", "x".repeat(MAX_SQL_BYTES)))]
#[case::parentheses(format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)))]
#[case::subqueries(format!("{}1{}", "SELECT (".repeat(1_000), ")".repeat(1_000)))]
#[case::calls(format!("SELECT {}1{}", "abs(".repeat(5_000), ")".repeat(5_000)))]
#[case::not(format!("SELECT {} true", "NOT ".repeat(20_000)))]
#[case::minus(format!("SELECT {}1", "- ".repeat(40_000)))]
#[case::sum(format!("SELECT 1{}", "+1".repeat(49_000)))]
#[case::or(format!("SELECT true{}", " OR true".repeat(12_000)))]
#[case::shorter_sum(format!("SELECT 1{}", "+1".repeat(501)))]
#[case::casts(format!("SELECT 1{}", "::int".repeat(15_000)))]
#[case::is_null(format!("SELECT 1{}", " IS NULL".repeat(10_000)))]
#[case::case_when(format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(2_000), " END".repeat(2_000)))]
#[case::unions(format!("SELECT 1{}", " UNION SELECT 1".repeat(5_000)))]
#[case::joins(format!("SELECT 1 FROM orders{}", ", orders".repeat(5_000)))]
#[case::derived(format!("{}SELECT 1{}", "SELECT * FROM (".repeat(500), ") AS x".repeat(500)))]
fn what_is_too_complex_is_refused_unplanned(#[case] sql: String) {
    let refusal = parse_select(&sql).unwrap_err();
    assert!(matches!(refusal, SqlError::TooComplex { .. }), "{refusal:?}");
}

#[test]
fn common_tables_that_multiply_are_refused() {
    let levels = (1..40).map(|level| {
        let below = level - 1;
        format!(", t{level} AS (SELECT a.order_id FROM t{below} a, t{below} b)")
    });
    let levels: String = levels.collect();
    let sql = format!("WITH t0 AS (SELECT order_id FROM orders){levels} SELECT count(*) FROM t39");
    let refusal = parse_select(&sql).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the query is too complex: it comes to more than 200 SELECTs and tables, each common table expression counted as often as it is used"
    );
}

#[rstest]
#[case::lists("array[", "1", "")]
#[case::casts("cast(", "1", " as")]
#[case::closed_casts("cast(", "1", " as int)")]
#[case::tries("try_cast(", "1", " as int")]
#[case::conversions("convert(", "1", ")")]
#[case::overlays("overlay(", "1", ")")]
#[case::maps("map {", "1", "}")]
#[case::types("cast(1 as array<", "int", ">)")]
#[case::parentheses("(", "1", ")")]
#[case::exists("exists(select ", "1", ")")]
#[case::filters("count(*) filter (where ", "true", ")")]
#[case::windows("count(*) over (order by ", "1", ")")]
fn deep_nesting_is_refused_at_once(
    #[case] open: &str,
    #[case] middle: &str,
    #[case] close: &str,
    #[values(17, 45, 300)] depth: usize,
) {
    let started = Instant::now();
    let sql = format!("SELECT {}{middle}{}", open.repeat(depth), close.repeat(depth));
    let refusal = parse_select(&sql).unwrap_err();
    assert!(matches!(refusal, SqlError::TooComplex { .. }), "{refusal:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[rstest]
#[case::common_tables(format!("{}select 1{}", "with t as (".repeat(9), ") select 1".repeat(9)))]
#[case::exists(format!("select {}1{}", "exists(select ".repeat(9), ")".repeat(9)))]
#[case::filters(format!("select {}true{}", "count(*) filter (where ".repeat(5), ")".repeat(5)))]
#[case::windows(format!("select {}1{}", "count(*) over (order by ".repeat(5), ")".repeat(5)))]
#[case::cube(format!("select count(*) from (select {}) group by cube({})", grouped("1 c"), grouped("c")))]
#[case::with_cube(format!("select count(*) from (select {}) group by {} with cube", grouped("1 c"), grouped("c")))]
#[case::cubes("select count(*) from orders group by cube(order_id, email, gift, day, rating, quantity), cube(order_id, email, gift, day, rating, quantity), cube(gift)".to_owned())]
#[case::rollups(format!("select count(*) from orders group by {}", ["rollup(order_id, email, gift, day, rating, quantity)"; 5].join(", ")))]
fn what_doubles_with_each_level_is_refused(#[case] sql: String) {
    let refusal = parse_select(&sql).unwrap_err();
    assert!(matches!(refusal, SqlError::TooComplex { .. }), "{refusal:?}");
}

/// Forty columns.
fn grouped(name: &str) -> String {
    (0..40).map(|number| format!("{name}{number}")).collect::<Vec<_>>().join(", ")
}
