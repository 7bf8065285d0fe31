//! What a batch changes in a table: which of its rows go in, and which rows that are there are dead from then on.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::error::ArrowError;
use roaring::RoaringTreemap;

use crate::batch::Batch;
use crate::file::DataFile;
use crate::wanted::{Hit, Wanted};

/// What an upsert does.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Rows that go in, sorted by key.
    pub(crate) held: RecordBatch,
    /// Rows that delete their key, sorted by key.
    pub(crate) deleted: Batch,
    /// Rows that are no longer alive, by file.
    pub(crate) dead: DeadRows,
    /// Keys that were there before.
    pub(crate) updated: usize,
}

/// Rows of files that a change takes away.
#[derive(Debug, Default)]
pub(crate) struct DeadRows(BTreeMap<String, (Arc<DataFile>, RoaringTreemap)>);

impl DeadRows {
    pub(crate) fn insert(&mut self, file: &Arc<DataFile>, row: u64) {
        let (_, rows) = self.0.entry(file.name().to_owned()).or_insert_with(|| (file.clone(), RoaringTreemap::new()));
        rows.insert(row);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<DataFile>, &RoaringTreemap)> {
        self.0.values().map(|(file, rows)| (file, rows))
    }
}

impl Plan {
    /// The newest record of a key takes the place of the row that is there, if that is older.
    pub(crate) fn replace(batch: &Batch, wanted: &Wanted, hits: &[Hit]) -> Result<Self, ArrowError> {
        let mut is_newest = vec![true; wanted.len()];
        for hit in hits {
            // Without an order it is known to be older. Of the same order is the same record.
            if let Some(is_newest) = is_newest.get_mut(hit.wanted) {
                *is_newest &= hit.order.is_none_or(|order| order < wanted.order(hit.wanted));
            }
        }
        let mut dead = DeadRows::default();
        let mut was_there = vec![false; wanted.len()];
        for hit in hits.iter().filter(|hit| !hit.is_tombstone && is_newest.get(hit.wanted) == Some(&true)) {
            dead.insert(&hit.file, hit.row);
            if let Some(was_there) = was_there.get_mut(hit.wanted) {
                *was_there = true;
            }
        }
        let (held, deleted) = batch.filtered(&BooleanArray::from(is_newest))?.split()?;
        let updated = was_there.into_iter().filter(|was_there| *was_there).count();
        Ok(Self { held, deleted, dead, updated })
    }
}
