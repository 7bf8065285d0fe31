//! What is no SELECT, or more than one may ask.

use std::time::{Duration, Instant};

use freshet_query::{MAX_SQL_BYTES, QueryError, parse_select};
use rstest::rstest;

use crate::support::shop;

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
        Err(QueryError::NotOneSelect { found, position }) => {
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
        Err(QueryError::Syntax { position, message }) => {
            assert_eq!((position.line, position.column), (line, column), "{message}");
            assert!(!message.is_empty() && !message.contains("Line:"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case("SELECT 1")]
#[case("select 1;")]
#[case("(SELECT 1) UNION ALL (SELECT 2);")]
#[case("WITH x AS (SELECT 1 AS a) SELECT a FROM x")]
#[case("-- why\nSELECT /* what */ 1")]
#[case("SELECT * FROM generate_series(1, 3)")]
#[case("SELECT * FROM (VALUES (1), (2)) AS t (a)")]
#[case("SELECT count(*) FROM orders WHERE order_id IN (SELECT order_id FROM orders EXCEPT SELECT 'a-1')")]
#[tokio::test]
async fn what_is_one_select_is_answered(#[case] sql: &str) {
    assert!(shop().ask(sql).await.is_ok());
}

#[rstest]
#[case("SELECT * FROM 'orders.parquet'")]
#[case("SELECT * FROM '/etc/passwd'")]
#[case("SELECT * FROM \"/etc/passwd\"")]
#[case("SELECT * FROM \"file:///etc/passwd\"")]
#[case("SELECT * FROM \"s3://bucket/orders.parquet\"")]
#[case("SELECT * FROM read_csv('/etc/passwd')")]
#[case("SELECT * FROM read_parquet('/etc/passwd')")]
#[case("SELECT * FROM parquet_metadata('/etc/passwd')")]
#[case("SELECT * FROM metadata_cache()")]
#[case("SELECT * FROM TABLE(read_csv('/etc/passwd'))")]
#[case("SELECT * FROM LATERAL read_csv('/etc/passwd')")]
#[case("SELECT read_csv('/etc/passwd')")]
#[case("SELECT @@version")]
#[case("SELECT * FROM information_schema.df_settings")]
#[case("SELECT * FROM information_schema.columns")]
#[case("SELECT * FROM pg_catalog.pg_tables")]
#[case("TABLE orders")]
#[tokio::test]
async fn nothing_but_the_given_tables_is_read(#[case] sql: &str) {
    let refusal = shop().refusal(sql).await;
    let clear = matches!(
        refusal,
        QueryError::UnknownTable { .. }
            | QueryError::UnknownColumn { .. }
            | QueryError::Invalid { .. }
            | QueryError::NotOneSelect { .. }
            | QueryError::Syntax { .. }
    );
    assert!(clear, "{refusal:?}");
    assert!(!refusal.to_string().contains("root:"), "{refusal}");
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
#[tokio::test]
async fn what_is_too_complex_is_refused_unplanned(#[case] sql: String) {
    let refusal = shop().refusal(&sql).await;
    assert!(matches!(refusal, QueryError::TooComplex { .. }), "{refusal:?}");
}

#[rstest]
#[case::sum(format!("SELECT 1{} AS n", "+1".repeat(490)), 491)]
#[case::or(format!("SELECT 5 AS n FROM orders WHERE quantity = 2{}", " OR quantity = 3".repeat(490)), 5)]
#[case::concatenation(format!("SELECT length('a'{}) AS n FROM orders LIMIT 1", " || order_id".repeat(490)), 1_471)]
#[case::list(format!("SELECT count(*) AS n FROM orders WHERE quantity IN (2{})", ", 2".repeat(20_000)), 1)]
#[case::columns(format!("SELECT 7 AS n{}", (0..4_000).map(|n| format!(", order_id AS c{n}")).take(1_000).collect::<String>()) + " FROM orders LIMIT 1", 7)]
#[tokio::test]
async fn what_is_long_but_within_the_limits_is_answered(#[case] sql: String, #[case] expected: i64) {
    assert_eq!(shop().rows(&sql).await[0][0], expected);
}

#[tokio::test]
async fn common_tables_that_multiply_are_refused() {
    let levels = (1..40).map(|level| {
        let below = level - 1;
        format!(", t{level} AS (SELECT a.order_id FROM t{below} a, t{below} b)")
    });
    let levels: String = levels.collect();
    let sql = format!("WITH t0 AS (SELECT order_id FROM orders){levels} SELECT count(*) FROM t39");
    let refusal = shop().refusal(&sql).await;
    assert_eq!(
        refusal.to_string(),
        "the query is too complex: it comes to more than 200 SELECTs and tables, each common table expression counted as often as it is used"
    );
}

/// A column that each of `levels` common tables computes from the one below it.
fn chain(step: &str, levels: usize, end: &str) -> String {
    let steps = (1..levels).map(|level| format!(", t{level} AS (SELECT {step} AS x FROM t{})", level - 1));
    format!(
        "WITH t0 AS (SELECT quantity AS x FROM orders){} SELECT x FROM t{} {end}",
        steps.collect::<String>(),
        levels - 1
    )
}

#[rstest]
#[case::projected("x + x", "")]
#[case::filtered("x + x", "WHERE x > 1")]
#[case::sorted("x + x", "ORDER BY x")]
#[case::grouped("x + x", "GROUP BY x HAVING x > 2")]
#[case::united("x + x", "UNION ALL SELECT 1")]
#[case::text("concat(x, x)", "")]
#[tokio::test]
async fn expressions_that_multiply_are_refused(#[case] step: &str, #[case] end: &str) {
    let refusal = shop().refusal(&chain(step, 40, end)).await;
    assert_eq!(
        refusal.to_string(),
        "the query is too complex: an expression comes to more than 10000 parts, the columns of subqueries counted as what they stand for"
    );
}

#[tokio::test]
async fn expressions_may_build_on_each_other() {
    assert_eq!(shop().rows(&chain("x + x", 11, "WHERE x = 2048")).await, serde_json::json!([[2_048]]));
    assert_eq!(shop().rows(&chain("x + 1", 90, "WHERE x = 91")).await, serde_json::json!([[91]]));
}

#[rstest]
#[case("SELECT nosuch(1)", "nosuch")]
#[case("SELECT email, count(*) FROM orders", "email")]
#[case("SELECT 1 UNION SELECT 1, 2", "column")]
#[tokio::test]
async fn what_can_not_be_planned_is_told_in_one_line(#[case] sql: &str, #[case] says: &str) {
    let refusal = shop().refusal(sql).await;
    assert!(matches!(refusal, QueryError::Invalid { .. }), "{refusal:?}");
    let told = refusal.to_string();
    assert!(told.contains(says) && !told.contains('\n') && told.len() < 500, "{told}");
}

#[rstest]
#[case("SELECT 1 / 0", "division by zero")]
#[case("SELECT quantity / (quantity - quantity) FROM orders", "division by zero")]
#[case("SELECT CAST(email AS INT) FROM orders", "ann@example.com")]
#[case("SELECT CAST(9223372036854775807 AS DECIMAL(38,0)) * revenue * revenue * revenue FROM orders", "overflow")]
#[tokio::test]
async fn a_value_that_fails_is_told(#[case] sql: &str, #[case] says: &str) {
    let refusal = shop().refusal(sql).await;
    assert!(matches!(refusal, QueryError::Data { .. }), "{refusal:?}");
    assert!(refusal.to_string().to_lowercase().contains(says), "{refusal}");
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
#[tokio::test]
async fn deep_nesting_is_refused_at_once(
    #[case] open: &str,
    #[case] middle: &str,
    #[case] close: &str,
    #[values(17, 45, 300)] depth: usize,
) {
    let started = Instant::now();
    let sql = format!("SELECT {}{middle}{}", open.repeat(depth), close.repeat(depth));
    let refusal = shop().refusal(&sql).await;
    assert!(matches!(refusal, QueryError::TooComplex { .. }), "{refusal:?}");
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
#[tokio::test]
async fn what_doubles_with_each_level_is_refused(#[case] sql: String) {
    let refusal = shop().refusal(&sql).await;
    assert!(matches!(refusal, QueryError::TooComplex { .. }), "{refusal:?}");
}

fn numbered(numbers: std::ops::Range<usize>, part: impl Fn(usize) -> String) -> String {
    numbers.map(part).collect::<Vec<_>>().concat()
}

/// Forty columns.
fn grouped(name: &str) -> String {
    (0..40).map(|number| format!("{name}{number}")).collect::<Vec<_>>().join(", ")
}

#[rstest]
#[case::parentheses(format!("SELECT {}1{}", "(".repeat(16), ")".repeat(16)))]
#[case::casts(format!("SELECT {}1{}", "cast(".repeat(8), " as int)".repeat(8)))]
#[case::types(format!("SELECT 1{}", numbered(0..20, |n| format!(", cast([1] as array<int>) as c{n}"))))]
#[case::comparisons(format!("SELECT 1 WHERE 1 < 2{}", " AND (1 < 2 AND 3 > 2)".repeat(20)))]
#[case::subqueries(format!("SELECT {}1{}", "(SELECT ".repeat(7), ")".repeat(7)))]
#[case::common_tables(format!("WITH t0 AS (SELECT 1){} SELECT 1 FROM t30", numbered(1..31, |n| format!(", t{n} AS (SELECT * FROM t{})", n - 1))))]
#[case::cube("SELECT 1 FROM orders GROUP BY CUBE(order_id, email, gift, day, rating, quantity), ROLLUP(gift, day)".to_owned())]
#[case::analysis("SELECT coalesce(round(sum(CASE WHEN (o.gift AND (o.day > '2020-01-01' OR (o.quantity IN (1, 2)))) THEN CAST(o.revenue AS DECIMAL(18,2)) END), 2), 0), count(*) FILTER (WHERE upper(trim(substr(email, 1, 3))) = 'ANN'), rank() OVER (ORDER BY sum(o.revenue)) FROM (SELECT * FROM orders WHERE order_id IN (SELECT order_id FROM (SELECT order_id FROM orders) a)) o GROUP BY o.email".to_owned())]
#[tokio::test]
async fn sane_nesting_is_answered(#[case] sql: String) {
    let started = Instant::now();
    if let Err(refusal) = shop().ask(&sql).await {
        panic!("{refusal:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn types_that_do_not_fit_are_told() {
    let refusal = shop().refusal(&format!("SELECT 1{}", " BETWEEN 1 AND 1".repeat(245))).await;
    assert!(matches!(refusal, QueryError::Invalid { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("BETWEEN"), "{refusal}");
}
