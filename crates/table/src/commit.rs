//! One attempt to bring rows into a table on top of one snapshot.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Column;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::TableKind;
use crate::incoming::Fresh;
use crate::log::COMMIT_ID;
use crate::snapshot::Snapshot;
use crate::winners::{order_columns, winners};

const SOURCE: &str = "source";
const TARGET: &str = "target";

/// A commit that took place.
pub(crate) struct Committed {
    /// The table at the new version.
    pub(crate) state: DeltaTableState,
    /// Rows inserted or updated.
    pub(crate) rows_written: usize,
}

/// A commit that fails unless the next version is the one after the snapshot that it is based on.
///
/// With retries the engine would rebase by its own rules, and those let an upsert pass a compaction that moved its rows.
/// Cleaning the log up is left to maintenance, since it lists the whole log.
pub(crate) fn strict_commit() -> CommitProperties {
    CommitProperties::default().with_max_retries(0).with_cleanup_expired_logs(Some(false))
}

pub(crate) fn properties(transactions: Vec<Transaction>, commit_id: &str) -> CommitProperties {
    strict_commit()
        .with_application_transactions(transactions)
        .with_metadata([(COMMIT_ID.to_owned(), serde_json::Value::from(commit_id))])
}

/// How data files are written.
pub(crate) fn writer_properties() -> WriterProperties {
    // Level 1, the least there is and always valid.
    let compression = Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default());
    WriterProperties::builder().set_compression(compression).build()
}

/// Brings fresh rows in, in one commit that carries `commit_id`.
pub(crate) async fn commit(
    base: &Snapshot,
    session: &SessionState,
    kind: &TableKind,
    fresh: Fresh,
    commit_id: &str,
) -> Result<Committed, DeltaTableError> {
    let Fresh { rows, transactions } = fresh;
    let properties = properties(transactions, commit_id);
    let TableKind::Upsert { key, order_by, .. } = kind else { return append(base, rows, properties).await };
    let newest = {
        let (key, order_by) = (key.clone(), order_by.clone());
        tokio::task::spawn_blocking(move || winners(&rows, &key, order_by.as_deref()))
    };
    let newest = newest.await.map_err(|error| DeltaTableError::GenericError { source: error.into() })??;
    let has_files = base.state().snapshot().try_log_data()?.num_files() > 0;
    if !has_files || newest.num_rows() == 0 {
        return append(base, newest, properties).await;
    }
    merge(base, session, key, order_by.as_deref(), newest, properties).await
}

async fn append(
    base: &Snapshot,
    rows: RecordBatch,
    properties: CommitProperties,
) -> Result<Committed, DeltaTableError> {
    let rows_written = rows.num_rows();
    let mut added = Vec::new();
    if rows_written > 0 {
        let mut writer = RecordBatchWriter::for_table(base.table())?.with_writer_properties(writer_properties());
        writer.write(rows).await?;
        added = writer.flush().await?;
    }
    let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    let finalized = CommitBuilder::from(properties)
        .with_actions(added.into_iter().map(Action::Add).collect())
        .build(Some(base.state()), base.table().log_store(), operation)
        .await?;
    Ok(Committed { state: finalized.snapshot(), rows_written })
}

async fn merge(
    base: &Snapshot,
    session: &SessionState,
    key: &[String],
    order_by: Option<&str>,
    newest: RecordBatch,
    properties: CommitProperties,
) -> Result<Committed, DeltaTableError> {
    let columns: Vec<String> = newest.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
    let same_key = all(key.iter().map(|name| source(name).eq(target(name))));
    let newer = newer(&order_columns(order_by));
    let rows = SessionContext::new_with_state(session.clone()).read_batch(newest.slice(0, newest.num_rows()))?;
    let (mut table, metrics) = base
        .table()
        .clone()
        .merge(rows, same_key)
        .with_source_alias(SOURCE)
        .with_target_alias(TARGET)
        .with_session_state(Arc::new(session.clone()))
        .with_writer_properties(writer_properties())
        .with_commit_properties(properties.clone())
        .when_matched_update(|update| {
            let update = update.predicate(newer);
            columns.iter().fold(update, |update, name| update.update(Column::from_name(name), source(name)))
        })?
        .when_not_matched_insert(|insert| {
            columns.iter().fold(insert, |insert, name| insert.set(Column::from_name(name), source(name)))
        })?
        .await?;
    let state = table.state.take().ok_or(DeltaTableError::NotInitialized)?;
    if state.version() == base.version() {
        // Every row was superseded, and a merge that changes nothing commits nothing: the offsets move on all the same.
        return append(base, newest.slice(0, 0), properties).await;
    }
    Ok(Committed { state, rows_written: metrics.num_target_rows_inserted + metrics.num_target_rows_updated })
}

fn source(name: &str) -> Expr {
    Expr::Column(Column::new(Some(SOURCE), name))
}

fn target(name: &str) -> Expr {
    Expr::Column(Column::new(Some(TARGET), name))
}

fn all(conditions: impl Iterator<Item = Expr>) -> Expr {
    conditions.reduce(Expr::and).unwrap_or_else(|| datafusion::logical_expr::lit(true))
}

/// Whether the source's order is greater than the target's, column by column, nulls first.
fn newer(columns: &[&str]) -> Expr {
    let Some((name, less_significant)) = columns.split_first() else { return datafusion::logical_expr::lit(false) };
    let greater = source(name).is_not_null().and(target(name).is_null().or(source(name).gt(target(name))));
    if less_significant.is_empty() {
        return greater;
    }
    let both_null = source(name).is_null().and(target(name).is_null());
    let equal = both_null.or(source(name).eq(target(name)));
    greater.or(equal.and(newer(less_significant)))
}
