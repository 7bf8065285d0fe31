//! Bloom filters of data files, held in memory: a query by key asks those of every file in whose range the key lies, time and again.

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::cache::{Cache, CacheKey, CacheValue};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::ParquetMetaData;

use crate::parquet_file::ObjectReader;

/// Bytes of filters that a process keeps, over all tables: those of some 30 million keys.
const CACHE_BYTES: usize = 48 << 20;
/// Of one block of a filter, by the format of Parquet.
const BLOCK_BYTES: usize = 32;
/// The longest filter that is read.
const MAX_FILTER_BYTES: u64 = 16 << 20;

/// A column of a row group of a file. Files are never written again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    file: Path,
    group: usize,
    leaf: usize,
}

impl CacheKey for Place {
    fn size(&self) -> usize {
        size_of::<Self>() + self.file.as_ref().len()
    }

    fn table_ref(&self) -> Option<&TableReference> {
        None
    }
}

#[derive(Clone)]
struct Held(Arc<Sbbf>);

impl CacheValue for Held {
    fn size(&self) -> usize {
        self.0.num_blocks() * BLOCK_BYTES
    }
}

/// The bloom filters of some files.
pub(crate) struct BloomFilters {
    files: Arc<dyn ObjectStore>,
    held: DefaultCache<Place, Held>,
}

impl BloomFilters {
    pub(crate) fn new(files: Arc<dyn ObjectStore>) -> Self {
        Self { files, held: DefaultCache::new(CACHE_BYTES) }
    }

    /// The filter of a column of a row group. None: it has none that says how long it is, as all of ours do.
    pub(crate) async fn get(
        &self,
        file: &ObjectMeta,
        metadata: &ParquetMetaData,
        group: usize,
        leaf: usize,
    ) -> Result<Option<Arc<Sbbf>>, DataFusionError> {
        let place = Place { file: file.location.clone(), group, leaf };
        if let Some(Held(filter)) = self.held.get(&place) {
            return Ok(Some(filter));
        }
        let column = metadata.row_groups().get(group).and_then(|group| group.columns().get(leaf));
        let said = column.and_then(|column| column.bloom_filter_offset().zip(column.bloom_filter_length()));
        let Some((Ok(start), Ok(length))) = said.map(|(start, length)| (u64::try_from(start), u64::try_from(length)))
        else {
            return Ok(None);
        };
        if length > MAX_FILTER_BYTES {
            return Ok(None);
        }
        let mut reader = ObjectReader::new(self.files.clone(), file.location.clone(), file.size);
        let bytes = reader.get_bytes(start..start.saturating_add(length)).await?;
        let filter = Arc::new(Sbbf::from_bytes(&bytes)?);
        self.held.put(&place, Held(filter.clone()));
        Ok(Some(filter))
    }
}
