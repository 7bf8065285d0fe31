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
    pub(crate) note: Given,
    /// Whether it deletes its key. A row that is in a table doesn't.
    pub(crate) deletes: bool,
}

/// What a record says of a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Given {
    /// Nothing: it lacks it.
    Absent,
    Null,
    Text(String),
}

impl Given {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Absent => None,
        }
    }
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

    /// All records of a key, as they came.
    pub(crate) fn of(&self, key: &(String, Option<i64>)) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.key == *key).collect()
    }

    /// All rows that were delivered, as they came.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What a table that keeps every record holds.
    pub(crate) fn appended(&self) -> Vec<Row> {
        let mut rows = self.rows.clone();
        for row in &mut rows {
            if row.note == Given::Absent {
                row.note = Given::Null;
            }
        }
        rows.sort();
        rows
    }

    /// What a table that keeps the newest record of each key holds. If it merges by patch, notes that newer records lack stay.
    pub(crate) fn upserted(&self, patches: bool) -> Vec<Row> {
        let mut of_keys: BTreeMap<&(String, Option<i64>), Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            of_keys.entry(&row.key).or_default().push(row);
        }
        let mut rows = Vec::new();
        for mut of_key in of_keys.into_values() {
            // Rows of one record stay in its order.
            of_key.sort_by_key(|row| row.place());
            let first = of_key.iter().rposition(|row| row.deletes).map_or(0, |deletion| deletion + 1);
            let alive = &of_key[first..];
            let Some(newest) = alive.last() else { continue };
            let mut notes = alive.iter().rev().map(|row| &row.note);
            let note = if patches { notes.find(|note| **note != Given::Absent) } else { notes.next() };
            let note = note.filter(|note| **note != Given::Absent).cloned().unwrap_or(Given::Null);
            rows.push(Row { note, ..(*newest).clone() });
        }
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
