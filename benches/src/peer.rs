//! The peer: `deltalake` itself, as its own documentation has one use it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::SessionContext;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::StructType;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::counting::Counting;

/// What a MERGE tells rows apart by, and which of two is the newer.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The columns of the key.
    pub key: &'a [&'a str],
    /// The column whose greater value is the newer.
    pub order_by: &'a str,
}

/// Makes an empty table.
///
/// # Errors
/// There is one, or it can't be written.
pub async fn create(files: &Counting, directory: &Path, schema: &SchemaRef) -> anyhow::Result<DeltaTable> {
    std::fs::create_dir_all(directory)?;
    let columns: StructType = schema.as_ref().try_into_kernel()?;
    let log_store = log_store(files, directory)?;
    Ok(CreateBuilder::new().with_log_store(log_store).with_columns(columns.fields().cloned()).await?)
}

/// Opens a table, ours or its own, at its newest version.
///
/// # Errors
/// There is none.
pub async fn open(files: &Counting, directory: &Path) -> anyhow::Result<DeltaTable> {
    let mut table = DeltaTable::new(log_store(files, directory)?);
    table.load().await?;
    Ok(table)
}

/// Updates the rows whose keys are there and inserts the others.
///
/// # Errors
/// The MERGE fails.
pub async fn merge(table: DeltaTable, rows: RecordBatch, identity: Identity<'_>) -> anyhow::Result<DeltaTable> {
    let columns: Vec<String> = rows.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
    let source = |name: &str| Expr::Column(Column::new(Some("source"), name));
    let target = |name: &str| Expr::Column(Column::new(Some("target"), name));
    let same = identity.key.iter().map(|name| source(name).eq(target(name))).reduce(Expr::and).unwrap_or(lit(true));
    let newer = source(identity.order_by).gt_eq(target(identity.order_by));
    let rows = SessionContext::new().read_batch(rows)?;
    let (table, _) = table
        .merge(rows, same)
        .with_source_alias("source")
        .with_target_alias("target")
        .when_matched_update(|update| {
            let update = update.predicate(newer);
            columns.iter().fold(update, |update, name| update.update(Column::from_name(name), source(name)))
        })?
        .when_not_matched_insert(|insert| {
            columns.iter().fold(insert, |insert, name| insert.set(Column::from_name(name), source(name)))
        })?
        .await?;
    Ok(table)
}

/// Removes the files that the newest version has no more: a MERGE leaves behind all that it wrote anew.
///
/// # Errors
/// The table or its directory can't be read.
pub fn tidy(table: &DeltaTable, directory: &Path) -> anyhow::Result<()> {
    let snapshot = table.snapshot()?;
    let kept: Vec<String> = snapshot.snapshot().try_log_data()?.iter().map(|file| file.path().into_owned()).collect();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let is_left = entry.file_name().to_str().is_some_and(|name| kept.iter().all(|kept| kept != name));
        if is_left && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The count of a table's rows and the sum of a column, as it reads them.
///
/// # Errors
/// The table can't be read.
pub async fn sums(table: &DeltaTable, column: &str) -> anyhow::Result<(i64, f64)> {
    let context = SessionContext::new();
    context.register_table("t", table.table_provider().await?)?;
    let rows = context.sql(&format!("SELECT count(*), CAST(sum({column}) AS DOUBLE) FROM t")).await?.collect().await?;
    let batch = rows.first().context("no sums")?;
    let count = batch.column(0).as_primitive_opt::<Int64Type>().context("a count")?;
    let sum = batch.column(1).as_primitive_opt::<Float64Type>().context("a sum")?;
    anyhow::ensure!(count.len() == 1 && *sum.data_type() == DataType::Float64, "no sums");
    Ok((count.value(0), sum.value(0)))
}

/// By a URL of its own: what a session reads by the URL of a directory it reads past `files`, uncounted.
fn log_store(files: &Counting, directory: &Path) -> anyhow::Result<LogStoreRef> {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let url = Url::parse(&format!("bench://table-{}/", OPENED.fetch_add(1, Ordering::Relaxed)))?;
    let prefix = object_store::path::Path::from_absolute_path(std::path::absolute(directory)?)?;
    let of_table = Arc::new(PrefixStore::new(files.clone(), prefix));
    Ok(default_logstore(Arc::clone(&of_table) as _, of_table, &url, &StorageConfig::default()))
}
