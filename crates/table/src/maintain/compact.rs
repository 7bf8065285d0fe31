//! Writing files again: small ones together, without dead rows, sorted by key into files whose ranges are disjoint.
//!
//! Upserts go on meanwhile, and both win. An upsert that lost to a compaction finds its rows in the new files and tries again
//! ([`crate::Table::write`]). A compaction that lost to upserts looks up, by key, where the rows that they made dead have gone in
//! its new files, and gives those files deletion vectors for them. Only if another writer has written the same files again is its work
//! thrown away.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Column;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake_core::kernel::Add;
use freshet_model::system;
use futures::StreamExt;
use roaring::RoaringTreemap;
use tracing::debug;

use super::Maintenance;
use super::choice::choose;
use super::vacuum::remove;
use crate::batch::{Batch, nullable};
use crate::commit::{Attempt, Attempts, Change, as_commit};
use crate::data_file::{FileWriter, writer_properties};
use crate::file::{DataFile, now_in_milliseconds};
use crate::incoming::Fresh;
use crate::index::Source;
use crate::order::order_columns;
use crate::parquet_file::ParquetFile;
use crate::plan::DeadRows;
use crate::protocol::{check_writable, takes_deletion_vectors};
use crate::rows::as_stored;
use crate::search::{Search, search};
use crate::snapshot::Snapshot;
use crate::spec::UpsertKind;
use crate::table::{MAX_ATTEMPTS, wait};
use crate::upsert::{NewFile, Vectors};
use crate::wanted::Wanted;
use crate::{Table, TableError, TableKind};

/// Bytes of rows in memory that make a file: about 100 MB of it.
const FILE_BYTES: usize = 384 << 20;
/// Bytes of memory that sorting takes. What doesn't fit goes to the system's directory for temporary files.
const SORT_BYTES: usize = 256 << 20;
/// Sorts at a time. Several would each need memory to be put together, which can't be had back by spilling.
const SORT_PARTITIONS: usize = 1;

/// What a compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that the newest version no longer has.
    pub files_removed: usize,
    /// Files that it has in their place.
    pub files_added: usize,
    /// Rows in these.
    pub rows: u64,
    /// Tombstones that were old enough to go.
    pub tombstones_expired: u64,
}

/// New files, which no version names yet.
struct Rewritten {
    files: Vec<Add>,
    tombstones: Option<NewFile>,
    rows: u64,
    tombstones_expired: u64,
}

impl Table {
    /// Writes files again that are worth it.
    pub(super) async fn compact(&self, maintenance: &Maintenance) -> Result<Compacted, TableError> {
        let base = self.newest().await?;
        let kind = match base.kind() {
            Some(TableKind::Replaced) | None => return Ok(Compacted::default()),
            Some(kind) => kind.upsert(),
        };
        check_writable(&self.path, base.protocol(), base.metadata())?;
        let first_key = kind.as_ref().and_then(|kind| kind.key.first()).map(String::as_str);
        let sources = choose(&base, first_key, maintenance);
        if sources.is_empty() {
            return Ok(Compacted::default());
        }
        let rewritten = self.rewrite(&base, kind.as_ref(), &sources, maintenance.tombstone_retention).await?;
        let names = rewritten.names();
        let committed = self.commit_rewritten(&base, kind.as_ref(), &sources, rewritten).await;
        if !matches!(committed, Ok(Some(_))) {
            // They are not removed: an attempt to commit them may have taken place, or still take place, whatever its answer was. If
            // nobody names them, the vacuum removes them.
            self.index.forget(names.iter().map(AsRef::as_ref));
        }
        Ok(committed?.unwrap_or_default())
    }

    async fn rewrite(
        &self,
        base: &Snapshot,
        kind: Option<&UpsertKind>,
        sources: &[Arc<DataFile>],
        tombstone_retention: Duration,
    ) -> Result<Rewritten, TableError> {
        let expected: Option<u64> =
            sources.iter().map(|file| Some(file.rows()?.saturating_sub(file.dead_count()))).sum();
        let (files, rows) = self.write_sorted(base, kind, sources).await?;
        if expected.is_some_and(|expected| expected != rows) {
            remove(&*self.files, files.iter().map(|add| add.path.as_str().into()).collect()).await;
            return Err(self.miscounted(format!("{rows} rows were read where the log says {expected:?}")));
        }
        let (mut tombstones, mut tombstones_expired) = (None, 0);
        if let Some(kind) = kind {
            (tombstones, tombstones_expired) =
                self.rewrite_tombstones(base, kind, sources, tombstone_retention).await?;
        }
        Ok(Rewritten { files, tombstones, rows, tombstones_expired })
    }

    /// Writes the live rows of files to new ones, sorted by key.
    async fn write_sorted(
        &self,
        base: &Snapshot,
        kind: Option<&UpsertKind>,
        sources: &[Arc<DataFile>],
    ) -> Result<(Vec<Add>, u64), TableError> {
        let failed = |error: datafusion::error::DataFusionError| {
            TableError::from_query(format!("compacting table {}", self.path), error)
        };
        let key: &[String] = kind.map_or(&[], |kind| &kind.key);
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(SORT_BYTES))).build_arc();
        let config = SessionConfig::new().with_target_partitions(SORT_PARTITIONS);
        let session = SessionContext::new_with_config_rt(config, runtime.map_err(failed)?);
        let rows = session.read_table(self.provider_of(base.restricted_to(sources))).map_err(failed)?;
        let by: Vec<_> = key.iter().map(|name| Expr::Column(Column::from_name(name)).sort(true, true)).collect();
        let rows = if by.is_empty() { rows } else { rows.sort(by).map_err(failed)? };
        let mut rows = rows.execute_stream().await.map_err(failed)?;
        let schema = nullable(&base.schema());
        let properties = writer_properties(&schema, key, u64::MAX, 0);
        let mut writer = FileWriter::new(&self.path, self.files.clone(), schema.clone(), properties, Some(FILE_BYTES));
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            let batch = as_stored(&batch.map_err(failed)?, &schema).map_err(|error| failed(error.into()))?;
            count += batch.num_rows() as u64;
            writer.write(&batch).await?;
        }
        Ok((writer.close().await?, count))
    }

    /// Writes the tombstones of files that are not too old to one new file. They are read from the files themselves: no reader of the
    /// table sees them.
    async fn rewrite_tombstones(
        &self,
        base: &Snapshot,
        kind: &UpsertKind,
        sources: &[Arc<DataFile>],
        retention: Duration,
    ) -> Result<(Option<NewFile>, u64), TableError> {
        let failed = |error| TableError::of_rows(format!("compacting table {}", self.path), error);
        let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let oldest = now_in_milliseconds().saturating_mul(1_000).saturating_sub(retention);
        let schema = nullable(&base.schema());
        let all: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let (mut kept, mut expired) = (Vec::new(), 0);
        for source in sources {
            let file = ParquetFile::open(self.files.clone(), &self.path, source).await?;
            let positions: RoaringTreemap = (file.first_tombstone()..file.rows()).collect();
            if positions.is_empty() {
                continue;
            }
            for stretch in file.read_rows(&all, &positions).await? {
                let rows = as_stored(&stretch.rows, &schema).map_err(failed)?;
                let is_young = written_since(&rows, oldest);
                expired += (is_young.len() - is_young.true_count()) as u64;
                kept.push(filter_record_batch(&rows, &is_young).map_err(failed)?);
            }
        }
        let rows = concat_batches(&schema, &kept).map_err(failed)?;
        let tombstones = newest_of_each_key(rows, kind).map_err(failed)?;
        let none = tombstones.slice(0, 0);
        Ok((self.place().put_rows(base, &kind.key, &none, &tombstones, None).await?, expired))
    }

    /// Puts new files in the place of others. None: another writer was first with some of them.
    async fn commit_rewritten(
        &self,
        base: &Snapshot,
        kind: Option<&UpsertKind>,
        sources: &[Arc<DataFile>],
        rewritten: Rewritten,
    ) -> Result<Option<Compacted>, TableError> {
        let new: Vec<Arc<DataFile>> = rewritten.files.iter().cloned().map(|add| Arc::new(DataFile::new(add))).collect();
        if let Some(source) = Source::new(base.clone(), self.files.clone()) {
            // Before they are named, so that no upsert has to search in them.
            self.index.prepare(&source, &new).await?;
        }
        let mut attempts = Attempts::default();
        loop {
            let newest = self.newest().await?;
            let current: Option<Vec<Arc<DataFile>>> =
                sources.iter().map(|source| newest.file(source.name()).cloned()).collect();
            let Some(current) = current else {
                debug!(table = self.path, "another writer has written the same files again");
                return Ok(None);
            };
            let dead = self.dead_since(kind, sources, &current, &newest, &new).await?;
            let Some(dead) = dead else { return Ok(None) };
            let (added, known) = self.with_vectors(&rewritten, &new, &dead).await?;
            let compacted = Compacted {
                files_removed: current.len(),
                files_added: added.len(),
                rows: rewritten.rows,
                tombstones_expired: rewritten.tombstones_expired,
            };
            let change = Change {
                operation: "OPTIMIZE",
                metrics: vec![
                    ("numRemovedFiles", compacted.files_removed as u64),
                    ("numAddedFiles", compacted.files_added as u64),
                ],
                added,
                removed: current.iter().map(|file| file.removed(false)).collect(),
                ..Change::default()
            };
            let id = attempts.next();
            let next = newest.version() + 1;
            match attempts.make(&*self.files, &self.path, next, &change, &id).await? {
                Attempt::Made { version, id: made } => {
                    if made == id && version == next {
                        self.show(newest.after(&self.path, as_commit(change, &id), known)?).await;
                    }
                    return Ok(Some(compacted));
                }
                Attempt::Taken if attempts.count() >= MAX_ATTEMPTS => return Ok(None),
                Attempt::Failed(error) if attempts.count() >= MAX_ATTEMPTS => {
                    return Err(TableError::from_files(format!("committing: table {}", self.path), error));
                }
                Attempt::Taken | Attempt::Failed(_) => wait(attempts.count()).await,
            }
        }
    }

    /// The rows of new files that others have made dead in the old ones since those were read. None: they can't be told.
    async fn dead_since(
        &self,
        kind: Option<&UpsertKind>,
        sources: &[Arc<DataFile>],
        current: &[Arc<DataFile>],
        newest: &Snapshot,
        new: &[Arc<DataFile>],
    ) -> Result<Option<DeadRows>, TableError> {
        let failed = |error| TableError::of_rows(format!("compacting table {}", self.path), error);
        let mut gone: Vec<RecordBatch> = Vec::new();
        for (before, now) in sources.iter().zip(current) {
            let was_dead = before.dead(&*self.files, &self.path).await?;
            let is_dead = now.dead(&*self.files, &self.path).await?;
            if !was_dead.is_subset(&is_dead) {
                // Rows came back to life: another engine has restored the file.
                return Ok(None);
            }
            let since = &*is_dead - &*was_dead;
            if since.is_empty() {
                continue;
            }
            let Some(kind) = kind else { return Ok(None) };
            let file = ParquetFile::open(self.files.clone(), &self.path, now).await?;
            let mut columns: Vec<&str> = kind.key.iter().map(String::as_str).collect();
            columns.extend(order_columns(kind.order_by.as_deref()));
            let schema = newest.schema();
            for stretch in file.read_rows(&columns, &since).await? {
                let kept: Vec<usize> = columns
                    .iter()
                    .filter_map(|name| schema.index_of(name).ok())
                    .collect::<std::collections::BTreeSet<_>>()
                    .into_iter()
                    .collect();
                let narrow = Arc::new(nullable(&schema).project(&kept).map_err(failed)?);
                gone.push(as_stored(&stretch.rows, &narrow).map_err(failed)?);
            }
        }
        let mut dead = DeadRows::default();
        let (Some(kind), Some(first)) = (kind, gone.first()) else { return Ok(Some(dead)) };
        if !takes_deletion_vectors(newest.protocol(), newest.metadata()) {
            return Ok(None);
        }
        let rows = concat_batches(&first.schema(), &gone).map_err(failed)?;
        let rows = newest_of_each_key(rows, kind).map_err(failed)?;
        let order_by = kind.order_by.as_deref();
        let hasher = self.index.hasher();
        let wanted = Arc::new(Wanted::new(&rows, &kind.key, order_by, &hasher).map_err(failed)?);
        let in_new = Search {
            table: self.path.as_str().into(),
            files: self.files.clone(),
            schema: newest.schema(),
            key: kind.key.clone(),
            order_by: kind.order_by.clone(),
            hasher,
            wanted: wanted.clone(),
            exact: false,
        };
        let hits = search(Arc::new(in_new), new.to_vec()).await?;
        let mut found = vec![false; wanted.len()];
        for hit in hits {
            dead.insert(&hit.file, hit.row);
            if let Some(found) = found.get_mut(hit.wanted) {
                *found = true;
            }
        }
        if found.iter().any(|found| !found) {
            return Err(self.miscounted("a row that is dead in an old file is not in the new ones".to_owned()));
        }
        Ok(Some(dead))
    }

    fn miscounted(&self, what: String) -> TableError {
        TableError::Corrupt { context: format!("compacting table {}", self.path), source: what.into() }
    }

    /// The new files with their vectors, and those of them whose dead rows are known.
    async fn with_vectors(
        &self,
        rewritten: &Rewritten,
        new: &[Arc<DataFile>],
        dead: &DeadRows,
    ) -> Result<(Vec<Add>, Vec<DataFile>), TableError> {
        let tombstones = rewritten.tombstones.as_ref();
        let vectors = self.place().put_vectors(dead, 0, tombstones.map_or(0, |new| new.tombstones), false).await?;
        let Vectors { known: with_vectors, .. } = &vectors;
        let whole = new.iter().filter(|file| !with_vectors.iter().any(|(add, _)| add.path == file.name()));
        let whole: Vec<Add> = whole.map(|file| file.add().clone()).collect();
        let (mut added, mut known) = vectors.files(tombstones);
        known.extend(whole.iter().cloned().map(DataFile::new));
        added.extend(whole);
        for add in &mut added {
            add.data_change = false;
        }
        Ok((added, known))
    }
}

impl Rewritten {
    fn names(&self) -> Vec<object_store::path::Path> {
        let tombstones = self.tombstones.iter().map(|new| &new.add);
        self.files.iter().chain(tombstones).map(|add| add.path.as_str().into()).collect()
    }
}

/// Rows that were written at a time (in microseconds) or after it, or at no time that is known.
fn written_since(rows: &RecordBatch, time: i64) -> BooleanArray {
    let written = rows.column_by_name(system::WRITTEN_AT).and_then(|column| cast(column, &DataType::Int64).ok());
    let Some(written) = written else { return BooleanArray::from(vec![true; rows.num_rows()]) };
    written
        .as_primitive::<Int64Type>()
        .iter()
        .map(|written| Some(written.is_none_or(|written| written >= time)))
        .collect()
}

fn newest_of_each_key(rows: RecordBatch, kind: &UpsertKind) -> Result<RecordBatch, arrow::error::ArrowError> {
    let deletes = BooleanArray::from(vec![false; rows.num_rows()]);
    let fresh = Fresh { rows, deletes, absent: std::collections::BTreeMap::new(), transactions: Vec::new() };
    Ok(Batch::newest(&fresh, &kind.key, kind.order_by.as_deref())?.rows)
}
