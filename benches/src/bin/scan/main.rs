//! Queries of a table of ours with deletion vectors, by our provider, by deltalake's, and by DuckDB's reader of Delta tables.
//!
//! All three read the same files, warm, with as many threads as there are cores, and must find the same. DuckDB's times are taken inside
//! Python, without its start.

mod queries;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use datafusion::prelude::SessionContext;
use freshet_benches::counting::Counting;
use freshet_benches::engine::{self, Keys, Place, TABLE, TOPIC};
use freshet_benches::{Must, Row, bench_directory, is_quick, median, orders, peer, report, say};
use object_store::local::LocalFileSystem;

use crate::queries::{Asked, SHAPES, by_duckdb, by_provider, point};

/// Orders in the table.
const ORDERS: u64 = 10_000_000;
/// Upserts into it, of so many rows each.
const UPSERTS: u64 = 20;
const UPSERTED: usize = 10_000;
/// Orders that are asked for by id.
const POINTS: u64 = 40;
/// Times that each aggregate is asked for.
const ROUNDS: usize = 7;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let orders = if is_quick() { ORDERS / 10 } else { ORDERS };
    let directory = bench_directory("scan-")?;
    let place = directory.path().join(TABLE);
    let ours = make(directory.path(), orders).await?;
    let files = Counting::new(Arc::new(LocalFileSystem::new()));
    let theirs = SessionContext::new();
    theirs.register_table("t", peer::open(&files, &place).await?.table_provider().await?)?;

    let mut rows = vec![points(&ours, &theirs, orders).await?];
    for shape in SHAPES {
        rows.extend(aggregates(&ours, &theirs, &place, shape).await?);
    }
    Ok(if report("scan", &rows)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the table, and a session that queries it by our provider.
async fn make(directory: &Path, orders: u64) -> anyhow::Result<SessionContext> {
    say(&format!("filling a table with {orders} orders …"));
    let keys = Keys { memory_bytes: 256 << 20, directory: Some(directory.join("keys")) };
    let tables = engine::tables(Place::Directory(directory.to_owned()).files()?, keys)?;
    let spec = engine::spec(orders::schema(), &[orders::KEY], Some(orders::ORDER_BY));
    let table = tables.open_or_create(TABLE, &spec).await?;
    engine::fill(&table, orders::stretches(orders)).await?;
    say(&format!("upserting {UPSERTED} rows {UPSERTS} times …"));
    engine::index(&table).await?;
    for number in 1..=UPSERTS {
        table.write(TOPIC, vec![engine::slice(orders::batch(orders, number, UPSERTED, 80)?)?]).await?;
    }
    let context = SessionContext::new();
    context.register_table("t", table.provider().await?)?;
    Ok(context)
}

async fn points(ours: &SessionContext, theirs: &SessionContext, orders: u64) -> anyhow::Result<Row> {
    say(&format!("asking for {POINTS} orders by id, both providers …"));
    let (mut mine, mut peers) = (Vec::new(), Vec::new());
    for number in 0..POINTS {
        let id = orders::id(orders::mix(orders::mix(number) % orders));
        mine.push(point(ours, &id).await?);
        peers.push(point(theirs, &id).await?);
    }
    let (ours, peer) = (median(&mine), median(&peers));
    let what = format!("an order by id of {orders}, beside deltalake's provider");
    Ok(Row::new(what, "ms", ours, Some(peer), Must::AtMost(peer / 8.0)))
}

async fn aggregates(
    ours: &SessionContext,
    theirs: &SessionContext,
    place: &Path,
    (name, sql): (&str, &str),
) -> anyhow::Result<[Row; 2]> {
    say(&format!("asking {name} {ROUNDS} times, all three …"));
    let (mut mine, mut peers, mut duckdb) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let by_us = by_provider(ours, sql).await?;
        let by_deltalake = by_provider(theirs, sql).await?;
        let by_duckdb = by_duckdb(place, sql).await?;
        for (who, asked) in [("deltalake", by_deltalake), ("duckdb", by_duckdb)] {
            anyhow::ensure!(by_us.agrees(asked), "{name}: {by_us:?} by us and {asked:?} by {who}");
        }
        // The first is there to warm.
        if round > 0 {
            let milliseconds = |asked: Asked| asked.milliseconds;
            mine.push(milliseconds(by_us));
            peers.push(milliseconds(by_deltalake));
            duckdb.push(milliseconds(by_duckdb));
        }
    }
    let (ours, peer, duckdb) = (median(&mine), median(&peers), median(&duckdb));
    Ok([
        Row::new(format!("{name}, beside deltalake's provider"), "ms", ours, Some(peer), Must::AtMost(peer)),
        Row::new(format!("{name}, beside DuckDB"), "ms", ours, Some(duckdb), Must::AtMost(1.5 * duckdb)),
    ])
}
