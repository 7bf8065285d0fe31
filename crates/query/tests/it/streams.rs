//! Rows as they come: bounded ahead of who takes them, ended with them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, StringViewArray};
use freshet_query::{Format, QueryError, Rows};
use futures::StreamExt;
use rstest::rstest;

use crate::limits::with_endless;
use crate::support::{Shop, shop, table, whole};

async fn start(shop: &Shop, sql: &str, limit: Option<usize>) -> Rows {
    let mut query = shop.query(sql, "[]").unwrap();
    query.limit = limit;
    shop.engine.start(query, ()).await.unwrap()
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn without_a_limit_all_rows_come() {
    let shop = shop();
    let mut rows = start(&shop, "SELECT value FROM generate_series(1, 300000)", None).await;
    assert_eq!((rows.columns[0].name.as_str(), rows.columns[0].type_name.as_str()), ("value", "integer"));
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        assert!(rows.summary().is_none());
        count += batch.unwrap().num_rows();
    }
    let summary = rows.summary().unwrap();
    assert_eq!((count, summary.rows, summary.truncated), (300_000, 300_000, false));
    assert!(rows.next().await.is_none());
}

#[tokio::test]
async fn no_more_is_made_than_is_taken() {
    let (shop, made) = with_endless();
    let mut rows = start(&shop, "SELECT n FROM endless", None).await;
    for _ in 0..5 {
        rows.next().await.unwrap().unwrap();
    }
    let mut before = 0;
    eventually("it goes on without being asked", || {
        std::mem::replace(&mut before, made.load(Ordering::SeqCst)) == made.load(Ordering::SeqCst)
    })
    .await;
    assert!(before <= 20, "{before} batches were made for 5");
    drop(rows);
}

#[rstest]
#[case::rows(false)]
#[case::encoded(true)]
#[tokio::test]
async fn rows_that_are_dropped_end_their_work(#[case] encoded: bool) {
    let (shop, _) = with_endless();
    let permit = Arc::new(());
    let mut query = shop.query("SELECT n FROM endless", "[]").unwrap();
    query.limit = None;
    let mut rows = shop.engine.start(query, Arc::clone(&permit)).await.unwrap();
    if encoded {
        let mut pieces = rows.encode(Format::Csv, None);
        pieces.next().await.unwrap().unwrap();
        assert!(Arc::strong_count(&permit) > 1);
        drop(pieces);
    } else {
        rows.next().await.unwrap().unwrap();
        assert!(Arc::strong_count(&permit) > 1);
        drop(rows);
    }
    eventually("the permit is still held", || Arc::strong_count(&permit) == 1).await;
}

/// A join that doesn't yield, with the writing of its rows on the same thread.
#[tokio::test]
async fn a_join_in_the_middle_of_an_answer_ends_with_it() {
    let shop = shop();
    let permit = Arc::new(());
    let sql = "SELECT a.value FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b WHERE a.value < 100000 OR a.value + b.value < 0";
    let mut query = shop.query(sql, "[]").unwrap();
    query.limit = None;
    let mut pieces = shop.engine.start(query, Arc::clone(&permit)).await.unwrap().encode(Format::NdJson, None);
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    eventually("the permit is still held", || Arc::strong_count(&permit) == 1).await;
}

#[tokio::test]
async fn a_query_whose_rows_nobody_takes_ends_at_its_deadline() {
    let (mut shop, _) = with_endless();
    shop.timeout = Duration::from_millis(300);
    let mut rows = start(&shop, "SELECT n FROM endless", None).await;
    let held = Arc::new(());
    let mut query = shop.query("SELECT n FROM endless", "[]").unwrap();
    query.limit = None;
    let waiting = shop.engine.start(query, Arc::clone(&held)).await.unwrap();
    // Neither is taken; the time of both runs out.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let refusal = loop {
        match rows.next().await.unwrap() {
            Ok(_) => {}
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, QueryError::Timeout { .. }), "{refusal:?}");
    assert!(rows.next().await.is_none());
    assert!(rows.summary().is_none());
    drop(waiting);
    eventually("the permit is still held", || Arc::strong_count(&held) == 1).await;
}

#[tokio::test]
async fn an_error_in_the_middle_ends_the_rows() {
    let shop = shop();
    let mut rows = start(&shop, "SELECT 10 / (150000 - value) AS v FROM generate_series(1, 300000)", None).await;
    let mut count = 0;
    let refusal = loop {
        match rows.next().await.unwrap() {
            Ok(batch) => count += batch.num_rows(),
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, QueryError::Data { .. }), "{refusal:?}");
    // Threads go through the rows side by side, so later ones may come before the one that fails.
    assert!(count > 0 && count < 300_000, "{count}");
    assert!(rows.next().await.is_none());
    assert!(rows.summary().is_none());
}

/// A text that all rows share in memory.
fn with_long_text(bytes: usize) -> Shop {
    let mut shop = shop();
    let text: ArrayRef = Arc::new(StringViewArray::from(vec!["x".repeat(bytes)]));
    shop.tables.push(table("long", vec![("t", text)]));
    shop
}

#[tokio::test]
async fn texts_that_rows_share_are_copied_a_few_at_once() {
    let shop = with_long_text(900_000);
    let mut rows = start(&shop, "SELECT t, value FROM long, generate_series(1, 2000)", None).await;
    let (mut count, mut largest) = (0, 0);
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap();
        count += batch.num_rows();
        largest = largest.max(batch.get_array_memory_size());
    }
    assert_eq!(count, 2_000);
    assert!(largest < 2 << 20, "{largest}");
}

#[tokio::test]
async fn a_row_of_too_many_bytes_is_refused() {
    let shop = with_long_text(900_000);
    let columns: Vec<String> = (0..20).map(|number| format!("t AS c{number}")).collect();
    let sql = format!("SELECT {} FROM long", columns.join(", "));
    for format in Format::ALL {
        let rows = start(&shop, &sql, None).await;
        let refusal = whole(rows.encode(format, None)).await.unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "a row of the result is larger than 16777216 bytes: select fewer columns, or gather less into one value"
        );
    }
}

#[tokio::test]
async fn a_result_without_columns_has_its_rows() {
    let shop = shop();
    let rows = start(&shop, "SELECT FROM orders", None).await;
    let (body, summary) = whole(rows.encode(Format::NdJson, None)).await.unwrap();
    assert_eq!((String::from_utf8(body).unwrap().as_str(), summary.rows), ("{}\n{}\n{}\n", 3));
}
