//! What the index knows of one row.

use crate::order::Order;

/// A file of the index and a row of that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The index's own number of the file.
    pub(crate) file: u32,
    pub(crate) row: u32,
}

/// What the index knows of one row: that it has, or had, a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) hash: u64,
    pub(crate) key: &'a [u8],
    pub(crate) place: Place,
    pub(crate) order: Order,
    pub(crate) is_tombstone: bool,
}

/// The format of an entry in a run: hash (8 bytes, little endian), how many bytes follow, then as variable-length integers the key's
/// length, the key, file, row, flags, and the order's numbers by their distance from `base`'s. A look-up passes the entries of other
/// hashes by without reading them.
const TOMBSTONE: u64 = 1;
const ORDERED: u64 = 2;

impl<'a> Entry<'a> {
    pub(crate) fn write(&self, base: &Order, bytes: &mut Vec<u8>) {
        let mut rest = Vec::with_capacity(self.key.len() + 40);
        self.write_rest(base, &mut rest);
        bytes.extend_from_slice(&self.hash.to_le_bytes());
        write_number(rest.len() as u64, bytes);
        bytes.extend_from_slice(&rest);
    }

    fn write_rest(&self, base: &Order, bytes: &mut Vec<u8>) {
        write_number(self.key.len() as u64, bytes);
        bytes.extend_from_slice(self.key);
        write_number(self.place.file.into(), bytes);
        write_number(self.place.row.into(), bytes);
        let Order { order_by, received_at, partition, offset } = self.order;
        let ordered = if order_by.is_some() { ORDERED } else { 0 };
        write_number(ordered | u64::from(self.is_tombstone), bytes);
        if let Some(order_by) = order_by {
            write_distance(order_by, base.order_by.unwrap_or(0), bytes);
        }
        write_distance(received_at, base.received_at, bytes);
        write_distance(partition, base.partition, bytes);
        write_distance(offset, base.offset, bytes);
    }

    /// The hash of the entry at the start of some bytes, and the rest of it; what comes after it is left. None: it is not one.
    pub(crate) fn split(bytes: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
        let (hash, rest) = bytes.split_first_chunk::<8>()?;
        *bytes = rest;
        let length = usize::try_from(read_number(bytes)?).ok()?;
        let (entry, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some((u64::from_le_bytes(*hash), entry))
    }

    /// Reads the entry at the start of some bytes, and leaves what comes after it. None: it is not one.
    pub(crate) fn read(base: &Order, bytes: &mut &'a [u8]) -> Option<Self> {
        let (hash, rest) = Self::split(bytes)?;
        Self::read_rest(base, hash, rest)
    }

    /// Reads what [`Self::split`] has split.
    pub(crate) fn read_rest(base: &Order, hash: u64, mut rest: &'a [u8]) -> Option<Self> {
        let bytes = &mut rest;
        let length = usize::try_from(read_number(bytes)?).ok()?;
        let (key, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        let file = u32::try_from(read_number(bytes)?).ok()?;
        let row = u32::try_from(read_number(bytes)?).ok()?;
        let flags = read_number(bytes)?;
        let order_by =
            if flags & ORDERED == 0 { None } else { Some(read_distance(base.order_by.unwrap_or(0), bytes)?) };
        let order = Order {
            order_by,
            received_at: read_distance(base.received_at, bytes)?,
            partition: read_distance(base.partition, bytes)?,
            offset: read_distance(base.offset, bytes)?,
        };
        let place = Place { file, row };
        Some(Self { hash, key, place, order, is_tombstone: flags & TOMBSTONE != 0 })
    }
}

/// LEB128.
pub(crate) fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

pub(crate) fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn write_distance(value: i64, base: i64, bytes: &mut Vec<u8>) {
    let distance = value.wrapping_sub(base);
    write_number(((distance << 1) ^ (distance >> 63)).cast_unsigned(), bytes);
}

fn read_distance(base: i64, bytes: &mut &[u8]) -> Option<i64> {
    let number = read_number(bytes)?;
    let distance = (number >> 1).cast_signed() ^ -((number & 1).cast_signed());
    Some(base.wrapping_add(distance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let base = Order {
            order_by: Some(1_700_000_000_000_000),
            received_at: 1_700_000_000_000_000,
            partition: 0,
            offset: 0,
        };
        let orders = [
            Order::LEAST,
            Order { order_by: Some(i64::MIN), received_at: i64::MAX, partition: 3, offset: -1 },
            Order { order_by: Some(1_700_000_000_000_001), received_at: 1, partition: i64::MAX, offset: i64::MAX },
        ];
        let mut bytes = Vec::new();
        for (row, order) in orders.into_iter().enumerate() {
            let place = Place { file: u32::MAX, row: u32::try_from(row).unwrap() };
            let key: &[u8] = &[7; 300][..row * 150];
            Entry { hash: u64::MAX - row as u64, key, place, order, is_tombstone: row == 1 }.write(&base, &mut bytes);
        }
        let mut rest = bytes.as_slice();
        for (row, order) in orders.into_iter().enumerate() {
            let entry = Entry::read(&base, &mut rest).unwrap();
            assert_eq!((entry.order, entry.is_tombstone, entry.key.len()), (order, row == 1, row * 150));
            assert_eq!(entry.hash, u64::MAX - row as u64);
            assert_eq!(entry.place, Place { file: u32::MAX, row: u32::try_from(row).unwrap() });
        }
        assert!(rest.is_empty());
        for cut in 0..bytes.len() {
            let mut cut = &bytes[..cut];
            while Entry::read(&base, &mut cut).is_some() {}
        }
    }
}
