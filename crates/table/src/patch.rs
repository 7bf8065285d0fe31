//! Merging by patch: fields that a newer record lacks keep the values that they have.
//!
//! Each field has the order of the record that gave it, so that the same records leave the same row whatever order they come in: a
//! late record fills what nothing newer has given. The orders that differ from the row's own are in the hidden column
//! `_field_orders`, as JSON: `{"email":[order_by,received_at,partition,offset],"phone":null}`, where null says that no record has given
//! the field so far, and the empty name stands for the newest deletion, before which nothing counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use freshet_model::system;

use crate::batch::{Batch, comparable_keys, nullable};
use crate::incoming::Fresh;
use crate::order::{Order, Orders};
use crate::plan::{DeadRows, Plan};
use crate::rows::as_stored;
use crate::spec::UpsertKind;
use crate::wanted::{Hit, Wanted};

/// The name under which `_field_orders` has the order of the newest deletion. No column is named so.
const DELETION: &str = "";

/// An order as JSON has it.
type Written = (Option<i64>, i64, i64, i64);

/// Rows that are in the table, read whole.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    batches: Vec<StoredBatch>,
    /// By file and row: the batch and the row of it.
    places: HashMap<(String, u64), (usize, usize)>,
}

#[derive(Debug)]
struct StoredBatch {
    rows: RecordBatch,
    orders: Orders,
    /// The table's columns that the file was written without: no record of it has given them.
    lacking: Vec<bool>,
}

impl Stored {
    /// Takes rows of a file in.
    pub(crate) fn insert(
        &mut self,
        file: &str,
        rows: &RecordBatch,
        positions: &[u64],
        schema: &SchemaRef,
        order_by: Option<&str>,
    ) -> Result<(), ArrowError> {
        let lacking = schema.fields().iter().map(|field| rows.column_by_name(field.name()).is_none()).collect();
        let rows = as_stored(rows, schema)?;
        let orders = Orders::of(&rows, order_by)?;
        let batch = self.batches.len();
        self.places.extend(positions.iter().zip(0..).map(|(row, index)| ((file.to_owned(), *row), (batch, index))));
        self.batches.push(StoredBatch { rows, orders, lacking });
        Ok(())
    }

    fn find(&self, hit: &Hit) -> Option<(usize, usize, &StoredBatch)> {
        let (batch, row) = *self.places.get(&(hit.file.name().to_owned(), hit.row))?;
        Some((batch, row, self.batches.get(batch)?))
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Incoming(usize),
    Stored(usize, usize),
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct Field {
    /// None: no record has given it.
    order: Option<Order>,
    from: From,
}

/// A row as it becomes.
struct Merged {
    order: Order,
    from: From,
    fields: Vec<Field>,
    deletion: Option<Order>,
}

/// What becomes of a key.
enum Outcome {
    Held(Merged),
    /// Deleted by this incoming row.
    Deleted(usize),
    Unchanged,
}

/// New rows of a table that merges by patch.
pub(crate) struct Patches {
    fresh: Fresh,
    schema: SchemaRef,
    orders: Orders,
    /// For each key its rows, the oldest first; in the order of keys.
    groups: Vec<Vec<usize>>,
    /// The columns that are merged one by one. The others come with the row that is the newest.
    merged: Vec<usize>,
    /// The newest row of each key, in the order of keys.
    pub(crate) newest: Batch,
}

impl Patches {
    pub(crate) fn new(fresh: Fresh, kind: &UpsertKind) -> Result<Self, ArrowError> {
        let order_by = kind.order_by.as_deref();
        let newest = Batch::newest(&fresh, &kind.key, order_by)?;
        let orders = Orders::of(&fresh.rows, order_by)?;
        let keys = comparable_keys(&fresh.rows, &kind.key)?;
        let mut by_key: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (row, key) in keys.iter().enumerate() {
            by_key.entry(key).or_default().push(row);
        }
        let mut groups: Vec<Vec<usize>> = by_key.into_values().collect();
        for rows in &mut groups {
            rows.sort_by_key(|row| (orders.get(*row), *row));
        }
        let schema = nullable(&fresh.rows.schema());
        let of_row = |name: &str| {
            let ours = [
                system::RECEIVED_AT,
                system::WRITTEN_AT,
                system::REQUEST_ID,
                system::PARTITION,
                system::OFFSET,
                system::FIELD_ORDERS,
            ];
            ours.contains(&name) || order_by == Some(name) || kind.key.iter().any(|key| key == name)
        };
        let merged = (0..).zip(schema.fields()).filter(|(_, field)| !of_row(field.name())).map(|(at, _)| at).collect();
        Ok(Self { fresh, schema, orders, groups, merged, newest })
    }

    /// Merges the new rows with those that are there.
    pub(crate) fn plan(&self, wanted: &Wanted, hits: &[Hit], stored: &Stored) -> Result<Plan, ArrowError> {
        let mut by_key: Vec<Vec<&Hit>> = vec![Vec::new(); wanted.len()];
        for hit in hits {
            if let Some(of_key) = by_key.get_mut(hit.wanted) {
                of_key.push(hit);
            }
        }
        let mut dead = DeadRows::default();
        let (mut held, mut deleted, mut updated) = (Vec::new(), Vec::new(), 0);
        for (rows, hits) in self.groups.iter().zip(by_key) {
            match self.merge(rows, &hits, stored) {
                Outcome::Unchanged => continue,
                Outcome::Held(merged) => held.push(merged),
                Outcome::Deleted(row) => deleted.push(row),
            }
            let live = hits.iter().filter(|hit| !hit.is_tombstone);
            updated += usize::from(live.clone().count() > 0);
            live.for_each(|hit| dead.insert(&hit.file, hit.row));
        }
        let held = self.rows_of(&held, stored)?;
        let deleted = arrow::array::UInt64Array::from_iter_values(deleted.into_iter().map(|row| row as u64));
        let deleted = arrow::compute::take_record_batch(&self.fresh.rows, &deleted)?;
        let marks = BooleanArray::from(vec![true; deleted.num_rows()]);
        let deleted = Batch { rows: deleted, deletes: marks };
        Ok(Plan { held, deleted, dead, updated })
    }

    fn merge(&self, rows: &[usize], hits: &[&Hit], stored: &Stored) -> Outcome {
        let tombstone = hits.iter().filter(|hit| hit.is_tombstone).filter_map(|hit| hit.order).max();
        let before = hits
            .iter()
            .filter(|hit| !hit.is_tombstone)
            .filter_map(|hit| self.row_before(hit, stored))
            .max_by_key(|row| row.order);
        let deletion_before = before.as_ref().and_then(|row| row.deletion).max(tombstone);
        let deleting = rows
            .iter()
            .copied()
            .filter(|row| self.fresh.deletes.value(*row))
            .max_by_key(|row| (self.orders.get(*row), *row));
        let deleting_order = deleting.map(|row| self.orders.get(row));
        let deletion = deletion_before.max(deleting_order);
        let is_newer_deletion = deletion > deletion_before;
        let is_gone = |order: Order| deletion.is_some_and(|deletion| order <= deletion);
        let mut has_changed = is_newer_deletion;
        // What is there with the order of a deletion that was there too came after it, in the same record.
        let was_gone = |order: Order| is_gone(order) && (is_newer_deletion || deletion != Some(order));
        let mut merged = before.filter(|row| !was_gone(row.order)).map(|mut row| {
            for field in &mut row.fields {
                if field.order.is_some_and(was_gone) {
                    *field = Field { order: None, from: From::Nothing };
                }
            }
            row
        });
        for row in rows.iter().copied().filter(|row| !self.fresh.deletes.value(*row)) {
            let order = self.orders.get(row);
            // A row of the record that deletes, after the one that does, is newer than that.
            let is_after_its_deletion =
                deleting.is_some_and(|deleting| deleting_order == Some(order) && row > deleting);
            let is_gone = is_gone(order) && !(is_after_its_deletion && deletion == Some(order));
            if is_gone {
                continue;
            }
            let into = merged.get_or_insert_with(|| Merged {
                order,
                from: From::Incoming(row),
                fields: vec![Field { order: None, from: From::Nothing }; self.merged.len()],
                deletion: None,
            });
            if order >= into.order {
                (into.order, into.from) = (order, From::Incoming(row));
                has_changed = true;
            }
            for (field, column) in into.fields.iter_mut().zip(&self.merged) {
                if !self.is_absent(*column, row) && field.order.is_none_or(|before| order >= before) {
                    *field = Field { order: Some(order), from: From::Incoming(row) };
                    has_changed = true;
                }
            }
        }
        match merged {
            _ if !has_changed => Outcome::Unchanged,
            Some(merged) => Outcome::Held(Merged { deletion, ..merged }),
            None => deleting.filter(|_| is_newer_deletion).map_or(Outcome::Unchanged, Outcome::Deleted),
        }
    }

    fn is_absent(&self, column: usize, row: usize) -> bool {
        let name = self.schema.field(column).name();
        self.fresh.absent.get(name).is_some_and(|absent| absent.value(row))
    }

    /// A row that is there, with the orders of its fields.
    fn row_before(&self, hit: &Hit, stored: &Stored) -> Option<Merged> {
        let (batch, row, of_file) = stored.find(hit)?;
        let order = of_file.orders.get(row);
        let written =
            of_file.rows.column_by_name(system::FIELD_ORDERS).and_then(|column| column.as_string_opt::<i32>());
        let written = written.filter(|written| written.is_valid(row)).map(|written| written.value(row));
        let written: BTreeMap<String, Option<Written>> =
            written.and_then(|written| serde_json::from_str(written).ok()).unwrap_or_default();
        let fields = self.merged.iter().map(|column| {
            let order = match written.get(self.schema.field(*column).name()) {
                Some(order) => order.map(read),
                None if of_file.lacking.get(*column) == Some(&true) => None,
                None => Some(order),
            };
            Field { order, from: if order.is_some() { From::Stored(batch, row) } else { From::Nothing } }
        });
        let deletion = written.get(DELETION).copied().flatten().map(read);
        Some(Merged { order, from: From::Stored(batch, row), fields: fields.collect(), deletion })
    }

    /// The rows as the table stores them.
    fn rows_of(&self, held: &[Merged], stored: &Stored) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (index, field) in self.schema.fields().iter().enumerate() {
            if field.name() == system::FIELD_ORDERS {
                let written: StringArray = held.iter().map(|row| self.written(row)).collect();
                columns.push(Arc::new(written));
                continue;
            }
            let place = self.merged.iter().position(|merged| *merged == index);
            // Incoming rows, then those that are there, then one null.
            let nothing = new_null_array(field.data_type(), 1);
            let of_stored = stored.batches.iter().map(|batch| batch.rows.column(index));
            let arrays: Vec<&dyn Array> = std::iter::once(self.fresh.rows.column(index))
                .chain(of_stored)
                .chain([&nothing])
                .map(AsRef::as_ref)
                .collect();
            let at = held.iter().map(|row| {
                let from = match place.and_then(|place| row.fields.get(place)) {
                    Some(field) => field.from,
                    None => row.from,
                };
                match from {
                    From::Incoming(row) => (0, row),
                    From::Stored(batch, row) => (batch + 1, row),
                    From::Nothing => (stored.batches.len() + 1, 0),
                }
            });
            let at: Vec<(usize, usize)> = at.collect();
            columns.push(if at.is_empty() { new_null_array(field.data_type(), 0) } else { interleave(&arrays, &at)? });
        }
        RecordBatch::try_new(self.schema.clone(), columns)
    }

    /// The orders of a row's fields that differ from its own. None: none does.
    fn written(&self, row: &Merged) -> Option<String> {
        let mut written: BTreeMap<&str, Option<Written>> = BTreeMap::new();
        for (field, column) in row.fields.iter().zip(&self.merged) {
            if field.order != Some(row.order) {
                written.insert(self.schema.field(*column).name(), field.order.map(write));
            }
        }
        if let Some(deletion) = row.deletion {
            written.insert(DELETION, Some(write(deletion)));
        }
        if written.is_empty() { None } else { serde_json::to_string(&written).ok() }
    }
}

fn write(order: Order) -> Written {
    (order.order_by, order.received_at, order.partition, order.offset)
}

fn read((order_by, received_at, partition, offset): Written) -> Order {
    Order { order_by, received_at, partition, offset }
}
