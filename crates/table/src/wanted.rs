//! The keys that a batch looks for, and where one was found.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use hashbrown::HashTable;

use crate::candidates::Sought;
use crate::file::DataFile;
use crate::key::{KeyHasher, Keys};
use crate::order::{Order, Orders};

/// Slots of the filter in front of the map of keys, a power of two: 128 KiB of bits, which stay in the processor's cache.
const FILTER_BITS: usize = 1 << 20;
/// An odd number without a pattern (the fraction of the golden ratio).
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Keys that are looked for, each once, in the order of keys.
#[derive(Debug)]
pub(crate) struct Wanted {
    keys: Keys,
    hashes: Vec<u64>,
    orders: Vec<Order>,
    /// The values of the key's first column.
    first_column: Sought,
    by_hash: HashTable<usize>,
    filter: Vec<u64>,
}

/// A row that has a wanted key.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// Which one.
    pub(crate) wanted: usize,
    /// The file that it lies in.
    pub(crate) file: Arc<DataFile>,
    /// Where in the file.
    pub(crate) row: u64,
    /// Its order. None: it is before that of the wanted key's record, and was not read.
    pub(crate) order: Option<Order>,
    /// Whether it says that the key was deleted, rather than holding it.
    pub(crate) is_tombstone: bool,
}

impl Wanted {
    /// The keys of rows that are sorted by them.
    pub(crate) fn new(
        rows: &RecordBatch,
        key: &[String],
        order_by: Option<&str>,
        hasher: &KeyHasher,
    ) -> Result<Self, ArrowError> {
        let keys = Keys::of(rows, rows.schema_ref(), key)?;
        let orders: Vec<Order> = Orders::of(rows, order_by)?.iter().collect();
        let first = key.first().and_then(|name| rows.column_by_name(name)).cloned();
        let first_column = Sought::new(first.ok_or_else(|| ArrowError::SchemaError("there is no key".to_owned()))?)?;
        let mut filter = vec![0; FILTER_BITS / 64];
        let mut key_hashes: Vec<u64> = Vec::with_capacity(keys.len());
        let mut by_hash = HashTable::with_capacity(keys.len());
        for wanted in 0..keys.len() {
            let key = keys.get(wanted).unwrap_or_default();
            let hash = hasher.hash(key);
            by_hash.insert_unique(spread(hash), wanted, |other: &usize| {
                spread(key_hashes.get(*other).copied().unwrap_or(0))
            });
            key_hashes.push(hash);
            let (word, bit) = slot(key);
            if let Some(word) = filter.get_mut(word) {
                *word |= bit;
            }
        }
        Ok(Self { keys, hashes: key_hashes, orders, first_column, by_hash, filter })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn key(&self, wanted: usize) -> &[u8] {
        self.keys.get(wanted).unwrap_or_default()
    }

    pub(crate) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The order of the record that came with the key.
    pub(crate) fn order(&self, wanted: usize) -> Order {
        self.orders.get(wanted).copied().unwrap_or(Order::LEAST)
    }

    /// The values of the key's first column.
    pub(crate) fn first_column(&self) -> &Sought {
        &self.first_column
    }

    /// Which one a key is.
    pub(crate) fn position(&self, key: &[u8], hasher: &KeyHasher) -> Option<usize> {
        let (word, bit) = slot(key);
        if self.filter.get(word).is_none_or(|word| word & bit == 0) {
            return None;
        }
        self.by_hash.find(spread(hasher.hash(key)), |wanted| self.key(*wanted) == key).copied()
    }
}

/// A hash of any number of bits, as the map needs it.
fn spread(hash: u64) -> u64 {
    hash.wrapping_mul(MULTIPLIER)
}

/// A key's bit in the filter, by a hash that is cheap and no more.
fn slot(key: &[u8]) -> (usize, u64) {
    let mut hash = key.len() as u64;
    for chunk in key.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    }
    let bit = usize::try_from(hash >> 40).unwrap_or(0) % FILTER_BITS;
    (bit / 64, 1 << (bit % 64))
}
