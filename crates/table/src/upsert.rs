//! One attempt to bring rows into a table on top of one snapshot: what is read for it, and the files that it puts.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use deltalake_core::kernel::{Add, DeletionVectorDescriptor, Remove, Transaction};
use object_store::{ObjectStore, ObjectStoreExt as _};
use roaring::RoaringTreemap;

use crate::TableError;
use crate::batch::{Batch, nullable};
use crate::data_file::{FileWriter, writer_properties};
use crate::deletion;
use crate::file::{DataFile, loosened};
use crate::incoming::Fresh;
use crate::index::{KeyIndex, NewRow};
use crate::key::{KeyHasher, Keys};
use crate::order::Orders;
use crate::parquet_file::{ParquetFile, TOMBSTONES};
use crate::patch::{Patches, Stored};
use crate::plan::{DeadRows, Plan};
use crate::search::{Search, search};
use crate::snapshot::Snapshot;
use crate::spec::{Merge, UpsertKind};
use crate::wanted::{Hit, Wanted};

/// Where a table's files are.
pub(crate) struct Place<'a> {
    pub(crate) path: &'a str,
    pub(crate) files: &'a Arc<dyn ObjectStore>,
}

impl Place<'_> {
    fn failed(&self, doing: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TableError {
        TableError::of_rows(format!("{doing}: table {}", self.path), error)
    }

    /// The rows of a table that have the keys of a batch.
    pub(crate) async fn find(
        &self,
        base: &Snapshot,
        index: &KeyIndex,
        kind: &UpsertKind,
        wanted: &Arc<Wanted>,
        exact: bool,
    ) -> Result<Vec<Hit>, TableError> {
        let found = index.find(wanted, base, &**self.files).await?;
        let mut hits = found.hits;
        if !found.unknown.is_empty() {
            let unknown = Search {
                table: self.path.into(),
                files: self.files.clone(),
                schema: base.schema(),
                key: kind.key.clone(),
                order_by: kind.order_by.clone(),
                hasher: index.hasher(),
                wanted: wanted.clone(),
                exact,
            };
            hits.extend(search(Arc::new(unknown), found.unknown).await?);
        }
        Ok(hits)
    }

    /// What new rows change, and what the version that has them says of the partitions that they came from.
    pub(crate) async fn plan(
        &self,
        base: &Snapshot,
        index: &KeyIndex,
        kind: &UpsertKind,
        fresh: Fresh,
    ) -> Result<(Plan, Vec<Transaction>), TableError> {
        let transactions = fresh.transactions.clone();
        let hasher = index.hasher();
        let of_key = kind.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            let order_by = of_key.order_by.as_deref();
            let work = match of_key.merge {
                Merge::Replace => Work::Replace(Batch::newest(&fresh, &of_key.key, order_by)?),
                Merge::Patch => Work::Patch(Box::new(Patches::new(fresh, &of_key)?)),
            };
            let wanted = Wanted::new(&work.newest().rows, &of_key.key, order_by, &hasher)?;
            Ok::<_, ArrowError>((work, wanted))
        });
        let prepared = prepared.await.map_err(|error| self.failed("preparing rows", error))?;
        let (work, wanted) = prepared.map_err(|error| self.failed("preparing rows", error))?;
        let wanted = Arc::new(wanted);
        let plan = match work {
            Work::Replace(batch) => {
                let hits = self.find(base, index, kind, &wanted, false).await?;
                Plan::replace(&batch, &wanted, &hits)
            }
            Work::Patch(patches) => {
                let hits = self.find(base, index, kind, &wanted, true).await?;
                let stored = self.read(base, kind, &hits).await?;
                patches.plan(&wanted, &hits, &stored)
            }
        };
        Ok((plan.map_err(|error| self.failed("merging rows", error))?, transactions))
    }

    /// Reads whole rows of a table.
    async fn read(&self, base: &Snapshot, kind: &UpsertKind, hits: &[Hit]) -> Result<Stored, TableError> {
        let mut dead = DeadRows::default();
        for hit in hits.iter().filter(|hit| !hit.is_tombstone) {
            dead.insert(&hit.file, hit.row);
        }
        let schema = nullable(&base.schema());
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut stored = Stored::default();
        for (file, rows) in dead.iter() {
            let parquet = ParquetFile::open(self.files.clone(), self.path, file).await?;
            for stretch in parquet.read_rows(&columns, rows).await? {
                stored
                    .insert(file.name(), &stretch.rows, &stretch.positions, &schema, kind.order_by.as_deref())
                    .map_err(|error| self.failed("reading rows", error))?;
            }
        }
        Ok(stored)
    }

    /// Puts rows, and after them tombstones, into a data file, unless `before` is one that has just these. None: there are no rows.
    pub(crate) async fn put_rows(
        &self,
        base: &Snapshot,
        key: &[String],
        held: &RecordBatch,
        deleted: &RecordBatch,
        before: Option<NewFile>,
    ) -> Result<Option<NewFile>, TableError> {
        let count = held.num_rows() + deleted.num_rows();
        if count == 0 {
            return Ok(None);
        }
        let schema = nullable(&base.schema());
        let rows = concat_batches(&schema, [&relabelled(held, &schema), &relabelled(deleted, &schema)])
            .map_err(|error| self.failed("writing rows", error))?;
        let tombstones = deleted.num_rows() as u64;
        if let Some(before) = before.filter(|before| before.tombstones == tombstones && before.rows == rows) {
            return Ok(Some(before));
        }
        let properties = writer_properties(&schema, key, count as u64, tombstones);
        let mut writer = FileWriter::new(self.path, self.files.clone(), schema, properties, None);
        writer.write(&rows).await?;
        let mut added = writer.close().await?;
        let (Some(mut add), true) = (added.pop(), added.is_empty()) else {
            return Err(self.failed("writing rows", "they went to several files"));
        };
        if tombstones > 0 {
            add.tags = Some([(TOMBSTONES.to_owned(), Some(tombstones.to_string()))].into());
        }
        Ok(Some(NewFile { add, rows, tombstones }))
    }

    /// Puts the deletion vectors that follow from dead rows, in one file. A new file's tombstones are dead from the start.
    pub(crate) async fn put_vectors(
        &self,
        dead: &DeadRows,
        held: u64,
        tombstones: u64,
        data_change: bool,
    ) -> Result<Vectors, TableError> {
        let mut vectors = Vec::new();
        for (file, rows) in dead.iter() {
            let before = file.dead(&**self.files, self.path).await?;
            vectors.push((Some(file), Arc::new(&*before | rows)));
        }
        if tombstones > 0 {
            vectors.push((None, Arc::new((held..held + tombstones).collect())));
        }
        if vectors.is_empty() {
            return Ok(Vectors::default());
        }
        let bitmaps: Vec<&RoaringTreemap> = vectors.iter().map(|(_, vector)| &**vector).collect();
        let encoded = deletion::encode(&bitmaps)?;
        let put = self.files.put(&encoded.path, encoded.bytes.into()).await;
        put.map_err(|error| TableError::from_files(format!("writing deletion vectors of table {}", self.path), error))?;
        let mut written = Vectors::default();
        for ((file, rows), descriptor) in vectors.into_iter().zip(encoded.descriptors) {
            match file {
                Some(file) => {
                    written.removed.push(file.removed(data_change));
                    let add = file.with_vector(descriptor, data_change);
                    written.known.push((add, rows));
                }
                None => written.of_new_file = Some((descriptor, rows)),
            }
        }
        Ok(written)
    }
}

/// New rows, as they are merged.
enum Work {
    Replace(Batch),
    Patch(Box<Patches>),
}

impl Work {
    /// The newest row of each key.
    fn newest(&self) -> &Batch {
        match self {
            Self::Replace(batch) => batch,
            Self::Patch(patches) => &patches.newest,
        }
    }
}

/// Rows under a schema that differs in what may be null, or in metadata.
fn relabelled(rows: &RecordBatch, schema: &arrow::datatypes::SchemaRef) -> RecordBatch {
    RecordBatch::try_new(schema.clone(), rows.columns().to_vec()).unwrap_or_else(|_| rows.clone())
}

/// A data file that was put and that no version names yet.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(crate) add: Add,
    /// What is in it: rows, then tombstones.
    pub(crate) rows: RecordBatch,
    pub(crate) tombstones: u64,
}

/// Deletion vectors that were put and that no version names yet.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    pub(crate) removed: Vec<Remove>,
    /// Files with their new vectors.
    pub(crate) known: Vec<(Add, Arc<RoaringTreemap>)>,
    of_new_file: Option<(DeletionVectorDescriptor, Arc<RoaringTreemap>)>,
}

impl Vectors {
    /// The files that the next version gets, and those of them whose dead rows are known.
    pub(crate) fn files(&self, new: Option<&NewFile>) -> (Vec<Add>, Vec<DataFile>) {
        let mut known: Vec<DataFile> =
            self.known.iter().map(|(add, rows)| DataFile::with_dead_rows(add.clone(), rows.clone())).collect();
        let mut added: Vec<Add> = self.known.iter().map(|(add, _)| add.clone()).collect();
        if let Some(new) = new {
            let mut add = new.add.clone();
            match &self.of_new_file {
                Some((descriptor, rows)) => {
                    add.deletion_vector = Some(descriptor.clone());
                    add.stats = add.stats.as_deref().map(loosened);
                    known.push(DataFile::with_dead_rows(add.clone(), rows.clone()));
                }
                None => known.push(DataFile::new(add.clone())),
            }
            added.push(add);
        }
        (added, known)
    }
}

impl NewFile {
    /// Takes its rows into the index.
    pub(crate) fn index(&self, index: &KeyIndex, snapshot: &Snapshot, kind: &UpsertKind) {
        let hasher: KeyHasher = index.hasher();
        let read = Keys::of(&self.rows, self.rows.schema_ref(), &kind.key)
            .and_then(|keys| Ok((keys, Orders::of(&self.rows, kind.order_by.as_deref())?)));
        // They were read the same way before they were written. A file that isn't taken in is searched.
        let Ok((keys, orders)) = read else { return };
        let first_tombstone = (self.rows.num_rows() as u64).saturating_sub(self.tombstones);
        let rows = (0..self.rows.num_rows()).filter_map(|position| {
            let key = keys.get(position)?;
            let row = position as u64;
            let (hash, order) = (hasher.hash(key), orders.get(position));
            Some(NewRow { hash, key, row, order, is_tombstone: row >= first_tombstone })
        });
        index.take(snapshot, &self.add.path, rows);
    }
}
