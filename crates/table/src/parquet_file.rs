//! Reading some columns of some rows of a data file, with where each row lies in it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use roaring::RoaringTreemap;

use crate::TableError;
use crate::file::DataFile;

/// Bytes at the end of a file that are read at first: the footer and the page index of a small file are in them.
const FOOTER_BYTES: usize = 64 << 10;
/// Rows decoded at a time.
const BATCH_ROWS: usize = 16_384;
/// The field of a file's own metadata that says how many of its rows, the last ones, are tombstones.
pub(crate) const TOMBSTONES: &str = "freshet.tombstones";

/// An open data file.
#[derive(Clone)]
pub(crate) struct ParquetFile {
    table: Arc<str>,
    reader: ObjectReader,
    metadata: ArrowReaderMetadata,
}

/// Rows of a file.
pub(crate) struct Stretch {
    pub(crate) rows: RecordBatch,
    /// Where they lie in the file.
    pub(crate) positions: Vec<u64>,
}

impl ParquetFile {
    /// Opens a file with its page index.
    pub(crate) async fn open(files: Arc<dyn ObjectStore>, table: &str, file: &DataFile) -> Result<Self, TableError> {
        let mut reader = ObjectReader::new(files, file.location(), file.size());
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let table: Arc<str> = table.into();
        let metadata = ArrowReaderMetadata::load_async(&mut reader, options).await;
        let metadata = metadata.map_err(|error| failed(&table, error))?;
        Ok(Self { table, reader, metadata })
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    pub(crate) fn arrow_metadata(&self) -> &ArrowReaderMetadata {
        &self.metadata
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The first of its tombstones, which go on to its end; its number of rows if it has none.
    pub(crate) fn first_tombstone(&self) -> u64 {
        let fields = self.metadata().file_metadata().key_value_metadata();
        let count = fields.into_iter().flatten().find(|field| field.key == TOMBSTONES);
        let count = count.and_then(|field| field.value.as_deref()?.parse().ok()).unwrap_or(0);
        self.rows().saturating_sub(count)
    }

    /// The rows of a row group.
    pub(crate) fn group_rows(&self, group: usize) -> Range<u64> {
        let rows = |group: &parquet::file::metadata::RowGroupMetaData| u64::try_from(group.num_rows()).unwrap_or(0);
        let before: u64 = self.metadata().row_groups().iter().take(group).map(rows).sum();
        before..before + self.metadata().row_groups().get(group).map_or(0, rows)
    }

    /// A builder that reads a row group, for what else it knows.
    pub(crate) fn builder(&self) -> ParquetRecordBatchStreamBuilder<ObjectReader> {
        ParquetRecordBatchStreamBuilder::new_with_metadata(self.reader.clone(), self.metadata.clone())
    }

    /// Some columns of a row group: of all its rows, or of those in `ranges`, which are counted from the group's first.
    pub(crate) fn read_group(
        &self,
        columns: &[&str],
        group: usize,
        ranges: Option<Vec<Range<usize>>>,
    ) -> Result<BoxStream<'static, Result<Stretch, TableError>>, TableError> {
        let rows = self.group_rows(group);
        let mask = self.mask(columns);
        let mut builder = self.builder().with_row_groups(vec![group]).with_projection(mask).with_batch_size(BATCH_ROWS);
        let count = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
        let ranges = ranges.unwrap_or_else(|| std::iter::once(0..count).collect());
        if ranges.iter().map(ExactSizeIterator::len).sum::<usize>() < count {
            builder = builder.with_row_selection(RowSelection::from_consecutive_ranges(ranges.iter().cloned(), count));
        }
        let table = self.table.clone();
        let stream = builder.build().map_err(|error| failed(&table, error))?;
        let mut positions = ranges.into_iter().flatten().map(move |row| rows.start + row as u64);
        Ok(stream
            .map(move |batch| {
                let batch = batch.map_err(|error| failed(&table, error))?;
                let positions = positions.by_ref().take(batch.num_rows()).collect();
                Ok(Stretch { rows: batch, positions })
            })
            .boxed())
    }

    /// Some columns of the rows at some positions, in the order of positions.
    pub(crate) async fn read_rows(
        &self,
        columns: &[&str],
        positions: &RoaringTreemap,
    ) -> Result<Vec<Stretch>, TableError> {
        let mut read = Vec::new();
        for group in 0..self.metadata().num_row_groups() {
            let rows = self.group_rows(group);
            let ranges = ranges_in(positions, &rows);
            if ranges.is_empty() {
                continue;
            }
            let mut stretches = self.read_group(columns, group, Some(ranges))?;
            while let Some(stretch) = stretches.next().await {
                read.push(stretch?);
            }
        }
        Ok(read)
    }

    fn mask(&self, columns: &[&str]) -> ProjectionMask {
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        let fields = schema.root_schema().get_fields().iter().enumerate();
        let chosen = fields.filter(|(_, field)| columns.contains(&field.name())).map(|(index, _)| index);
        ProjectionMask::roots(schema, chosen)
    }
}

/// A file of an object store, whose size is known, so that there is no request for it.
#[derive(Debug, Clone)]
pub(crate) struct ObjectReader {
    files: Arc<dyn ObjectStore>,
    location: Path,
    size: u64,
}

impl ObjectReader {
    pub(crate) fn new(files: Arc<dyn ObjectStore>, location: Path, size: u64) -> Self {
        Self { files, location, size }
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let bytes = self.files.get_range(&self.location, range.clone()).await;
            let bytes = bytes.map_err(|error| ParquetError::External(error.into()))?;
            whole(&bytes, &range)?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            let bytes = self.files.get_ranges(&self.location, &ranges).await;
            let bytes = bytes.map_err(|error| ParquetError::External(error.into()))?;
            bytes.iter().zip(&ranges).try_for_each(|(bytes, range)| whole(bytes, range))?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size = self.size;
            let reader = ParquetMetaDataReader::new()
                .with_page_index_policy(PageIndexPolicy::Optional)
                .with_prefetch_hint(Some(FOOTER_BYTES));
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

/// Refuses an answer that was cut off: what decodes it would take it for damage, or run over its end.
fn whole(bytes: &Bytes, range: &Range<u64>) -> Result<(), ParquetError> {
    if bytes.len() as u64 == range.end - range.start {
        return Ok(());
    }
    let source = format!("{} bytes came of {} to {}", bytes.len(), range.start, range.end);
    Err(ParquetError::External(Box::new(object_store::Error::Generic { store: "read", source: source.into() })))
}

/// Positions that lie in a row group, as ranges from its first row.
fn ranges_in(positions: &RoaringTreemap, rows: &Range<u64>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut inside = positions.iter();
    inside.advance_to(rows.start);
    for position in inside.take_while(|position| *position < rows.end) {
        let Ok(row) = usize::try_from(position - rows.start) else { break };
        match ranges.last_mut() {
            Some(range) if range.end == row => range.end += 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}

/// An error of reading a file that the log names: the network's, or the file is not what it should be.
pub(crate) fn failed(table: &str, error: ParquetError) -> TableError {
    let context = format!("reading a data file of table {table}");
    match error {
        ParquetError::External(source) => match source.downcast::<object_store::Error>() {
            Ok(source) => TableError::of_named_file(context, *source),
            Err(source) => TableError::Corrupt { context, source },
        },
        other => TableError::Corrupt { context, source: other.into() },
    }
}
