//! A version of a table for DataFusion.
//!
//! Files are left out by their partition values and the log's statistics; of the others, row groups and pages by their own
//! statistics, bloom filters and the page index; filters run in the decoder. Dead rows are skipped by row selections, so
//! that all of this works on files with deletion vectors too.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics, ToDFSchema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::RowSelection;
use roaring::RoaringTreemap;
use url::Url;

use crate::file::DataFile;
use crate::snapshot::Snapshot;
use crate::statistics::{honest, partition_value};

/// Bytes of footers and page indexes that a process keeps, over all tables.
const METADATA_CACHE_BYTES: usize = 64 << 20;
/// Deletion vectors read at a time.
const READS_AT_A_TIME: usize = 8;

/// What the scans of a process share.
pub(crate) struct Reading {
    files: Arc<dyn ObjectStore>,
    url: ObjectStoreUrl,
    metadata: Arc<FileMetadataCache>,
}

impl Reading {
    /// Scans of tables in `files`, which plans name by `url`: a scheme and a host.
    pub(crate) fn new(files: Arc<dyn ObjectStore>, url: &str) -> Self {
        let metadata = Arc::new(DefaultCache::new(METADATA_CACHE_BYTES));
        // A name that is not one would only be that of the local file system's, which no scan of ours reads by.
        let url = ObjectStoreUrl::parse(url).unwrap_or_else(|_| ObjectStoreUrl::local_filesystem());
        Self { files, url, metadata }
    }
}

/// A table as of one version.
pub(crate) struct Provider {
    path: String,
    snapshot: Snapshot,
    /// The table's own files: names in the log are relative to it.
    files: Arc<dyn ObjectStore>,
    reading: Arc<Reading>,
    schema: SchemaRef,
    table_schema: TableSchema,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = self.snapshot.version();
        f.debug_struct("Provider").field("path", &self.path).field("version", &version).finish_non_exhaustive()
    }
}

impl Provider {
    pub(crate) fn new(path: &str, snapshot: Snapshot, files: Arc<dyn ObjectStore>, reading: Arc<Reading>) -> Self {
        let schema = snapshot.query_schema().clone();
        let partitioned = snapshot.metadata().partition_columns();
        let of_partition = |name: &String| schema.fields().iter().find(|field| field.name() == name).cloned();
        let partition_fields: Vec<FieldRef> = partitioned.iter().filter_map(of_partition).collect();
        let file_fields: Vec<FieldRef> =
            schema.fields().iter().filter(|field| !partitioned.contains(field.name())).cloned().collect();
        let table_schema = TableSchema::builder(Arc::new(Schema::new(file_fields)))
            .with_table_partition_cols(partition_fields)
            .build();
        Self { path: path.to_owned(), snapshot, files, reading, schema, table_schema }
    }

    /// The files that a predicate may find rows in, and what is known of each.
    fn candidates(&self, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Vec<(Arc<DataFile>, Arc<Statistics>)> {
        let all: Vec<_> = self.snapshot.files().map(|file| (file.clone(), self.bounds(file))).collect();
        let pruning = predicate.and_then(|predicate| {
            PruningPredicateBuilder::new().with_file_schema(self.schema.clone()).build(predicate.clone())
        });
        let Some(pruning) = pruning else { return all };
        let statistics = all.iter().map(|(_, of_file)| of_file.clone()).collect();
        // What can't be judged is read.
        match pruning.prune(&PrunableStatistics::new(statistics, self.schema.clone())) {
            Ok(kept) => all.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(file, _)| file).collect(),
            Err(_) => all,
        }
    }

    /// What is known of a file's columns: of those that it is partitioned by, the one value that they have.
    fn bounds(&self, file: &DataFile) -> Arc<Statistics> {
        let mut bounds = file.bounds(&self.schema);
        for field in self.table_schema.table_partition_cols() {
            let value = partition_value(file, field.name(), field.data_type()).ok().filter(|value| !value.is_null());
            let column = self.schema.index_of(field.name()).ok();
            if let (Some(value), Some(column)) = (value, column)
                && let Some(column) = Arc::make_mut(&mut bounds).column_statistics.get_mut(column)
            {
                column.min_value = Precision::Exact(value.clone());
                column.max_value = Precision::Exact(value);
            }
        }
        bounds
    }

    async fn part(&self, file: Arc<DataFile>, bounds: Arc<Statistics>) -> Result<PartitionedFile> {
        let root = Path::from(self.path.as_str());
        let location = root.parts().chain(file.location().parts()).collect();
        let mut part = PartitionedFile::from(ObjectMeta {
            location,
            size: file.size(),
            // Files are never written again.
            last_modified: chrono::DateTime::UNIX_EPOCH,
            e_tag: None,
            version: None,
        });
        let mut known = honest(Arc::unwrap_or_clone(bounds), &file, &self.schema);
        let partitions = self.table_schema.table_partition_cols();
        for field in partitions {
            part.partition_values.push(partition_value(&file, field.name(), field.data_type())?);
        }
        let is_in_file = |(column, field): (_, &Arc<Field>)| {
            let is_partition = partitions.iter().any(|partition| partition.name() == field.name());
            (!is_partition).then_some(column)
        };
        known.column_statistics =
            known.column_statistics.into_iter().zip(self.schema.fields()).filter_map(is_in_file).collect();
        let dead =
            file.dead(&*self.files, &self.path).await.map_err(|error| DataFusionError::External(error.into()))?;
        if !dead.is_empty() {
            let rows = file.rows().ok_or_else(|| {
                DataFusionError::Execution(format!(
                    "{} has dead rows and the log doesn't say how many rows",
                    file.name()
                ))
            })?;
            part = part.with_extension(ParquetRowSelection::new(alive(&dead, rows)));
        }
        Ok(part.with_statistics(Arc::new(known)))
    }
}

/// Whether a filter is likely to leave few rows: one that asks for single values. Only such are run in the decoder, which then reads the
/// other columns of those rows alone; for a filter that leaves many rows, in stretches, that costs more than it saves.
fn is_selective(filter: &Expr) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => is_selective(left) || is_selective(right),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => is_selective(left) && is_selective(right),
        Expr::BinaryExpr(BinaryExpr { op, .. }) => *op == Operator::Eq,
        Expr::InList(in_list) => !in_list.negated,
        _ => false,
    }
}

/// The rows that are not dead.
fn alive(dead: &RoaringTreemap, rows: u64) -> RowSelection {
    let position = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
    let mut ranges = Vec::new();
    let mut start = 0;
    for row in dead {
        let row = position(row);
        if row > start {
            ranges.push(start..row);
        }
        start = row.saturating_add(1);
    }
    let rows = position(rows);
    if start < rows {
        ranges.push(start..rows);
    }
    RowSelection::from_consecutive_ranges(ranges.into_iter(), rows)
}

#[async_trait]
impl TableProvider for Provider {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // The optimizer of plans moves filters from above the scan into the decoder, and leaves those that it can't.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        None
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let url: &Url = self.reading.url.as_ref();
        session.runtime_env().register_object_store(url, self.reading.files.clone());
        let predicate = match conjunction(filters.to_vec()) {
            None => None,
            Some(filter) => Some(session.create_physical_expr(filter, &self.schema.clone().to_dfschema()?)?),
        };
        let candidates = self.candidates(predicate.as_ref());
        let parts: Vec<PartitionedFile> = stream::iter(candidates)
            .map(|(file, of_file)| self.part(file, of_file))
            .buffered(READS_AT_A_TIME)
            .try_collect()
            .await?;
        if parts.is_empty() {
            let schema = match projection {
                Some(projection) => Arc::new(self.schema.project(projection)?),
                None => self.schema.clone(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let options =
            TableParquetOptions { global: session.config_options().execution.parquet.clone(), ..Default::default() };
        let mut source = ParquetSource::new(self.table_schema.clone())
            .with_table_parquet_options(options)
            .with_pushdown_filters(filters.iter().any(is_selective))
            .with_enable_page_index(true)
            .with_bloom_filter_on_read(true)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(
                self.reading.files.clone(),
                self.reading.metadata.clone(),
            )));
        if let Some(predicate) = predicate {
            source = source.with_predicate(predicate);
        }
        // In the order of columns that files and partitions make together, which is the table's unless it is partitioned.
        let in_scan = |name: &str| self.table_schema.table_schema().index_of(name);
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let columns = wanted.iter().map(|index| in_scan(self.schema.field(*index).name()));
        let columns = columns.collect::<std::result::Result<Vec<usize>, _>>()?;
        let of_files = parts.iter().filter_map(|part| part.statistics.as_deref());
        let statistics = Statistics::try_merge_iter(of_files, self.table_schema.table_schema())?;
        let groups = FileGroup::new(parts).split_files(session.config().target_partitions().max(1));
        let config = FileScanConfigBuilder::new(self.reading.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(columns))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
