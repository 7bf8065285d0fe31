//! Bounds in rows, bytes, time, memory and disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use freshet_query::{EngineSettings, QueryEngine, QueryError, QueryTable};
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

fn with_endless() -> (Shop, Arc<AtomicUsize>) {
    let batches = Arc::new(AtomicUsize::new(0));
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let endless = Endless { schema: Arc::clone(&schema), batches: Arc::clone(&batches) };
    let columns = shown(&schema);
    let provider = Arc::new(StreamingTable::try_new(schema, vec![Arc::new(endless)]).unwrap());
    let mut shop = shop();
    shop.tables.push(QueryTable { name: "endless".to_owned(), provider, columns });
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
#[tokio::test]
async fn a_query_of_too_much_memory_is_ended(#[case] sql: &str) {
    let refusal = shop().refusal(sql).await;
    assert!(matches!(refusal, QueryError::TooMuchMemory { .. }), "{refusal:?}");
    assert!(!refusal.to_string().contains("spill"), "{refusal}");
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
    let directory = tempfile::tempdir().unwrap();
    let mut shop = shop();
    shop.engine = QueryEngine::new(EngineSettings { answer_bytes: 100_000, ..settings(&directory) }).unwrap();
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
async fn zz_probe() {
    use datafusion::execution::SessionStateDefaults;
    let mut n: Vec<String> = SessionStateDefaults::default_scalar_functions().iter().map(|f| format!("{}{:?}", f.name(), f.aliases())).collect();
    n.sort();
    println!("{}", n.join(" "));
    let mut n: Vec<String> = SessionStateDefaults::default_aggregate_functions().iter().map(|f| f.name().to_owned()).collect();
    n.sort();
    println!("AGG {}", n.join(" "));
    for depth in [8, 10, 12, 14, 16] {
        for (open, middle, close) in [("(", "1", ")"), ("array[", "1", "]"), ("array[", "1", ""), ("cast(", "1", " as int)"), ("cast(", "1", " as"), ("[", "1", "]"), ("{'a': ", "1", "}"), ("abs(", "1", ")"), ("case when (", "1", ") then 1 end"), ("(select ", "1", ")"), ("exists (select ", "1", ")"), ("try_cast(", "1", " as int"), ("(", "1", ""), ("interval (", "1", ")"), ("1 in (", "1", ")"), ("extract(day from ", "1", ")"), ("substring(", "1", " from 1)"), ("(1, ", "1", ")"), ("struct(", "1", ")"), ("x -> (", "1", ")"), ("f(a => ", "1", ")"), ("convert(", "1", ")"), ("ceil(", "1", ")"), ("position(", "1", " in 'a')"), ("trim(", "1", ")"), ("overlay(", "1", ")"), ("not (", "1", ")"), ("map {", "1", "}"), ("(x,y) -> (", "1", ")"), ("count(*) filter (where ", "1", ")"), ("(select * from (", "select 1", "))"),
        ] {
            let sql = format!("select {}{middle}{}", open.repeat(depth), close.repeat(depth));
            let t = Instant::now();
            let r = freshet_query::parse_select(&sql);
            let e = t.elapsed();
            if e > Duration::from_millis(20) { println!("{depth} {open} {close} {:?} {}", e, r.map_or_else(|e| e.to_string(), |_| "ok".into())); }
        }
    }
    for sql in [format!("select 1{}", " between 1 and 1".repeat(245))] {
        println!("{:.600}", format!("{:?}", shop().refusal(&sql).await));
    }
}
