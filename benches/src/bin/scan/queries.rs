//! The queries, and who answers them.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::prelude::SessionContext;

/// TPC-H's first and sixth query in shape, over orders. What all must find alike is in the last column.
pub(crate) const SHAPES: [(&str, &str); 2] = [
    (
        "TPC-H Q1's shape",
        "SELECT status, channel, sum(quantity), sum(revenue), sum(revenue * (1 - discount)), \
         sum(revenue * (1 - discount) * (1 + tax)), avg(quantity), avg(revenue), avg(discount), count(*) \
         FROM t WHERE order_datetime <= '2024-11-06T00:00:00Z' GROUP BY status, channel ORDER BY status, channel",
    ),
    (
        "TPC-H Q6's shape",
        "SELECT CAST(sum(revenue * discount) AS DOUBLE) FROM t \
         WHERE order_datetime >= '2024-02-01T00:00:00Z' AND order_datetime < '2024-04-01T00:00:00Z' \
         AND discount BETWEEN CAST(0.05 AS DECIMAL(15, 2)) AND CAST(0.07 AS DECIMAL(15, 2)) AND quantity < 24",
    ),
];

/// Once to warm, and once more, as it is in a process that runs.
const DUCKDB: &str = "\
import duckdb_delta, sys, time
connection = duckdb_delta.connect()
place, sql = sys.argv[1:]
connection.execute(f\"CREATE VIEW t AS SELECT * FROM delta_scan('{place}')\")
connection.execute(sql).fetchall()
started = time.perf_counter()
rows = connection.execute(sql).fetchall()
print((time.perf_counter() - started) * 1000)
print(sum(row[-1] for row in rows))
";

/// A query's time, and the sum of its last column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) milliseconds: f64,
    sum: f64,
}

impl Asked {
    /// Whether both found the same, but for how they round.
    pub(crate) fn agrees(self, other: Self) -> bool {
        (self.sum - other.sum).abs() <= self.sum.abs() * 1e-9
    }
}

/// Asks for one order, which must be there, and says how long that takes in milliseconds.
pub(crate) async fn point(context: &SessionContext, id: &str) -> anyhow::Result<f64> {
    let started = Instant::now();
    let rows = context.sql(&format!("SELECT * FROM t WHERE order_id = '{id}'")).await?.collect().await?;
    let milliseconds = started.elapsed().as_secs_f64() * 1e3;
    let found: usize = rows.iter().map(RecordBatch::num_rows).sum();
    ensure!(found == 1, "{found} rows of {id}");
    Ok(milliseconds)
}

pub(crate) async fn by_provider(context: &SessionContext, sql: &str) -> anyhow::Result<Asked> {
    let started = Instant::now();
    let batches = context.sql(sql).await?.collect().await?;
    let milliseconds = started.elapsed().as_secs_f64() * 1e3;
    let mut sum = 0.0;
    for batch in &batches {
        let last = cast(batch.columns().last().context("columns")?, &DataType::Float64)?;
        sum += last.as_primitive::<Float64Type>().iter().flatten().sum::<f64>();
    }
    ensure!(sum != 0.0, "nothing was found by {sql}");
    Ok(Asked { milliseconds, sum })
}

pub(crate) async fn by_duckdb(place: &Path, sql: &str) -> anyhow::Result<Asked> {
    let place = place.to_str().context("a place in Unicode")?;
    let printed = freshet_testkit::python_script(DUCKDB, &[place, sql]).await?;
    let (milliseconds, sum) = printed.trim().split_once('\n').context("two lines")?;
    Ok(Asked { milliseconds: milliseconds.parse()?, sum: sum.parse()? })
}
