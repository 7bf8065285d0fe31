//! Keys of rows as bytes, and their hashes.

use std::hash::Hasher;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// The keys of some rows. Equal keys have equal bytes, whatever rows they come from.
#[derive(Debug)]
pub(crate) enum Keys {
    /// A key of one column of text is its own bytes: nothing to convert, and half as long.
    Text(StringArray),
    /// Any other.
    Rows(Rows),
}

impl Keys {
    /// Reads the keys of rows. The columns are taken as the types that `schema` has for them.
    pub(crate) fn of(rows: &RecordBatch, schema: &Schema, key: &[String]) -> Result<Self, ArrowError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(key.len());
        for name in key {
            let missing = || ArrowError::SchemaError(format!("there is no column {name}"));
            let column = rows.column_by_name(name).ok_or_else(missing)?;
            let wanted = schema.field_with_name(name)?.data_type();
            columns.push(if column.data_type() == wanted { column.clone() } else { cast(column, wanted)? });
        }
        if let [column] = columns.as_slice()
            && let Some(text) = column.as_string_opt::<i32>()
        {
            return Ok(Self::Text(text.clone()));
        }
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        Ok(Self::Rows(RowConverter::new(fields)?.convert_columns(&columns)?))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Rows(rows) => rows.num_rows(),
        }
    }

    /// The key of a row. None: it is null, which no record's is, so that nothing is ever looked for there.
    pub(crate) fn get(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Text(text) => (row < text.len() && text.is_valid(row)).then(|| text.value(row).as_bytes()),
            Self::Rows(rows) => (row < rows.num_rows()).then(|| rows.row(row).data()),
        }
    }
}

/// Whether a key can be looked for in a file by one column's least and greatest values: the type of the key's first
/// column orders as its values do.
pub(crate) fn orders_as_values(data_type: &DataType) -> bool {
    !data_type.is_floating()
}

/// Hashes keys by a secret of its own, so that nobody who chooses keys can make them meet.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct KeyHasher {
    secret: (u64, u64),
    /// Bits of a hash that are used.
    bits: u32,
}

impl KeyHasher {
    pub(crate) fn new(bits: u32) -> Self {
        let mut random = rand::rng();
        Self { secret: (random.random(), random.random()), bits: bits.clamp(1, u64::BITS) }
    }

    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(key);
        hasher.finish() >> (u64::BITS - self.bits)
    }
}
