//! Finding keys in files of which nothing is known: by bloom filters, the page index and the key's columns alone.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use roaring::RoaringTreemap;

use crate::TableError;
use crate::candidates::GroupColumn;
use crate::file::DataFile;
use crate::key::{KeyHasher, Keys};
use crate::order::{Orders, order_columns};
use crate::parquet_file::{ParquetFile, Stretch};
use crate::wanted::{Hit, Wanted};

/// Row groups searched at a time.
const SEARCHES_AT_A_TIME: usize = 4;

/// What is searched for, in whose columns.
pub(crate) struct Search {
    pub(crate) table: Arc<str>,
    pub(crate) files: Arc<dyn ObjectStore>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) key: Vec<String>,
    pub(crate) order_by: Option<String>,
    pub(crate) hasher: KeyHasher,
    pub(crate) wanted: Arc<Wanted>,
    /// Whether orders are needed even of rows that are older for sure.
    pub(crate) exact: bool,
}

/// Finds the wanted keys among the live rows and the tombstones of some files.
pub(crate) async fn search(search: Arc<Search>, files: Vec<Arc<DataFile>>) -> Result<Vec<Hit>, TableError> {
    let opened = stream::iter(files).map(|file| {
        let search = search.clone();
        async move {
            let parquet = ParquetFile::open(search.files.clone(), &search.table, &file);
            let dead = file.dead(&*search.files, &search.table);
            let (parquet, dead) = futures::try_join!(parquet, dead)?;
            Ok::<_, TableError>((file, parquet, dead))
        }
    });
    let opened: Vec<_> = opened.buffer_unordered(SEARCHES_AT_A_TIME).try_collect().await?;
    let groups = opened.into_iter().flat_map(|(file, parquet, dead)| {
        (0..parquet.metadata().num_row_groups()).map(move |group| (file.clone(), parquet.clone(), dead.clone(), group))
    });
    let searched = stream::iter(groups).map(|(file, parquet, dead, group)| {
        let of_group = InGroup { search: search.clone(), file, parquet, dead, group };
        // A task, so that several processors decode.
        let task = tokio::spawn(async move { of_group.find().await });
        async move {
            let found = task.await;
            found.map_err(|error| TableError::of_rows("searching for keys", error))?
        }
    });
    let found: Vec<Vec<Hit>> = searched.buffer_unordered(SEARCHES_AT_A_TIME).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

struct InGroup {
    search: Arc<Search>,
    file: Arc<DataFile>,
    parquet: ParquetFile,
    dead: Arc<RoaringTreemap>,
    group: usize,
}

impl InGroup {
    async fn find(&self) -> Result<Vec<Hit>, TableError> {
        let ranges = self.candidate_rows().await?;
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let key: Vec<&str> = self.search.key.iter().map(String::as_str).collect();
        let mut stretches = self.parquet.read_group(&key, self.group, Some(ranges))?;
        let mut hits = Vec::new();
        while let Some(stretch) = stretches.next().await {
            self.take_hits(&stretch?, &mut hits)?;
        }
        self.read_orders(&mut hits).await?;
        Ok(hits)
    }

    fn take_hits(&self, stretch: &Stretch, hits: &mut Vec<Hit>) -> Result<(), TableError> {
        let Search { schema, key, hasher, wanted, .. } = &*self.search;
        let keys = Keys::of(&stretch.rows, schema, key).map_err(|error| self.failed(error))?;
        let first_tombstone = self.parquet.first_tombstone();
        for (index, row) in stretch.positions.iter().enumerate() {
            let is_tombstone = *row >= first_tombstone;
            let Some(wanted) = keys.get(index).and_then(|key| wanted.position(key, hasher)) else { continue };
            if is_tombstone || !self.dead.contains(*row) {
                hits.push(Hit { wanted, file: self.file.clone(), row: *row, order: None, is_tombstone });
            }
        }
        Ok(())
    }

    /// The rows that can have a wanted key, counted from the group's first on.
    async fn candidate_rows(&self) -> Result<Vec<Range<usize>>, TableError> {
        let schema = self.parquet.arrow_metadata().schema();
        let field = self.search.key.first().and_then(|first| schema.field_with_name(first).ok());
        let column = field.and_then(|field| GroupColumn::of(self.parquet.metadata(), self.group, field));
        let Some(column) = column else {
            let rows = self.parquet.group_rows(self.group);
            return Ok(std::iter::once(0..usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX)).collect());
        };
        let bloom_filter = async {
            let mut builder = self.parquet.builder();
            let filter = builder.get_row_group_column_bloom_filter(self.group, column.leaf()).await;
            let filter = filter.map_err(|error| crate::parquet_file::failed(&self.search.table, error))?;
            Ok(filter.map(Arc::new))
        };
        column.rows_with(self.search.wanted.first_column(), bloom_filter).await
    }

    /// Reads the orders of hits, but for those that are older than the wanted record by the group's statistics.
    async fn read_orders(&self, hits: &mut [Hit]) -> Result<(), TableError> {
        let greatest = if self.search.exact { None } else { self.greatest_leading_order() };
        let is_older = |hit: &Hit| {
            let wanted = self.search.wanted.order(hit.wanted);
            let leading = if self.search.order_by.is_some() { wanted.order_by } else { Some(wanted.received_at) };
            greatest.zip(leading).is_some_and(|(greatest, leading)| leading > greatest)
        };
        let unread: RoaringTreemap = hits.iter().filter(|hit| !is_older(hit)).map(|hit| hit.row).collect();
        if unread.is_empty() {
            return Ok(());
        }
        let columns = order_columns(self.search.order_by.as_deref());
        let mut orders = std::collections::HashMap::new();
        for stretch in self.parquet.read_rows(&columns, &unread).await? {
            let read =
                Orders::of(&stretch.rows, self.search.order_by.as_deref()).map_err(|error| self.failed(error))?;
            orders.extend(stretch.positions.into_iter().zip(read.iter()));
        }
        for hit in hits {
            hit.order = orders.get(&hit.row).copied();
        }
        Ok(())
    }

    /// The greatest value of the column that orders first, as a number; none: unknown.
    fn greatest_leading_order(&self) -> Option<i64> {
        let columns = order_columns(self.search.order_by.as_deref());
        let metadata = self.parquet.metadata();
        let arrow_schema = self.parquet.arrow_metadata().schema();
        let converter =
            StatisticsConverter::try_new(columns.first()?, arrow_schema, metadata.file_metadata().schema_descr())
                .ok()?;
        let greatest = converter.row_group_maxes([metadata.row_groups().get(self.group)?]).ok()?;
        let greatest = match greatest.data_type() {
            DataType::Date32 => cast(&greatest, &DataType::Int32).ok()?,
            _ => greatest,
        };
        let greatest = cast(&greatest, &DataType::Int64).ok()?;
        let greatest = greatest.as_primitive_opt::<Int64Type>()?;
        (greatest.len() == 1 && greatest.is_valid(0)).then(|| greatest.value(0))
    }

    fn failed(&self, error: arrow::error::ArrowError) -> TableError {
        TableError::of_rows(format!("reading keys of table {}", self.search.table), error)
    }
}
