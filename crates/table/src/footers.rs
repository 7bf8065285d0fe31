//! Footers and page indexes of data files, read once and held in memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use crate::parquet_file::ObjectReader;

/// Bytes of footers and page indexes that a process keeps, over all tables.
const CACHE_BYTES: usize = 64 << 20;

/// The footers of some files, which are never written again.
#[derive(Debug, Clone)]
pub(crate) struct Footers {
    files: Arc<dyn ObjectStore>,
    held: Arc<FileMetadataCache>,
}

impl Footers {
    pub(crate) fn new(files: Arc<dyn ObjectStore>) -> Self {
        Self { files, held: Arc::new(DefaultCache::new(CACHE_BYTES)) }
    }

    /// A file's footer, with the page index if there is one.
    pub(crate) async fn get(&self, file: &ObjectMeta) -> Result<Arc<ParquetMetaData>> {
        self.read(file, Some(PageIndexPolicy::Optional)).await
    }

    async fn read(&self, file: &ObjectMeta, page_index: Option<PageIndexPolicy>) -> Result<Arc<ParquetMetaData>> {
        DFParquetMetadata::new(&self.files, file)
            .with_file_metadata_cache(Some(self.held.clone()))
            .with_page_index_policy(page_index)
            .fetch_metadata()
            .await
    }
}

/// What scans read with. `DataFusion`'s own makes a text of what a footer could not be read for: that the file is gone could not be told.
impl ParquetFileReaderFactory for Footers {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let file = file.object_meta;
        let data = ObjectReader::new(self.files.clone(), file.location.clone(), file.size);
        Ok(Box::new(FileReader { data, file, footers: self.clone() }))
    }
}

struct FileReader {
    data: ObjectReader,
    file: ObjectMeta,
    footers: Footers,
}

impl AsyncFileReader for FileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.data.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.data.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let page_index = options.map(ArrowReaderOptions::column_index_policy);
        async move { self.footers.read(&self.file, page_index).await.map_err(|error| ParquetError::External(error.into())) }
            .boxed()
    }
}
