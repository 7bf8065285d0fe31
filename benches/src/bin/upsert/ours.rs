//! A worker on our table.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use datafusion::prelude::SessionContext;
use freshet_benches::counting::Counting;
use freshet_benches::engine::{self, Keys, Place, TABLE, TOPIC};
use freshet_benches::{median, memory, orders, peer};
use freshet_table::{Table, Tables};
use object_store::local::LocalFileSystem;
use serde_json::{Value, json, to_value};
use tokio::sync::watch;

use crate::data::{Batch, Data};
use crate::worker::{Maintained, Measured, Request};

/// How often maintenance looks at the table.
const MAINTAINED_EVERY: Duration = Duration::from_millis(500);
/// Point queries of which the median is taken.
const POINT_QUERIES: u64 = 50;

pub(crate) struct Ours {
    data: Data,
    place: Place,
    files: Counting,
    tables: Tables,
    table: Option<Arc<Table>>,
}

impl Ours {
    pub(crate) fn new(data: Data, place: Place, keys: Keys) -> anyhow::Result<Self> {
        let files = Counting::new(place.files()?);
        let tables = engine::tables(Arc::new(files.clone()), keys)?;
        Ok(Self { data, place, files, tables, table: None })
    }

    pub(crate) async fn answer(&mut self, request: Request) -> anyhow::Result<Value> {
        match request {
            Request::Fill => {
                let table = self.open().await?;
                engine::fill(&table, self.data.stretches()).await?;
                Ok(Value::Null)
            }
            Request::Ready => {
                let table = self.open().await?;
                engine::index(&table).await?;
                Ok(Value::Null)
            }
            Request::Upsert(batch) => Ok(to_value(self.upsert(batch).await?)?),
            Request::Maintain { first, upserts } => Ok(to_value(self.maintain(first, upserts).await?)?),
            Request::Sums => {
                let Place::Directory(directory) = &self.place else { anyhow::bail!("sums are read from directories") };
                let files = Counting::new(Arc::new(LocalFileSystem::new()));
                let table = peer::open(&files, &directory.join(TABLE)).await?;
                Ok(json!(peer::sums(&table, self.data.amount()).await?))
            }
        }
    }

    /// The table, as the writer opens it.
    async fn open(&mut self) -> anyhow::Result<Arc<Table>> {
        if let Some(table) = &self.table {
            return Ok(Arc::clone(table));
        }
        let spec = engine::spec(self.data.schema(), self.data.key(), self.data.order_by());
        let table = self.tables.open_or_create(TABLE, &spec).await?;
        self.table = Some(Arc::clone(&table));
        Ok(table)
    }

    async fn upsert(&mut self, batch: Batch) -> anyhow::Result<Measured> {
        let slice = engine::slice(self.data.batch(batch)?)?;
        let _ = self.files.take();
        memory::reset_peak()?;
        let started = Instant::now();
        let table = self.open().await?;
        let outcome = table.write(TOPIC, vec![slice]).await?;
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let measured = Measured { milliseconds, requests: self.files.take(), peak_megabytes: memory::peak()? };
        ensure!(outcome.rows_written == batch.rows, "of {batch:?} came {outcome:?}");
        Ok(measured)
    }

    async fn maintain(&mut self, first: Batch, upserts: u64) -> anyhow::Result<Maintained> {
        let Data::Orders(orders) = self.data else { anyhow::bail!("orders are maintained here") };
        let table = self.open().await?;
        let slices = (0..upserts).map(|count| {
            let rows = self.data.batch(Batch { number: first.number + count, ..first })?;
            engine::slice(rows)
        });
        let slices = slices.collect::<anyhow::Result<Vec<_>>>()?;
        let files_before = table.details().await?.files;
        let before = point_query(&table, orders).await?;

        let (stop, mut stopped) = watch::channel(());
        let maintained = Arc::clone(&table);
        let maintenance = tokio::spawn(async move {
            loop {
                engine::maintain(&maintained).await?;
                if tokio::time::timeout(MAINTAINED_EVERY, stopped.changed()).await.is_ok() {
                    return anyhow::Ok(());
                }
            }
        });
        let mut milliseconds = Vec::new();
        for slice in slices {
            let started = Instant::now();
            table.write(TOPIC, vec![slice]).await?;
            milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        }
        drop(stop);
        maintenance.await.context("maintenance")??;
        let point_query = (before, point_query(&table, orders).await?);
        Ok(Maintained { milliseconds, point_query, files: (files_before, table.details().await?.files) })
    }
}

/// The median time of queries for an order each, which all must find it, in milliseconds.
async fn point_query(table: &Table, orders: u64) -> anyhow::Result<f64> {
    let context = SessionContext::new();
    context.register_table("t", table.provider().await?)?;
    let mut milliseconds = Vec::new();
    for number in 0..POINT_QUERIES {
        let id = orders::id(orders::mix(orders::mix(number) % orders));
        let started = Instant::now();
        let rows = context.sql(&format!("SELECT * FROM t WHERE order_id = '{id}'")).await?.collect().await?;
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        let found: usize = rows.iter().map(arrow::array::RecordBatch::num_rows).sum();
        ensure!(found == 1, "{found} rows of {id}");
    }
    Ok(median(&milliseconds))
}

/// Copies a table's files by links: what is written is never written again in its place.
pub(crate) fn copy(from: &Path, to: PathBuf) -> anyhow::Result<PathBuf> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::create_dir_all(&to)?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), target)?;
        } else {
            std::fs::hard_link(entry.path(), target)?;
        }
    }
    Ok(to)
}
