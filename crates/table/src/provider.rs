//! A version of a table for DataFusion.
//!
//! Files are left out by their partition values and the log's statistics; of the others, row groups and pages by their own
//! statistics, bloom filters and the page index; filters run in the decoder. Dead rows are skipped by row selections, so
//! that all of this works on files with deletion vectors too. Where a query asks for single keys, that is done before it is planned, by
//! what is held in memory of the files: those that upserts have left may be many, and next to none has the key.

use std::ops::Range;
use std::sync::Arc;

use arrow::compute::{cast, sort};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, ScalarValue, Statistics, ToDFSchema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::RowSelection;
use roaring::RoaringTreemap;
use url::Url;

use crate::bloom::BloomFilters;
use crate::candidates::{GroupColumn, Sought};
use crate::file::DataFile;
use crate::footers::Footers;
use crate::snapshot::Snapshot;
use crate::statistics::{honest, partition_value};

/// Files of which deletion vectors, or footers and bloom filters, are read at a time.
const READS_AT_A_TIME: usize = 8;
/// Keys up to which a query is one that asks for single keys.
const MAX_KEYS: usize = 1_000;

/// What the scans of a process share.
pub(crate) struct Reading {
    files: Arc<dyn ObjectStore>,
    url: ObjectStoreUrl,
    footers: Footers,
    filters: BloomFilters,
}

impl Reading {
    /// Scans of tables in `files`, which plans name by `url`: a scheme and a host.
    pub(crate) fn new(files: Arc<dyn ObjectStore>, url: &str) -> Self {
        // A name that is not one would only be that of the local file system's, which no scan of ours reads by.
        let url = ObjectStoreUrl::parse(url).unwrap_or_else(|_| ObjectStoreUrl::local_filesystem());
        Self { footers: Footers::new(files.clone()), filters: BloomFilters::new(files.clone()), files, url }
    }

    /// The rows of a file that can have one of some keys, in the file's order, and how many rows it has in all.
    async fn rows_with(&self, file: &ObjectMeta, keys: &SoughtKeys) -> Result<(Vec<Range<usize>>, usize)> {
        let metadata = self.footers.get(file).await?;
        let mut found = Vec::new();
        let mut start = 0;
        for (group, of_group) in metadata.row_groups().iter().enumerate() {
            let end = start + usize::try_from(of_group.num_rows()).unwrap_or(0);
            match GroupColumn::of(&metadata, group, &keys.field) {
                Some(column) => {
                    let filter = self.filters.get(file, &metadata, group, column.leaf());
                    let rows = column.rows_with(&keys.values, filter).await?;
                    found.extend(rows.into_iter().map(|rows| start + rows.start..start + rows.end));
                }
                None => found.push(start..end),
            }
            start = end;
        }
        Ok((found, start))
    }
}

/// The keys that a query asks for, by the first of their columns.
struct SoughtKeys {
    field: FieldRef,
    values: Sought,
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

    /// The keys that a predicate asks for. None: it asks for none, or for too many.
    fn sought_keys(&self, predicate: &Arc<dyn PhysicalExpr>) -> Option<SoughtKeys> {
        let key = self.snapshot.kind()?.upsert()?.key.into_iter().next()?;
        // As the files have it, and as queries do: text, as views.
        let schema = self.snapshot.schema();
        let ((_, field), (_, queried)) = (schema.fields().find(&key)?, self.schema.fields().find(&key)?);
        // Those that bloom filters are asked for.
        if !matches!(field.data_type(), DataType::Utf8 | DataType::Int32 | DataType::Int64) {
            return None;
        }
        let asks_for_keys = |asked: &LiteralGuarantee| asked.guarantee == Guarantee::In && asked.column.name() == key;
        let asked = LiteralGuarantee::analyze(predicate).into_iter().find(asks_for_keys)?;
        if asked.literals.is_empty() || asked.literals.len() > MAX_KEYS {
            return None;
        }
        let values = ScalarValue::iter_to_array(asked.literals).ok()?;
        if values.data_type() != queried.data_type() {
            return None;
        }
        let values = Sought::new(sort(&cast(&values, field.data_type()).ok()?, None).ok()?).ok()?;
        Some(SoughtKeys { field: field.clone(), values })
    }

    /// What is to be read of a file; none: it has none of the keys that are sought.
    async fn part(
        &self,
        file: Arc<DataFile>,
        bounds: Arc<Statistics>,
        keys: Option<&SoughtKeys>,
    ) -> Result<Option<PartitionedFile>> {
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
        let with_keys = match keys {
            Some(keys) => Some(self.reading.rows_with(&part.object_meta, keys).await?),
            None => None,
        };
        if with_keys.as_ref().is_some_and(|(rows, _)| rows.is_empty()) {
            return Ok(None);
        }
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
        let selected = match with_keys {
            Some((rows, all)) => Some(alive(&dead, rows, all)),
            None if dead.is_empty() => None,
            None => {
                let rows = file.rows().ok_or_else(|| {
                    DataFusionError::Execution(format!(
                        "{} has dead rows and the log doesn't say how many rows",
                        file.name()
                    ))
                })?;
                let rows = position(rows);
                Some(alive(&dead, std::iter::once(0..rows), rows))
            }
        };
        if let Some(selected) = selected {
            part = part.with_extension(ParquetRowSelection::new(selected));
        }
        Ok(Some(part.with_statistics(Arc::new(known))))
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

/// Those of some rows that are not dead, of a file with `all` rows.
fn alive(dead: &RoaringTreemap, rows: impl IntoIterator<Item = Range<usize>>, all: usize) -> RowSelection {
    let mut ranges = Vec::new();
    for Range { mut start, end } in rows {
        let mut inside = dead.iter();
        inside.advance_to(start as u64);
        for row in inside.map(position).take_while(|row| *row < end) {
            if row > start {
                ranges.push(start..row);
            }
            start = row.saturating_add(1);
        }
        if start < end {
            ranges.push(start..end);
        }
    }
    RowSelection::from_consecutive_ranges(ranges.into_iter(), all)
}

fn position(row: u64) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
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
        let keys = predicate.as_ref().and_then(|predicate| self.sought_keys(predicate));
        let parts: Vec<PartitionedFile> = stream::iter(candidates)
            .map(|(file, of_file)| self.part(file, of_file, keys.as_ref()))
            .buffered(READS_AT_A_TIME)
            .try_filter_map(|part| std::future::ready(Ok(part)))
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
            .with_bloom_filter_on_read(keys.is_none())
            .with_parquet_file_reader_factory(Arc::new(self.reading.footers.clone()));
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
