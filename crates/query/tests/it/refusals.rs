//! What a query may not do, and what it may.

use std::time::{Duration, Instant};

use freshet_query::{QueryError, SqlError};
use rstest::rstest;

use crate::support::shop;

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
            | QueryError::Sql(SqlError::NotOneSelect { .. } | SqlError::Syntax { .. } | SqlError::TableFunction { .. })
    );
    assert!(clear, "{refusal:?}");
    assert!(!refusal.to_string().contains("root:"), "{refusal}");
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

fn numbered(numbers: std::ops::Range<usize>, part: impl Fn(usize) -> String) -> String {
    numbers.map(part).collect::<Vec<_>>().concat()
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
