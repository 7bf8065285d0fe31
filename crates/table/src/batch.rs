//! One row a key out of the new rows of a delivery: what the table is to hold, should nothing in it be newer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::{filter_record_batch, not, take, take_record_batch};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use freshet_model::system;

use crate::incoming::Fresh;
use crate::order::{Orders, order_columns};

/// Rows, sorted by key, each key once.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) rows: RecordBatch,
    /// Rows that delete their key.
    pub(crate) deletes: BooleanArray,
}

/// The first row whose key has a null in it; none: there is none.
pub(crate) fn null_key(rows: &RecordBatch, key: &[String]) -> Option<(usize, String)> {
    key.iter().find_map(|name| {
        let column = rows.column_by_name(name)?;
        (0..column.len()).find(|row| column.is_null(*row)).map(|row| (row, name.clone()))
    })
}

impl Batch {
    /// Keeps for each key the row with the greatest order, the later one where two are equal.
    pub(crate) fn newest(fresh: &Fresh, key: &[String], order_by: Option<&str>) -> Result<Self, ArrowError> {
        let Fresh { rows, deletes, .. } = fresh;
        let keys = comparable_keys(rows, key)?;
        let orders = Orders::of(rows, order_by)?;
        let mut newest = HashMap::with_capacity(rows.num_rows());
        for (index, (key, order)) in keys.iter().zip(orders.iter()).enumerate() {
            match newest.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert((order, index));
                }
                Entry::Occupied(mut entry) => {
                    if order >= entry.get().0 {
                        entry.insert((order, index));
                    }
                }
            }
        }
        let mut newest: Vec<_> = newest.into_iter().map(|(key, (_, index))| (key, index as u64)).collect();
        newest.sort_unstable_by_key(|(key, _)| *key);
        let chosen = UInt64Array::from_iter_values(newest.into_iter().map(|(_, index)| index));
        Ok(Self { rows: take_record_batch(rows, &chosen)?, deletes: boolean(&take(deletes, &chosen, None)?) })
    }

    /// Those of its rows that are marked.
    pub(crate) fn filtered(&self, marked: &BooleanArray) -> Result<Self, ArrowError> {
        let deletes = arrow::compute::filter(&self.deletes, marked)?;
        Ok(Self { rows: filter_record_batch(&self.rows, marked)?, deletes: boolean(&deletes) })
    }

    /// The rows that hold their key, and those that delete it.
    pub(crate) fn split(self) -> Result<(RecordBatch, Self), ArrowError> {
        let held = filter_record_batch(&self.rows, &not(&self.deletes)?)?;
        Ok((held, self.filtered(&self.deletes)?))
    }

    /// Its rows as tombstones: of all that a record said no more than its key, its order, and when it was written, by which it grows
    /// old.
    pub(crate) fn tombstones(&self, key: &[String], order_by: Option<&str>) -> Result<RecordBatch, ArrowError> {
        let mut kept = order_columns(order_by);
        kept.push(system::WRITTEN_AT);
        let schema = self.rows.schema();
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .zip(self.rows.columns())
            .map(|(field, column)| {
                let is_kept = key.iter().any(|name| name == field.name()) || kept.contains(&field.name().as_str());
                if is_kept { column.clone() } else { new_null_array(field.data_type(), self.rows.num_rows()) }
            })
            .collect();
        RecordBatch::try_new(nullable(&schema), columns)
    }
}

/// The keys of rows as bytes that compare as they do.
pub(crate) fn comparable_keys(rows: &RecordBatch, key: &[String]) -> Result<arrow::row::Rows, ArrowError> {
    let columns: Vec<ArrayRef> = key
        .iter()
        .map(|name| {
            let column = rows.column_by_name(name);
            column.cloned().ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))
        })
        .collect::<Result<_, _>>()?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    RowConverter::new(fields)?.convert_columns(&columns)
}

/// The same columns, all of which may be null.
pub(crate) fn nullable(schema: &arrow::datatypes::Schema) -> arrow::datatypes::SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    std::sync::Arc::new(arrow::datatypes::Schema::new(fields))
}

fn boolean(array: &ArrayRef) -> BooleanArray {
    array.as_any().downcast_ref::<BooleanArray>().cloned().unwrap_or_else(|| BooleanArray::new_null(array.len()))
}
