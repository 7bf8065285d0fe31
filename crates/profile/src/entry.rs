//! A profile's entry in the list of all: what was written of it, and by which refresh.

use bytes::Bytes;

use crate::encoding::{Reader, put_number, put_text};
use crate::hash::Hash;
use crate::keys::Posting;

const FORMAT: u8 = 1;
const LEAVING: u8 = 1;

/// The parts of a profile that doesn't fit one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The hash of the profile's content.
    pub(crate) hash: Hash,
    /// How many there are.
    pub(crate) count: u32,
}

/// All that may lie in the store of a profile besides its head. Written before anything that it names is, and deleted after all
/// of that is gone: whatever a killed refresh leaves behind, an entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The refresh that wrote it.
    pub(crate) refresh: u64,
    /// The hash of the content that the refresh gave the profile.
    pub(crate) hash: Hash,
    /// The refresh removes the profile.
    pub(crate) is_leaving: bool,
    /// The lists that the profile is in, in order.
    pub(crate) postings: Vec<Posting>,
    /// Its parts, if its head names any.
    pub(crate) parts: Option<Parts>,
    /// The lists that the refresh takes the profile off.
    pub(crate) stale_postings: Vec<Posting>,
    /// The parts that the refresh removes.
    pub(crate) stale_parts: Vec<Parts>,
}

impl Entry {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        out.push(FORMAT);
        put_number(&mut out, self.refresh);
        out.extend_from_slice(&self.hash.0);
        out.push(if self.is_leaving { LEAVING } else { 0 });
        put_postings(&mut out, &self.postings);
        put_parts(&mut out, self.parts.as_slice());
        put_postings(&mut out, &self.stale_postings);
        put_parts(&mut out, &self.stale_parts);
        Bytes::from(out)
    }

    /// None: it is not an entry of this format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != FORMAT {
            return None;
        }
        let refresh = reader.number()?;
        let hash = Hash(reader.array()?);
        let is_leaving = reader.byte()? & LEAVING != 0;
        let postings = postings(&mut reader)?;
        let mut parts = parts(&mut reader)?;
        let stale_postings = self::postings(&mut reader)?;
        let stale_parts = self::parts(&mut reader)?;
        Some(Self { refresh, hash, is_leaving, postings, parts: parts.pop(), stale_postings, stale_parts })
    }

    /// Every list that the profile may be in.
    pub(crate) fn all_postings(&self) -> impl Iterator<Item = &Posting> {
        self.postings.iter().chain(&self.stale_postings)
    }

    /// Every part of it that there may be.
    pub(crate) fn all_parts(&self) -> impl Iterator<Item = Parts> {
        self.parts.into_iter().chain(self.stale_parts.iter().copied())
    }
}

fn put_postings(out: &mut Vec<u8>, postings: &[Posting]) {
    put_number(out, postings.len() as u64);
    for posting in postings {
        out.push(posting.field);
        put_text(out, &posting.value);
    }
}

fn postings(reader: &mut Reader<'_>) -> Option<Vec<Posting>> {
    let count = reader.count()?;
    (0..count).map(|_| Some(Posting { field: reader.byte()?, value: reader.text()?.to_owned() })).collect()
}

fn put_parts(out: &mut Vec<u8>, all: &[Parts]) {
    put_number(out, all.len() as u64);
    for parts in all {
        out.extend_from_slice(&parts.hash.0);
        put_number(out, u64::from(parts.count));
    }
}

fn parts(reader: &mut Reader<'_>) -> Option<Vec<Parts>> {
    let count = reader.count()?;
    (0..count)
        .map(|_| Some(Parts { hash: Hash(reader.array()?), count: u32::try_from(reader.number()?).ok()? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some_postings() -> impl Strategy<Value = Vec<Posting>> {
        prop::collection::vec((0..20_u8, "[=#].{0,20}").prop_map(|(field, value)| Posting { field, value }), 0..4)
    }

    fn some_parts() -> impl Strategy<Value = Parts> {
        (any::<[u8; 16]>(), any::<u32>()).prop_map(|(hash, count)| Parts { hash: Hash(hash), count })
    }

    proptest! {
        #[test]
        fn an_entry_is_read_as_it_was_written(
            refresh: u64,
            hash: [u8; 16],
            is_leaving: bool,
            postings in some_postings(),
            parts in prop::option::of(some_parts()),
            stale_postings in some_postings(),
            stale_parts in prop::collection::vec(some_parts(), 0..3),
        ) {
            let hash = Hash(hash);
            let entry = Entry { refresh, hash, is_leaving, postings, parts, stale_postings, stale_parts };
            let bytes = entry.encode();
            prop_assert_eq!(Entry::decode(&bytes), Some(entry));
            for length in 0..bytes.len() {
                Entry::decode(&bytes[..length]);
            }
        }

        #[test]
        fn any_bytes_are_an_entry_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            Entry::decode(&bytes);
        }
    }
}
