//! One record a key: the newest by the order that the table keeps.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use freshet_model::system;

/// The columns that order the records of one key, the most significant first.
pub(crate) fn order_columns(order_by: Option<&str>) -> Vec<&str> {
    order_by.into_iter().chain([system::RECEIVED_AT, system::PARTITION, system::OFFSET]).collect()
}

/// Keeps for each key the row with the greatest order, the later one where two are equal; sorted by key.
pub(crate) fn winners(rows: &RecordBatch, key: &[String], order_by: Option<&str>) -> Result<RecordBatch, ArrowError> {
    let key_names: Vec<&str> = key.iter().map(String::as_str).collect();
    let keys = comparable(rows, &key_names)?;
    let orders = comparable(rows, &order_columns(order_by))?;
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
    take_record_batch(rows, &UInt64Array::from_iter_values(newest.into_iter().map(|(_, index)| index)))
}

/// The values of some columns, row by row, as bytes that compare as they do, nulls first.
fn comparable(rows: &RecordBatch, names: &[&str]) -> Result<Rows, ArrowError> {
    let columns: Vec<ArrayRef> = names
        .iter()
        .map(|name| {
            let column = rows.column_by_name(name);
            column.cloned().ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))
        })
        .collect::<Result<_, _>>()?;
    let ascending = SortOptions { descending: false, nulls_first: true };
    let fields =
        columns.iter().map(|column| SortField::new_with_options(column.data_type().clone(), ascending)).collect();
    RowConverter::new(fields)?.convert_columns(&columns)
}
