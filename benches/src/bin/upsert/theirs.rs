//! A worker on the peer's table, which deltalake has written itself from the first row on, with its own defaults.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use deltalake_core::DeltaTable;
use freshet_benches::counting::Counting;
use freshet_benches::{memory, peer};
use object_store::local::LocalFileSystem;
use serde_json::{Value, json, to_value};

use crate::data::{Batch, Data};
use crate::worker::{Measured, Request};

pub(crate) struct Theirs {
    data: Data,
    directory: PathBuf,
    files: Counting,
    table: Option<DeltaTable>,
}

impl Theirs {
    pub(crate) fn new(data: Data, directory: PathBuf) -> Self {
        Self { data, directory, files: Counting::new(Arc::new(LocalFileSystem::new())), table: None }
    }

    pub(crate) async fn answer(&mut self, request: Request) -> anyhow::Result<Value> {
        match request {
            Request::Fill => {
                let mut table = peer::create(&self.files, &self.directory, &self.data.schema()).await?;
                for rows in self.data.stretches() {
                    table = table.write([rows?]).await?;
                }
                self.table = Some(table);
                Ok(Value::Null)
            }
            Request::Ready => {
                self.table = Some(peer::open(&self.files, &self.directory).await?);
                Ok(Value::Null)
            }
            Request::Upsert(batch) => Ok(to_value(self.merge(batch).await?)?),
            Request::Sums => {
                let table = peer::open(&self.files, &self.directory).await?;
                Ok(json!(peer::sums(&table, self.data.amount()).await?))
            }
            Request::Maintain { .. } => anyhow::bail!("deltalake isn't measured while it is maintained"),
        }
    }

    async fn merge(&mut self, batch: Batch) -> anyhow::Result<Measured> {
        let rows = self.data.batch(batch)?;
        let table = self.table.take().context("a table that is open")?;
        let _ = self.files.take();
        memory::reset_peak()?;
        let started = Instant::now();
        let table = peer::merge(table, rows, self.data.identity()).await?;
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let measured = Measured { milliseconds, requests: self.files.take(), peak_megabytes: memory::peak()? };
        peer::tidy(&table, &self.directory)?;
        self.table = Some(table);
        Ok(measured)
    }
}
