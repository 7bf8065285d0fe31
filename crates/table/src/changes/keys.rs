//! The keys of files, and a set of keys.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;

use super::{ChangeLimits, Untold};
use crate::file::DataFile;
use crate::key::Keys;
use crate::parquet_file::ParquetFile;
use crate::snapshot::Snapshot;
use crate::{Table, TableError};

/// The keys of a table's files.
pub(super) struct FileKeys {
    table: Arc<str>,
    files: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    key: String,
}

/// The keys of some rows of a file.
pub(super) struct Stretch {
    pub(super) keys: Keys,
    /// Where the rows lie in the file.
    pub(super) positions: Vec<u64>,
}

impl FileKeys {
    pub(super) fn new(table: &Table, snapshot: &Snapshot, key: &str) -> Self {
        let (files, schema) = (Arc::clone(&table.files), snapshot.schema());
        Self { table: table.path.as_str().into(), files, schema, key: key.to_owned() }
    }

    /// The keys of all rows of a file, dead ones and tombstones too.
    pub(super) fn read(&self, file: Arc<DataFile>) -> BoxStream<'_, Result<Stretch, TableError>> {
        let opened = async move { ParquetFile::open(Arc::clone(&self.files), &self.table, &file).await };
        let stretches = stream::once(opened).map_ok(move |parquet| {
            let groups = 0..parquet.metadata().num_row_groups();
            let of_group = move |group| match parquet.read_group(&[&self.key], group, None) {
                Ok(stretches) => stretches,
                Err(error) => stream::once(async { Err(error) }).boxed(),
            };
            stream::iter(groups).flat_map(of_group)
        });
        let keys = |stretch: crate::parquet_file::Stretch| {
            let keys = Keys::of(&stretch.rows, &self.schema, std::slice::from_ref(&self.key));
            Ok(Stretch { keys: keys.map_err(|error| self.failed(error))?, positions: stretch.positions })
        };
        stretches.try_flatten().map(move |stretch| stretch.and_then(keys)).boxed()
    }

    /// Keys as values of the table's column.
    pub(super) fn array(&self, keys: KeySet) -> Result<ArrayRef, TableError> {
        let field = self.schema.field_with_name(&self.key).map_err(|error| self.failed(error))?;
        keys.into_array(field.data_type()).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ArrowError) -> TableError {
        TableError::of_rows(format!("reading the keys of table {}", self.table), error)
    }
}

/// Keys, each once.
pub(super) struct KeySet {
    keys: HashSet<Box<[u8]>>,
    bytes: usize,
    limits: ChangeLimits,
}

impl KeySet {
    pub(super) fn new(limits: ChangeLimits) -> Self {
        Self { keys: HashSet::new(), bytes: 0, limits }
    }

    pub(super) fn insert(&mut self, key: &[u8]) -> Result<(), Untold> {
        if self.keys.contains(key) {
            return Ok(());
        }
        self.bytes += key.len();
        self.keys.insert(key.into());
        let is_within = self.keys.len() <= self.limits.keys && self.bytes <= self.limits.key_bytes;
        if is_within { Ok(()) } else { Err(Untold::ManyKeys) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.keys.contains(key)
    }

    /// The values that the keys are the bytes of.
    fn into_array(self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        if *data_type == DataType::Utf8 {
            let texts = self.keys.iter().map(|key| std::str::from_utf8(key));
            let texts = texts.collect::<Result<Vec<&str>, _>>();
            let texts = texts.map_err(|error| ArrowError::ExternalError(error.into()))?;
            return Ok(Arc::new(StringArray::from_iter_values(texts)));
        }
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        let parser = converter.parser();
        let mut columns = converter.convert_rows(self.keys.iter().map(|key| parser.parse(key)))?;
        columns.pop().ok_or_else(|| ArrowError::ComputeError("a key has no column".to_owned()))
    }
}
