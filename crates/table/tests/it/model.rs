//! What a table must hold, in the plainest words.

use std::collections::{BTreeMap, BTreeSet};

/// One row of a record as it came through the queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) key: (String, Option<i64>),
    pub(crate) order: Option<i64>,
    pub(crate) value: String,
    pub(crate) received_at: i64,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

impl Row {
    /// Which of two rows of a key is the newer: `None` comes first. Of rows that are equal in this, the later one of their
    /// record is.
    fn place(&self) -> (Option<i64>, i64, u32, u64) {
        (self.order, self.received_at, self.partition, self.offset)
    }
}

/// The rows that were delivered, each once, those of a record in their order. No two of a record have the same value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    taken: BTreeSet<(u32, u64, String)>,
    rows: Vec<Row>,
}

impl Model {
    pub(crate) fn take(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            if self.taken.insert((row.partition, row.offset, row.value.clone())) {
                self.rows.push(row);
            }
        }
    }

    /// What a table that keeps every record holds.
    pub(crate) fn appended(&self) -> Vec<Row> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }

    /// What a table that keeps the newest record of each key holds.
    pub(crate) fn upserted(&self) -> Vec<Row> {
        let mut newest: BTreeMap<&(String, Option<i64>), &Row> = BTreeMap::new();
        for row in &self.rows {
            let held = newest.entry(&row.key).or_insert(row);
            if row.place() >= held.place() {
                *held = row;
            }
        }
        let mut rows: Vec<Row> = newest.into_values().cloned().collect();
        rows.sort();
        rows
    }

    /// The offset after the last row of each partition that has rows.
    pub(crate) fn offsets_after_rows(&self) -> BTreeMap<u32, u64> {
        let mut offsets = BTreeMap::new();
        for (partition, offset, _) in &self.taken {
            let next: &mut u64 = offsets.entry(*partition).or_default();
            *next = (*next).max(offset + 1);
        }
        offsets
    }
}
