//! What has changed of a result: its rows, sorted by key, beside the keys and hashes of last time.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use aws_lc_rs::digest::{SHA256, digest};
use freshet_query::{JsonObjects, QueryError, ResultColumn, Rows};
use futures::StreamExt as _;

use crate::ActivationError;
use crate::deliver::Sink;
use crate::hashes::{Hash, HashReader, HashWriter, MAX_KEY_BYTES};

/// The columns that changes begin with: what happened to a row, and the text of its key.
const ADDED: [&str; 2] = ["_change", "_key"];
/// Keys that have gone and are gathered until they are written.
const GATHERED: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) rows: u64,
    pub(crate) upserts: u64,
    pub(crate) deletes: u64,
    pub(crate) unchanged: u64,
    pub(crate) null_keys: u64,
    pub(crate) duplicate_keys: u64,
}

/// The shape of the changes of a result.
pub(crate) struct ChangeShape {
    pub(crate) schema: SchemaRef,
    pub(crate) columns: Vec<ResultColumn>,
}

impl ChangeShape {
    pub(crate) fn of(rows: &Rows) -> Result<Self, ActivationError> {
        if let Some(column) = rows.columns.iter().find(|column| ADDED.contains(&column.name.as_str())) {
            return Err(ActivationError::ReservedColumn { column: column.name.clone() });
        }
        let text = |name: &str| ResultColumn { name: name.to_owned(), type_name: "string".to_owned() };
        let columns = ADDED.into_iter().map(text).chain(rows.columns.iter().cloned()).collect();
        let added = ADDED.into_iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, false)));
        // Of a key that has gone every column of the result is null.
        let nullable = rows.schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let schema = Arc::new(Schema::new(added.chain(nullable).collect::<Vec<_>>()));
        Ok(Self { schema, columns })
    }
}

/// Finds changes.
pub(crate) struct Changes {
    objects: JsonObjects,
    /// The place of the key.
    key: usize,
    schema: SchemaRef,
    before: HashReader,
    after: HashWriter,
    gone: Vec<String>,
    found: Found,
}

/// The row of a key so far: which of two batches, which row of it.
struct Candidate {
    key: String,
    hash: Hash,
    place: (usize, usize),
}

impl Changes {
    pub(crate) fn new(
        rows: &Rows,
        key: usize,
        schema: SchemaRef,
        before: HashReader,
        after: HashWriter,
    ) -> Result<Self, ActivationError> {
        let objects = JsonObjects::of(&rows.columns)?;
        Ok(Self { objects, key, schema, before, after, gone: Vec::new(), found: Found::default() })
    }

    /// Sends the changes of all rows, which are sorted by the text of their key, to a sink. The hashes of these rows are those of last
    /// time next time.
    pub(crate) async fn send(mut self, mut rows: Rows, sink: &mut Sink) -> Result<Found, ActivationError> {
        let mut candidate: Option<Candidate> = None;
        let mut previous: Option<RecordBatch> = None;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let changed = self.next_batch(&batch, &mut candidate, sink).await?;
            let previous_batch = previous.take().unwrap_or_else(|| batch.slice(0, 0));
            self.upsert(&previous_batch, &batch, &changed, sink).await?;
            if let Some(candidate) = &mut candidate {
                // One row is all that is still needed of a batch that has been gone through.
                let row = candidate.place.1;
                let holder = if candidate.place.0 == 0 { &previous_batch } else { &batch };
                previous = Some(holder.slice(row, 1));
                candidate.place = (0, 0);
            }
        }
        if let (Some(last), Some(batch)) = (candidate, previous) {
            let changed: Vec<_> = self.settle(last, sink).await?.into_iter().collect();
            self.upsert(&batch, &batch.slice(0, 0), &changed, sink).await?;
        }
        while let Some((key, _)) = self.before.advance().await? {
            self.delete(key, sink).await?;
        }
        self.write_gone(sink).await?;
        self.after.finish().await?;
        Ok(self.found)
    }

    /// Goes through a batch. The answer is which rows have changed, of the batch before (0) or of this one (1), the last key's aside.
    async fn next_batch(
        &mut self,
        batch: &RecordBatch,
        candidate: &mut Option<Candidate>,
        sink: &mut Sink,
    ) -> Result<Vec<(String, (usize, usize))>, ActivationError> {
        let hashed = self.hashed(batch)?;
        let mut changed = Vec::new();
        for (row, (key, hash)) in hashed.into_iter().enumerate() {
            self.found.rows += 1;
            let Some(key) = key else {
                self.found.null_keys += 1;
                continue;
            };
            if key.len() > MAX_KEY_BYTES {
                return Err(ActivationError::KeyTooLong { limit: MAX_KEY_BYTES });
            }
            match &mut *candidate {
                Some(same) if same.key == key => {
                    self.found.duplicate_keys += 1;
                    // The same row of several, whatever order they come in.
                    if hash < same.hash {
                        (same.hash, same.place) = (hash, (1, row));
                    }
                }
                other => {
                    let settled = other.replace(Candidate { key, hash, place: (1, row) });
                    if let Some(settled) = settled {
                        changed.extend(self.settle(settled, sink).await?);
                    }
                }
            }
        }
        Ok(changed)
    }

    /// The keys and hashes of a batch's rows.
    fn hashed(&self, batch: &RecordBatch) -> Result<Vec<(Option<String>, Hash)>, ActivationError> {
        let keys = batch.columns().get(self.key).map(|column| cast(column, &DataType::Utf8));
        let keys = keys.transpose().map_err(|error| data(&error))?;
        let keys = keys.unwrap_or_else(|| new_null_array(&DataType::Utf8, batch.num_rows()));
        let keys: &StringArray = keys.as_string::<i32>();
        let rows = self.objects.rows(batch);
        let mut hashed = Vec::with_capacity(batch.num_rows());
        let mut body = Vec::new();
        for row in 0..batch.num_rows() {
            body.clear();
            rows.write(row, &mut body)?;
            let mut hash = Hash::default();
            hash.iter_mut().zip(digest(&SHA256, &body).as_ref()).for_each(|(place, byte)| *place = *byte);
            hashed.push((keys.is_valid(row).then(|| keys.value(row).to_owned()), hash));
        }
        Ok(hashed)
    }

    /// Compares the row of a key with that of last time: its key and place, where it has changed.
    async fn settle(
        &mut self,
        candidate: Candidate,
        sink: &mut Sink,
    ) -> Result<Option<(String, (usize, usize))>, ActivationError> {
        let Candidate { key, hash, place } = candidate;
        while self.before.next().is_some_and(|(earlier, _)| *earlier < key) {
            if let Some((gone, _)) = self.before.advance().await? {
                self.delete(gone, sink).await?;
            }
        }
        let before = match self.before.next() {
            Some((same, _)) if *same == key => self.before.advance().await?.map(|(_, hash)| hash),
            _ => None,
        };
        self.after.write(&key, &hash).await?;
        if before == Some(hash) {
            self.found.unchanged += 1;
            return Ok(None);
        }
        self.found.upserts += 1;
        Ok(Some((key, place)))
    }

    async fn upsert(
        &mut self,
        previous: &RecordBatch,
        batch: &RecordBatch,
        changed: &[(String, (usize, usize))],
        sink: &mut Sink,
    ) -> Result<(), ActivationError> {
        if changed.is_empty() {
            return Ok(());
        }
        let places: Vec<(usize, usize)> = changed.iter().map(|(_, place)| *place).collect();
        let rows = interleave_record_batch(&[previous, batch], &places).map_err(|error| data(&error))?;
        let keys = changed.iter().map(|(key, _)| key.as_str());
        let batch = self.batch("upsert", keys, rows.columns().to_vec())?;
        sink.write(&batch).await
    }

    async fn delete(&mut self, key: String, sink: &mut Sink) -> Result<(), ActivationError> {
        self.found.deletes += 1;
        self.gone.push(key);
        if self.gone.len() >= GATHERED { self.write_gone(sink).await } else { Ok(()) }
    }

    async fn write_gone(&mut self, sink: &mut Sink) -> Result<(), ActivationError> {
        let gone = std::mem::take(&mut self.gone);
        if gone.is_empty() {
            return Ok(());
        }
        let of_result = self.schema.fields().iter().skip(ADDED.len());
        let nulls = of_result.map(|field| new_null_array(field.data_type(), gone.len())).collect();
        let batch = self.batch("delete", gone.iter().map(String::as_str), nulls)?;
        sink.write(&batch).await
    }

    fn batch<'k>(
        &self,
        change: &str,
        keys: impl Iterator<Item = &'k str>,
        columns: Vec<ArrayRef>,
    ) -> Result<RecordBatch, ActivationError> {
        let keys = StringArray::from_iter_values(keys);
        let change = StringArray::from_iter_values(std::iter::repeat_n(change, keys.len()));
        let added: [ArrayRef; 2] = [Arc::new(change), Arc::new(keys)];
        let columns = added.into_iter().chain(columns).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| data(&error))
    }
}

fn data(error: &ArrowError) -> ActivationError {
    QueryError::Data { message: format!("a row can't be sent: {error}") }.into()
}
