//! Our tables, as the benches open and fill them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use freshet_table::{IndexSettings, Maintenance, Merge, Slice, Table, TableKind, TableSpec, Tables};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use serde::{Deserialize, Serialize};
use url::Url;

/// Where a bench's table lies among its files.
pub const TABLE: &str = "tables/bench/measured";
/// The topic that its rows are said to come from.
pub const TOPIC: &str = "bench";

/// Where files lie.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Place {
    /// In a directory.
    Directory(PathBuf),
    /// In a bucket of an S3 server.
    Bucket {
        /// The server's URL.
        endpoint: String,
        /// The bucket's name.
        name: String,
        /// Who may do everything in it.
        access_key: String,
        /// Its secret.
        secret_key: String,
    },
}

impl Place {
    /// The files there.
    ///
    /// # Errors
    /// There are none.
    pub fn files(&self) -> anyhow::Result<Arc<dyn ObjectStore>> {
        Ok(match self {
            Self::Directory(directory) => {
                std::fs::create_dir_all(directory)?;
                Arc::new(LocalFileSystem::new_with_prefix(directory)?)
            }
            Self::Bucket { endpoint, name, access_key, secret_key } => Arc::new(
                AmazonS3Builder::new()
                    .with_endpoint(endpoint)
                    .with_allow_http(true)
                    .with_bucket_name(name)
                    .with_region("us-east-1")
                    .with_access_key_id(access_key)
                    .with_secret_access_key(secret_key)
                    .with_conditional_put(S3ConditionalPut::ETagMatch)
                    .build()?,
            ),
        })
    }
}

/// What a process keeps of the keys of its tables.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Keys {
    /// In memory, at most.
    pub memory_bytes: usize,
    /// Where they are kept for the next process.
    pub directory: Option<PathBuf>,
}

/// The tables in some files.
///
/// # Errors
/// None that is to be expected.
pub fn tables(files: Arc<dyn ObjectStore>, keys: Keys) -> anyhow::Result<Tables> {
    let Keys { memory_bytes, directory } = keys;
    let settings = IndexSettings { memory_bytes, directory, ..IndexSettings::default() };
    Ok(Tables::new(files, Url::parse("file:///")?).with_index(settings))
}

/// A table that keeps the newest row of each key.
#[must_use]
pub fn spec(schema: SchemaRef, key: &[&str], order_by: Option<&str>) -> TableSpec {
    let key = key.iter().map(|&name| name.to_owned()).collect();
    TableSpec { schema, kind: TableKind::Upsert { key, order_by: order_by.map(str::to_owned), merge: Merge::Replace } }
}

/// Rows as the writer hands them over: they say themselves which offsets they come from.
///
/// # Errors
/// They don't.
pub fn slice(rows: RecordBatch) -> anyhow::Result<Slice> {
    let offsets = rows.column_by_name("_offset").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let offsets = offsets.context("rows without offsets")?.values();
    let row_offsets = offsets.iter().map(|&offset| u64::try_from(offset)).collect::<Result<Vec<_>, _>>()?;
    let (first, last) = row_offsets.first().zip(row_offsets.last()).context("no rows")?;
    let offsets = *first..*last + 1;
    Ok(Slice { partition: 0, offsets, rows, row_offsets, deletes: None, absent: BTreeMap::new() })
}

/// Brings rows into a table, as they come.
///
/// # Errors
/// They can't be made or written.
pub async fn fill(table: &Table, stretches: impl Iterator<Item = anyhow::Result<RecordBatch>>) -> anyhow::Result<()> {
    for rows in stretches {
        table.write(TOPIC, vec![slice(rows?)?]).await?;
    }
    Ok(())
}

/// Brings what is kept of a table's keys up to its newest version.
///
/// # Errors
/// The table can't be read.
pub async fn index(table: &Table) -> anyhow::Result<()> {
    Ok(table.build_index().await?)
}

/// Does what the table's maintenance has to do now.
///
/// # Errors
/// The table can't be read or written.
pub async fn maintain(table: &Table) -> anyhow::Result<()> {
    table.maintain(&Maintenance::default()).await?;
    Ok(())
}
