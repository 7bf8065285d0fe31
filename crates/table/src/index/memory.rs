//! The part of the index that is in memory.

use hashbrown::HashTable;

use super::entry::{Entry, Place};
use crate::order::Order;

#[derive(Debug, Clone, Copy)]
struct Held {
    hash: u64,
    key_start: u32,
    key_length: u32,
    place: Place,
    order: Order,
    is_tombstone: bool,
}

/// Entries in memory, found by hash and key. A key may have several.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    by_hash: HashTable<u32>,
    entries: Vec<Held>,
    keys: Vec<u8>,
}

/// A number without a pattern, by which hashes of few bits are spread over the table.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl Memory {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// About what it takes up, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.capacity()
            + self.entries.capacity() * size_of::<Held>()
            + self.by_hash.capacity() * (size_of::<u32>() + 1)
    }

    /// Takes an entry in, in the place of one of the same key that `is_obsolete`. False: it is full.
    pub(crate) fn insert(&mut self, entry: Entry<'_>, is_obsolete: impl Fn(&Entry<'_>) -> bool) -> bool {
        let obsolete = self
            .by_hash
            .iter_hash(spread(entry.hash))
            .copied()
            .find(|index| self.entry(*index).is_some_and(|held| held.key == entry.key && is_obsolete(&held)));
        let Entry { hash, key, place, order, is_tombstone } = entry;
        if let Some(held) = obsolete.and_then(|index| self.entries.get_mut(index as usize)) {
            *held = Held { place, order, is_tombstone, ..*held };
            return true;
        }
        let (Ok(index), Ok(key_start), Ok(key_length)) =
            (u32::try_from(self.entries.len()), u32::try_from(self.keys.len()), u32::try_from(key.len()))
        else {
            return false;
        };
        self.keys.extend_from_slice(key);
        self.entries.push(Held { hash, key_start, key_length, place, order, is_tombstone });
        let entries = &self.entries;
        self.by_hash.insert_unique(spread(hash), index, |other| {
            spread(entries.get(*other as usize).map_or(0, |held| held.hash))
        });
        true
    }

    /// The entries of a key.
    pub(crate) fn find<'a>(&'a self, hash: u64, key: &'a [u8]) -> impl Iterator<Item = Entry<'a>> + 'a {
        self.by_hash
            .iter_hash(spread(hash))
            .filter_map(|index| self.entry(*index))
            .filter(move |held| held.hash == hash && held.key == key)
    }

    /// All entries, by their hashes.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut sorted: Vec<(u64, u32)> = self.entries.iter().map(|held| held.hash).zip(0..).collect();
        sorted.sort_unstable();
        sorted.into_iter().filter_map(|(_, index)| self.entry(index))
    }

    fn entry(&self, index: u32) -> Option<Entry<'_>> {
        let Held { hash, key_start, key_length, place, order, is_tombstone } = *self.entries.get(index as usize)?;
        let key = self.keys.get(key_start as usize..)?.get(..key_length as usize)?;
        Some(Entry { hash, key, place, order, is_tombstone })
    }
}

fn spread(hash: u64) -> u64 {
    hash.wrapping_mul(MULTIPLIER)
}
