//! What of a delivery is not yet in the table.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use deltalake_core::kernel::Transaction;
use freshet_model::system;

use crate::TableError;
use crate::log::{Transactions, application};

/// Rows of a stretch of one partition.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The partition of the topic.
    pub partition: u32,
    /// The offsets that it covers: all rows that came from them are here. Offsets without rows are covered too.
    pub offsets: Range<u64>,
    /// The rows, with the table's columns in any order.
    pub rows: RecordBatch,
    /// The offset of each row, never falling, within `offsets`. Rows of one offset are in the order of their record.
    pub row_offsets: Vec<u64>,
    /// Rows (true) that delete their key. None: no row does.
    pub deletes: Option<BooleanArray>,
    /// By the name of a column, rows (true) whose record lacked the field. Only for tables that merge by patch.
    pub absent: BTreeMap<String, BooleanArray>,
}

/// The rows that a commit adds, and what it says of them.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// By partition, then offset, then place in the slice; at least the columns of the table, in its order.
    pub(crate) rows: RecordBatch,
    /// Rows that delete their key.
    pub(crate) deletes: BooleanArray,
    /// By column, rows whose record lacked the field.
    pub(crate) absent: BTreeMap<String, BooleanArray>,
    /// One action for each partition that moves on.
    pub(crate) transactions: Vec<Transaction>,
}

/// Refuses slices that don't fit their own description or the table, and brings their columns into the table's order.
pub(crate) fn conformed(path: &str, schema: &SchemaRef, slices: &[Slice]) -> Result<Vec<Slice>, TableError> {
    let mut conformed = Vec::with_capacity(slices.len());
    for slice in slices {
        conformed
            .push(conform(schema, slice).map_err(|problem| TableError::BadSlice { path: path.to_owned(), problem })?);
    }
    conformed.sort_by_key(|slice| (slice.partition, slice.offsets.start, slice.offsets.end));
    Ok(conformed)
}

fn conform(schema: &SchemaRef, slice: &Slice) -> Result<Slice, String> {
    let Slice { offsets, rows, row_offsets, deletes, absent, .. } = slice;
    if row_offsets.len() != rows.num_rows() {
        return Err(format!("{} rows came with {} offsets", rows.num_rows(), row_offsets.len()));
    }
    if deletes.iter().chain(absent.values()).any(|marks| marks.len() != rows.num_rows() || marks.null_count() > 0) {
        return Err("a row is not marked as deleting or lacking, or not".to_owned());
    }
    if let Some(stranger) = absent.keys().find(|name| schema.column_with_name(name).is_none()) {
        return Err(format!("rows lack a column {stranger} that the table has not"));
    }
    if !row_offsets.is_sorted() {
        return Err("the offsets of the rows fall".to_owned());
    }
    if offsets.start > offsets.end || i64::try_from(offsets.end).is_err() {
        return Err(format!("{} to {} are not offsets", offsets.start, offsets.end));
    }
    if row_offsets.iter().any(|offset| !offsets.contains(offset)) {
        return Err(format!("a row lies outside the offsets {} to {} of its slice", offsets.start, offsets.end));
    }
    let known: BTreeSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    if let Some(stranger) = rows.schema_ref().fields().iter().find(|field| !known.contains(field.name().as_str())) {
        return Err(format!("the rows have a column {} and the table has not", stranger.name()));
    }
    let mut absent = absent.clone();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match rows.column_by_name(field.name()) {
            // A column that was added to the table after the rows were made: nobody looked for its field.
            None if field.is_nullable() => {
                absent.insert(field.name().clone(), BooleanArray::from(vec![true; rows.num_rows()]));
                new_null_array(field.data_type(), rows.num_rows())
            }
            None => return Err(format!("the rows have no column {}", field.name())),
            Some(column) if column.data_type() == field.data_type() => column.clone(),
            Some(column) => {
                return Err(format!(
                    "column {} is {} and the rows have {}",
                    field.name(),
                    field.data_type(),
                    column.data_type()
                ));
            }
        };
        if column.null_count() > 0
            && [system::RECEIVED_AT, system::PARTITION, system::OFFSET].contains(&field.name().as_str())
        {
            return Err(format!("column {} orders the records and is null in a row", field.name()));
        }
        columns.push(column);
    }
    let rows = RecordBatch::try_new(schema.clone(), columns).map_err(|error| error.to_string())?;
    Ok(Slice { rows, absent, ..slice.clone() })
}

/// What of the slices (sorted by partition and offset) is not yet in; none: nothing of it has to be written.
pub(crate) fn fresh(
    schema: &SchemaRef,
    topic: &str,
    slices: &[Slice],
    transactions: &Transactions,
) -> Result<Option<Fresh>, ArrowError> {
    let mut batches = Vec::new();
    let mut deletes = Vec::new();
    let mut absent: BTreeMap<String, Vec<BooleanArray>> =
        slices.iter().flat_map(|slice| slice.absent.keys()).map(|name| (name.clone(), Vec::new())).collect();
    let mut moved = Vec::new();
    let mut worth_a_commit = false;
    for of_partition in slices.chunk_by(|left, right| left.partition == right.partition) {
        let Some(partition) = of_partition.first().map(|slice| slice.partition) else { continue };
        let committed = transactions.next_offset(topic, partition);
        let mut next = committed;
        for slice in of_partition {
            let first_new = slice.row_offsets.partition_point(|offset| *offset < next);
            let count = slice.rows.num_rows() - first_new;
            batches.push(slice.rows.slice(first_new, count));
            deletes.push(marks(slice.deletes.as_ref(), first_new, count));
            for (name, marked) in &mut absent {
                marked.push(marks(slice.absent.get(name), first_new, count));
            }
            // A slice without rows is not worth a commit: whoever delivers it keeps account of it.
            worth_a_commit |= slice.offsets.end > next && slice.rows.num_rows() > 0;
            next = next.max(slice.offsets.end);
        }
        if next > committed {
            // Checked when the slice came in: an offset fits into a version.
            let version = i64::try_from(next).unwrap_or(i64::MAX);
            moved.push(Transaction::new(application(topic, partition), version));
        }
    }
    if !worth_a_commit {
        return Ok(None);
    }
    Ok(Some(Fresh {
        rows: concat_batches(schema, &batches)?,
        deletes: concat_marks(&deletes)?,
        absent: absent
            .into_iter()
            .map(|(name, marked)| Ok((name, concat_marks(&marked)?)))
            .collect::<Result<_, ArrowError>>()?,
        transactions: moved,
    }))
}

/// The marks of some of a slice's rows; without any, none is marked.
fn marks(marks: Option<&BooleanArray>, first: usize, count: usize) -> BooleanArray {
    marks.map_or_else(|| BooleanArray::new(BooleanBuffer::new_unset(count), None), |marks| marks.slice(first, count))
}

fn concat_marks(marks: &[BooleanArray]) -> Result<BooleanArray, ArrowError> {
    let marks: Vec<&dyn Array> = marks.iter().map(|marks| marks as &dyn Array).collect();
    Ok(concat(&marks)?.as_boolean().clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("_offset", DataType::Int64, true)]))
    }

    fn slice(partition: u32, offsets: Range<u64>) -> Slice {
        let row_offsets: Vec<u64> = offsets.clone().collect();
        let column = Int64Array::from_iter_values(offsets.clone().map(|offset| i64::try_from(offset).unwrap()));
        let rows = RecordBatch::try_new(schema(), vec![Arc::new(column)]).unwrap();
        Slice { partition, offsets, rows, row_offsets, deletes: None, absent: BTreeMap::new() }
    }

    /// Offsets of the rows taken, and what the commit says of its partitions.
    type Taken = (Vec<i64>, Vec<(String, i64)>);

    fn fresh_offsets(slices: &[Slice], committed: &[(u32, i64)]) -> Option<Taken> {
        let mut transactions = Transactions::default();
        transactions
            .apply(committed.iter().map(|(partition, next)| Transaction::new(application("t", *partition), *next)));
        let slices = conformed("x", &schema(), slices).unwrap();
        fresh(&schema(), "t", &slices, &transactions).unwrap().map(|fresh| {
            let offsets = fresh.rows.column(0).as_primitive::<Int64Type>().values().to_vec();
            (offsets, fresh.transactions.into_iter().map(|said| (said.app_id, said.version)).collect())
        })
    }

    #[test]
    fn each_offset_is_taken_once_in_any_order_of_slices() {
        let slices = [slice(1, 5..8), slice(0, 3..5), slice(0, 0..4), slice(1, 2..6)];
        let (offsets, said) = fresh_offsets(&slices, &[(1, 3)]).unwrap();
        assert_eq!(offsets, [0, 1, 2, 3, 4, 3, 4, 5, 6, 7]);
        assert_eq!(said, [("freshet:t:0".to_owned(), 5), ("freshet:t:1".to_owned(), 8)]);
    }

    #[test]
    fn what_is_in_moves_nothing_and_never_back() {
        assert_eq!(fresh_offsets(&[slice(0, 0..5)], &[(0, 5)]), None);
        assert_eq!(fresh_offsets(&[slice(0, 0..5)], &[(0, 9)]), None);
        let (_, said) = fresh_offsets(&[slice(0, 0..5), slice(1, 0..1)], &[(0, 9)]).unwrap();
        assert_eq!(said, [("freshet:t:1".to_owned(), 1)]);
    }

    #[test]
    fn a_slice_without_rows_moves_on_only_with_others() {
        let empty = || Slice { offsets: 5..9, ..slice(0, 0..0) };
        assert_eq!(fresh_offsets(&[empty()], &[]), None);
        let (_, said) = fresh_offsets(&[empty(), slice(1, 0..1)], &[]).unwrap();
        assert_eq!(said.first(), Some(&("freshet:t:0".to_owned(), 9)));
    }

    #[test]
    fn rows_that_are_in_still_move_on_when_their_slice_covers_more() {
        let longer = Slice { offsets: 0..9, ..slice(0, 0..5) };
        let (offsets, said) = fresh_offsets(&[longer], &[(0, 7)]).unwrap();
        assert!(offsets.is_empty());
        assert_eq!(said, [("freshet:t:0".to_owned(), 9)]);
    }

    #[test]
    fn a_slice_that_contradicts_itself_is_refused() {
        let cases: [(Slice, &str); 4] = [
            (Slice { row_offsets: vec![0], ..slice(0, 0..2) }, "2 rows came with 1 offsets"),
            (Slice { row_offsets: vec![1, 0], ..slice(0, 0..2) }, "the offsets of the rows fall"),
            (Slice { offsets: 0..1, ..slice(0, 0..2) }, "outside the offsets 0 to 1"),
            (Slice { offsets: 0..u64::MAX, ..slice(0, 0..2) }, "are not offsets"),
        ];
        for (slice, expected) in cases {
            let error = conformed("orders", &schema(), &[slice]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
