//! What makes one record of a key newer than another.

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use freshet_model::system;

/// The place of a record among those of its key: the greatest is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::struct_field_names, reason = "it is what the table's definition calls it")]
pub(crate) struct Order {
    /// The value of the table's `order_by` column as a number: itself, microseconds or days. None comes first.
    pub(crate) order_by: Option<i64>,
    /// Microseconds.
    pub(crate) received_at: i64,
    pub(crate) partition: i64,
    pub(crate) offset: i64,
}

impl Order {
    /// Before every record.
    pub(crate) const LEAST: Self =
        Self { order_by: None, received_at: i64::MIN, partition: i64::MIN, offset: i64::MIN };
}

/// The columns that order the records of one key, the most significant first.
pub(crate) fn order_columns(order_by: Option<&str>) -> Vec<&str> {
    order_by.into_iter().chain([system::RECEIVED_AT, system::PARTITION, system::OFFSET]).collect()
}

/// The orders of some rows.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    order_by: Option<Int64Array>,
    received_at: Int64Array,
    partition: Int64Array,
    offset: Int64Array,
}

impl Orders {
    /// Reads them from rows that have at least the columns of [`order_columns`].
    pub(crate) fn of(rows: &RecordBatch, order_by: Option<&str>) -> Result<Self, ArrowError> {
        let numbers = |name: &str| numbers(rows, name);
        Ok(Self {
            order_by: order_by.map(numbers).transpose()?,
            received_at: numbers(system::RECEIVED_AT)?,
            partition: numbers(system::PARTITION)?,
            offset: numbers(system::OFFSET)?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.received_at.len()
    }

    /// That of a row. What another engine wrote without our columns comes before every record.
    pub(crate) fn get(&self, row: usize) -> Order {
        Order {
            order_by: self.order_by.as_ref().and_then(|column| value(column, row)),
            received_at: value(&self.received_at, row).unwrap_or(i64::MIN),
            partition: value(&self.partition, row).unwrap_or(i64::MIN),
            offset: value(&self.offset, row).unwrap_or(i64::MIN),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Order> + '_ {
        (0..self.len()).map(|row| self.get(row))
    }
}

fn value(column: &Int64Array, row: usize) -> Option<i64> {
    (row < column.len() && column.is_valid(row)).then(|| column.value(row))
}

fn numbers(rows: &RecordBatch, name: &str) -> Result<Int64Array, ArrowError> {
    let column =
        rows.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))?;
    // Dates are 32 bits wide.
    let column = match column.data_type() {
        DataType::Date32 => cast(column, &DataType::Int32)?,
        _ => column.clone(),
    };
    let column = cast(&column, &DataType::Int64)?;
    Ok(column.as_any().downcast_ref::<Int64Array>().cloned().unwrap_or_else(|| Int64Array::new_null(rows.num_rows())))
}
