//! Writing data files as this engine wants to read them: sorted by key, with bloom filters and small pages.

use std::num::NonZeroU64;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use delta_kernel::table_properties::DataSkippingNumIndexedCols;
use deltalake_core::DeltaTableError;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake_core::kernel::Add;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::TableError;
use crate::parquet_file::TOMBSTONES;

/// Columns of which files keep the least and greatest value, as Delta's default is.
const COLUMNS_WITH_STATISTICS: u64 = 32;
/// Rows of a row group: what one task of a scan or a search takes.
const GROUP_ROWS: usize = 256 * 1_024;
/// Rows of a page, the least that is read for one row.
const PAGE_ROWS: usize = 8_192;
/// Above this a dictionary costs more than it saves, since whoever reads one page reads it too.
const DICTIONARY_BYTES: usize = 64 << 10;
/// How often a bloom filter says "maybe" of a key that is not there.
const FALSE_POSITIVES: f64 = 0.01;

/// How data files of a table are written.
pub(crate) fn writer_properties(schema: &SchemaRef, key: &[String], rows: u64, tombstones: u64) -> WriterProperties {
    // Level 1, the least there is and always valid.
    let compression = Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default());
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_statistics_enabled(EnabledStatistics::Page);
    for name in key {
        let column = ColumnPath::from(name.as_str());
        let has_filter = schema.field_with_name(name).is_ok_and(|field| *field.data_type() != DataType::Boolean);
        if has_filter {
            properties = properties
                .set_column_bloom_filter_enabled(column.clone(), true)
                .set_column_bloom_filter_fpp(column.clone(), FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(column, rows.clamp(1, GROUP_ROWS as u64));
        }
    }
    if tombstones > 0 {
        let said = KeyValue { key: TOMBSTONES.to_owned(), value: Some(tombstones.to_string()) };
        properties = properties.set_key_value_metadata(Some(vec![said]));
    }
    properties.build()
}

/// Where rows are written to: one data file after another, each of which is nobody's until a commit names it.
///
/// A file is made in memory and put at once, so that it is one request, which can fail, and nothing that has to be taken back.
pub(crate) struct FileWriter {
    table: String,
    files: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    properties: WriterProperties,
    /// Bytes of rows, as they are in memory, at which a next file is begun. None: never.
    file_bytes: Option<usize>,
    open: Option<OpenFile>,
    added: Vec<Add>,
}

struct OpenFile {
    stage: Arc<InMemory>,
    writer: DeltaWriter,
    bytes: usize,
}

impl FileWriter {
    pub(crate) fn new(
        table: &str,
        files: Arc<dyn ObjectStore>,
        schema: SchemaRef,
        properties: WriterProperties,
        file_bytes: Option<usize>,
    ) -> Self {
        Self { table: table.to_owned(), files, schema, properties, file_bytes, open: None, added: Vec::new() }
    }

    pub(crate) async fn write(&mut self, rows: &RecordBatch) -> Result<(), TableError> {
        // The same columns under the schema's own fields, which carry its metadata.
        let rows = RecordBatch::try_new(self.schema.clone(), rows.columns().to_vec());
        let rows = rows.map_err(|error| self.failed(error.into()))?;
        let mut open = self.open.take().unwrap_or_else(|| self.begin());
        open.bytes += rows.get_array_memory_size();
        open.writer.write(&rows).await.map_err(|error| self.failed(error))?;
        let is_full = self.file_bytes.is_some_and(|most| open.bytes >= most);
        self.open = Some(open);
        if is_full { self.put().await } else { Ok(()) }
    }

    /// The files that were put. There is none without rows.
    pub(crate) async fn close(mut self) -> Result<Vec<Add>, TableError> {
        self.put().await?;
        Ok(self.added)
    }

    /// The files that were put so far, for who gives up. What is still in memory goes nowhere.
    pub(crate) fn put_so_far(self) -> Vec<Path> {
        self.added.iter().map(|file| Path::from(file.path.as_str())).collect()
    }

    fn begin(&self) -> OpenFile {
        let stage = Arc::new(InMemory::new());
        let statistics = DataSkippingNumIndexedCols::NumColumns(COLUMNS_WITH_STATISTICS);
        let properties = Some(self.properties.clone());
        let size = Some(NonZeroU64::MAX);
        let config = WriterConfig::new(self.schema.clone(), Vec::new(), properties, size, None, statistics, None);
        OpenFile { writer: DeltaWriter::new(stage.clone(), config), stage, bytes: 0 }
    }

    async fn put(&mut self) -> Result<(), TableError> {
        let Some(OpenFile { stage, writer, .. }) = self.open.take() else { return Ok(()) };
        for add in writer.close().await.map_err(|error| self.failed(error))? {
            let path = Path::from(add.path.as_str());
            let bytes = async { stage.get(&path).await?.bytes().await };
            let put = async { self.files.put(&path, bytes.await?.into()).await };
            let put = put.await;
            put.map_err(|error| TableError::from_files(format!("writing rows of table {}", self.table), error))?;
            self.added.push(add);
        }
        Ok(())
    }

    fn failed(&self, error: DeltaTableError) -> TableError {
        TableError::from_delta(format!("writing rows of table {}", self.table), error)
    }
}
