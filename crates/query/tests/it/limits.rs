//! Bounds in rows, bytes, time, memory and disk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use freshet_query::{EngineSettings, Parameters, Query, QueryEngine, QueryError, QueryTable, SqlError, parse_select};
use futures::StreamExt;
use rstest::rstest;
use serde_json::json;

use crate::support::{Shop, settings, shop, shown};

/// A table without end that counts what is read of it.
#[derive(Debug)]
struct Endless {
    schema: SchemaRef,
    batches: Arc<AtomicUsize>,
}

impl PartitionStream for Endless {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, batches) = (Arc::clone(&self.schema), Arc::clone(&self.batches));
        let stream = futures::stream::unfold(0_i64, move |next| {
            let column = Arc::new(Int64Array::from_iter_values(next..next + 8_192));
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
            batches.fetch_add(1, Ordering::SeqCst);
            async move { Some((Ok(batch), next + 8_192)) }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

/// A table `endless` beside the others, and how many batches were made of it.
pub(crate) fn with_endless() -> (Shop, Arc<AtomicUsize>) {
    let batches = Arc::new(AtomicUsize::new(0));
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let endless = Endless { schema: Arc::clone(&schema), batches: Arc::clone(&batches) };
    let columns = shown(&schema);
    let provider = Arc::new(StreamingTable::try_new(schema, vec![Arc::new(endless)]).unwrap());
    let mut shop = shop();
    shop.tables.push(QueryTable { name: "endless".to_owned(), version: None, provider, columns });
    (shop, batches)
}

#[tokio::test]
async fn rows_beyond_the_limit_are_left_out_and_told() {
    let (mut shop, _) = with_endless();
    shop.limit = 2;
    let body = shop.ask("SELECT order_id FROM orders ORDER BY order_id").await.unwrap();
    assert_eq!((&body["rows"], &body["truncated"]), (&json!([["a-1"], ["a-2"]]), &json!(true)));
    shop.limit = 3;
    let body = shop.ask("SELECT order_id FROM orders ORDER BY order_id").await.unwrap();
    assert_eq!((&body["row_count"], &body["truncated"]), (&json!(3), &json!(false)));
    let body = shop.ask("SELECT n FROM endless").await.unwrap();
    assert_eq!((&body["rows"], &body["truncated"]), (&json!([[0], [1], [2]]), &json!(true)));
}

#[rstest]
#[case::aggregate("SELECT sum(n) FROM endless")]
#[case::filter("SELECT n FROM endless WHERE n < 0")]
#[case::cross_join(
    "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b WHERE a.value + b.value < 0"
)]
#[case::cross_join_of_all(
    "SELECT max(a.value + b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000000) b"
)]
#[case::skewed_join(
    "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000000) b ON a.value % 1 = b.value % 1 AND a.value + b.value < 0"
)]
#[case::skewed_join_of_all(
    "SELECT max(a.value + b.value) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000000) b ON a.value % 1 = b.value % 1"
)]
#[case::outer_join(
    "SELECT count(*) FROM generate_series(1, 1000000) a LEFT JOIN generate_series(1, 1000000000) b ON a.value + b.value < 0"
)]
#[case::not_in(
    "SELECT count(*) FROM generate_series(1, 1000000) a WHERE NOT EXISTS (SELECT 1 FROM generate_series(1, 1000000000) b WHERE a.value + b.value < 0)"
)]
#[case::series("SELECT sum(value) FROM generate_series(1, 9000000000000000000)")]
#[case::recursion("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t")]
#[case::constant_recursion("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT 1 FROM t) SELECT max(n) FROM t")]
#[tokio::test]
async fn a_query_without_end_is_ended(#[case] sql: &str) {
    let (mut shop, batches) = with_endless();
    // One thread: if it were not given back, nothing would be answered any more.
    let directory = tempfile::tempdir().unwrap();
    shop.engine = QueryEngine::new(EngineSettings { threads: 1, ..settings(&directory) }).unwrap();
    shop.timeout = Duration::from_millis(300);
    let started = Instant::now();
    let refusal = shop.refusal(sql).await;
    assert!(matches!(refusal, QueryError::Timeout { .. } | QueryError::TooMuchMemory { .. }), "{refusal:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Its work is given up, too: reading stops, and the threads answer others.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let before = batches.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        if batches.load(Ordering::SeqCst) == before {
            break;
        }
        assert!(Instant::now() < deadline, "it is still reading");
    }
    shop.timeout = Duration::from_secs(10);
    assert_eq!(shop.rows("SELECT count(*) FROM orders").await, json!([[3]]));
}

#[rstest]
#[case::join(
    "SELECT count(*) FROM generate_series(1, 20000000) a JOIN generate_series(1, 20000000) b ON a.value = b.value"
)]
#[case::distinct("SELECT array_agg(value) FROM generate_series(1, 50000000)")]
#[case::repeat("SELECT repeat('x', 2000000000)")]
#[case::repeat_of_rows("SELECT sum(length(repeat('x', value))) FROM generate_series(1, 100000)")]
#[case::concatenated(
    "SELECT length(x || x || x || x || x || x || x || x) FROM (SELECT repeat('x', 40000000 + value) AS x FROM generate_series(1, 1))"
)]
#[case::concatenated_by_name(
    "SELECT length(concat(x, x, x, x, x, x, x, x)) FROM (SELECT repeat('x', 20000000 + value) AS x FROM generate_series(1, 2))"
)]
#[case::joined(
    "SELECT length(concat_ws(x, 'a', 'b', 'c', 'd', 'e', 'f', 'g')) FROM (SELECT repeat('x', 40000000 + value) AS x FROM generate_series(1, 1))"
)]
#[case::replaced(
    "SELECT length(replace(x, 'x', x)) FROM (SELECT repeat('x', 100000 + value) AS x FROM generate_series(1, 1))"
)]
#[case::replaced_by_pattern(
    "SELECT length(regexp_replace(x, '', x, 'g')) FROM (SELECT repeat('x', 100000 + value) AS x FROM generate_series(1, 1))"
)]
#[case::padded("SELECT lpad('x', 2000000000, 'y')")]
#[case::padded_by_a_column(
    "SELECT max(length(lpad('a', 200000, CAST(value AS VARCHAR)))) FROM generate_series(1, 8192)"
)]
#[case::constants("SELECT length(replace(repeat('a', 200000), 'a', repeat('b', 200000)))")]
#[case::one_constant("SELECT repeat('a', 20000)")]
#[case::overlaid(
    "SELECT max(length(overlay(x PLACING x FROM 1 FOR 0))) FROM (SELECT repeat('x', 700000 + value) AS x FROM generate_series(1, 2))"
)]
#[case::captured(
    "SELECT regexp_match(x, '((((((((x*))))))))') FROM (SELECT repeat('x', 200000 + value) AS x FROM generate_series(1, 2))"
)]
#[case::joined_elements(
    "SELECT max(length(array_to_string(string_to_array(repeat('x,', 5000 + value), ','), repeat('y', 5000)))) FROM generate_series(1, 2)"
)]
#[case::lists(
    "SELECT max(array_length([x, x, x, x, x, x, x, x])) FROM (SELECT repeat('x', 200000 + value) AS x FROM generate_series(1, 2))"
)]
#[case::window("SELECT max(s) FROM (SELECT sum(value) OVER () AS s FROM generate_series(1, 100000000))")]
#[case::window_of_parts(
    "SELECT max(s) FROM (SELECT sum(value) OVER (PARTITION BY value % 2) AS s FROM generate_series(1, 100000000))"
)]
#[case::window_that_holds_values(
    "SELECT max(m), max(length(t)) FROM (SELECT t, median(value) OVER (ORDER BY value ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS m FROM (SELECT value, repeat('x', 10000 + value % 2) AS t FROM generate_series(1, 20000)))"
)]
#[case::rows("SELECT sum(length(repeat('x', 80000 + value % 2))) FROM generate_series(1, 8192)")]
#[case::format("SELECT max(to_char(now(), repeat('%A', 10000 + value))) FROM generate_series(1, 2)")]
#[tokio::test]
async fn a_query_of_too_much_memory_is_ended(#[case] sql: &str) {
    let refusal = shop().refusal(sql).await;
    assert!(matches!(refusal, QueryError::TooMuchMemory { .. }), "{refusal:?}");
    assert!(!refusal.to_string().contains("spill"), "{refusal}");
}

/// Windows that stream hold little, and are bounded by time alone.
#[tokio::test]
async fn a_window_that_streams_is_not_counted() {
    let sql = "SELECT max(s) FROM (SELECT row_number() OVER () + lag(value, 1, 0) OVER () AS s FROM generate_series(1, 3000000))";
    assert_eq!(shop().rows(sql).await, json!([[5_999_999]]));
}

#[rstest]
#[case("SELECT array_agg(value) OVER (ORDER BY value) FROM generate_series(1, 10)", "array_agg")]
#[case("SELECT string_agg('x', ',') OVER () FROM generate_series(1, 10)", "string_agg")]
#[tokio::test]
async fn what_gathers_values_is_refused_over_a_window(#[case] sql: &str, #[case] name: &str) {
    let refusal = shop().refusal(sql).await;
    assert!(matches!(refusal, QueryError::Sql(SqlError::TooComplex { .. })), "{refusal:?}");
    assert!(refusal.to_string().contains(&format!("use {name} with GROUP BY")), "{refusal}");
}

#[tokio::test]
async fn a_sort_beyond_memory_goes_to_disk_and_leaves_nothing_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = shop();
    shop.engine = QueryEngine::new(EngineSettings { memory_bytes: 16 << 20, ..settings(&directory) }).unwrap();
    shop.limit = 2;
    let sql = "SELECT * FROM (SELECT value, row_number() OVER (ORDER BY value DESC) AS r FROM generate_series(1, 2000000)) WHERE r % 1000000 = 0 ORDER BY r";
    let body = shop.ask(sql).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(body["rows"], json!([[1_000_001, 1_000_000], [1, 2_000_000]]));
    assert!(body["statistics"]["bytes_spilled"].as_u64().unwrap() > 0, "{body}");
    let left = || std::fs::read_dir(directory.path().join("spill")).unwrap().count();
    let deadline = Instant::now() + Duration::from_secs(10);
    while left() > 0 {
        assert!(Instant::now() < deadline, "the spilled files are still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_result_of_too_many_bytes_is_refused() {
    let mut shop = shop();
    shop.answer_bytes = 100_000;
    shop.limit = 100_000;
    let refusal = shop.refusal("SELECT repeat('x', 1000) FROM generate_series(1, 100000)").await;
    let told = refusal.to_string();
    assert!(matches!(refusal, QueryError::ResultTooLarge { limit: 100_000, rows: 99 }), "{refusal:?}");
    assert_eq!(
        told,
        "the result is larger than 100000 bytes: select fewer columns, or set a smaller limit than 99 rows"
    );
}

#[tokio::test]
async fn an_engine_may_be_dropped_where_it_is_used() {
    let shop = shop();
    assert_eq!(shop.rows("SELECT 1").await, json!([[1]]));
    drop(shop);
}

#[tokio::test]
async fn long_values_among_short_ones_are_computed_in_slices() {
    let sql = "SELECT sum(length(rpad(CAST(value AS VARCHAR), CASE WHEN value % 4000 = 1 THEN 15000 ELSE 4 END, '.'))), \
               max(concat(value % 10, repeat('x', CASE WHEN value = 7 THEN 50000 ELSE 1 END))) FROM generate_series(1, 8192)";
    let rows = shop().rows(sql).await;
    assert_eq!(rows[0][0], 3 * 15_000 + 8_189 * 4);
    assert_eq!(rows[0][1], "9x");
}

/// `count` expressions, each made of its number.
fn columns(count: usize, expression: impl Fn(usize) -> String) -> String {
    (0..count).map(|number| format!("{} AS c{number}", expression(number))).collect::<Vec<_>>().join(", ")
}

#[rstest]
#[case::folded(format!("SELECT {}", columns(400, |n| format!("repeat('a', {})", 16_000 - n))))]
#[case::written(format!("SELECT {} FROM generate_series(1, 100000)", columns(7, |n| format!("'{}{n}'", "x".repeat(12_000)))))]
#[case::called(format!("SELECT {} FROM generate_series(1, 9)", columns(51, |n| format!("repeat('a', value + {n})"))))]
#[case::lists(format!("SELECT {} FROM generate_series(1, 9)", columns(51, |n| format!("[value, {n}]"))))]
#[case::long_text(format!("SELECT length('{}')", "x".repeat(17_000)))]
#[tokio::test]
async fn a_query_of_too_large_rows_is_refused(#[case] sql: String) {
    let refusal = shop().refusal(&sql).await;
    assert!(matches!(refusal, QueryError::Sql(SqlError::TooComplex { .. })), "{refusal:?}");
}

#[tokio::test]
async fn a_parameter_has_a_bounded_length() {
    let refusal = shop().refusal_with("SELECT $1", &json!(["x".repeat(17_000)]).to_string()).await;
    assert_eq!(refusal.to_string(), "parameter $1 is longer than 16384 bytes");
}

#[rstest]
#[case::constant(
    "SELECT levenshtein(a, b) FROM (SELECT repeat('a', 16000) AS a, repeat('b', 16000) AS b), generate_series(1, 2)"
)]
#[case::rows("SELECT max(levenshtein(repeat('a', 300000 + value), repeat('b', 300000))) FROM generate_series(1, 2)")]
#[case::many_rows(
    "SELECT max(levenshtein(repeat('a', 2000 + value % 2), repeat('b', 2000))) FROM generate_series(1, 8192)"
)]
#[case::lists(
    "SELECT array_has_all(x, x) FROM (SELECT string_to_array(repeat('x,', 50000 + value), ',') AS x FROM generate_series(1, 2))"
)]
#[tokio::test]
async fn a_function_of_too_many_steps_is_refused(#[case] sql: &str) {
    let refusal = shop().refusal(sql).await;
    assert!(matches!(refusal, QueryError::Data { .. } | QueryError::TooMuchMemory { .. }), "{refusal:?}");
    assert_eq!(shop().rows("SELECT levenshtein('kitten', 'sitting')").await, json!([[3]]));
}

/// A table whose reading blocks its thread until it is let go.
#[derive(Debug)]
struct Stuck {
    schema: SchemaRef,
    go: Arc<Mutex<Receiver<()>>>,
}

impl PartitionStream for Stuck {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let go = Arc::clone(&self.go);
        let stream = futures::stream::poll_fn(move |_| {
            let _let_go = go.lock().unwrap().recv();
            Poll::Ready(None)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

#[tokio::test]
async fn a_permit_is_held_until_the_last_work_has_ended() {
    let (let_go, go) = channel();
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let stuck = Stuck { schema: Arc::clone(&schema), go: Arc::new(Mutex::new(go)) };
    let columns = shown(&schema);
    let provider = Arc::new(StreamingTable::try_new(schema, vec![Arc::new(stuck)]).unwrap());
    let shop = shop();
    let permit = Arc::new(());
    let query = Query {
        // It is read by a task that the query's own spawns.
        select: parse_select("SELECT n, count(*) FROM stuck GROUP BY n").unwrap(),
        parameters: Parameters::default(),
        tables: vec![QueryTable { name: "stuck".to_owned(), version: None, provider, columns }],
        limit: Some(10),
        sorted_by_text: None,
        timeout: Duration::from_millis(200),
        as_of: "2026-06-14T00:24:16Z".parse().unwrap(),
    };
    let mut rows = shop.engine.start(query, Arc::clone(&permit)).await.unwrap();
    let refusal = rows.next().await.unwrap().unwrap_err();
    drop(rows);
    assert!(matches!(refusal, QueryError::Timeout { .. }), "{refusal:?}");
    for _ in 0..5 {
        assert_eq!(shop.rows("SELECT 1").await, json!([[1]]));
    }
    assert_eq!(Arc::strong_count(&permit), 2, "the work goes on");
    drop(let_go);
    let deadline = Instant::now() + Duration::from_secs(30);
    while Arc::strong_count(&permit) > 1 {
        assert!(Instant::now() < deadline, "the permit is still held");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn joins_repeat_long_values_for_few_rows_at_once() {
    let columns = columns(5, |n| format!("repeat('x', 60000 - value - {n})"));
    let most: Vec<String> = (0..5).map(|n| format!("max(length(c{n}))")).collect();
    let sql = format!(
        "SELECT {}, max(c0 = CAST(b.value AS VARCHAR)) FROM (SELECT {columns} FROM generate_series(1, 8)) a, generate_series(1, 500) b",
        most.join(", ")
    );
    assert_eq!(shop().rows(&sql).await, json!([[59_999, 59_998, 59_997, 59_996, 59_995, false]]));
}
