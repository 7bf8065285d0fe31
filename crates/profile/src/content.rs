//! A profile's attributes as items: one head, and parts where they don't fit it.

use bytes::Bytes;
use freshet_store::MAX_VALUE_BYTES;

use crate::MAX_ATTRIBUTES_BYTES;
use crate::encoding::{Reader, put_number};
use crate::entry::Parts;
use crate::hash::Hash;

const FORMAT: u8 = 1;
const COMPRESSED: u8 = 1;
const IN_PARTS: u8 = 2;
/// Attributes shorter than this are stored as they are: `DynamoDB` counts whole kilobytes, and reading is quicker.
const COMPRESSED_FROM: usize = 2_048;
const COMPRESSION_LEVEL: i32 = 1;
/// Most bytes of the attributes in a head; its other fields need less than the rest of an item.
const INLINE_BYTES: usize = MAX_VALUE_BYTES - 64;

/// A profile's attributes, ready to be stored.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) hash: Hash,
    pub(crate) head: Bytes,
    pub(crate) parts: Vec<Bytes>,
}

impl Content {
    /// `attributes` is the text of a JSON object whose hash is `hash`.
    pub(crate) fn of(attributes: &str, hash: Hash) -> Self {
        let compressed = (attributes.len() >= COMPRESSED_FROM)
            .then(|| zstd::bulk::compress(attributes.as_bytes(), COMPRESSION_LEVEL).ok())
            .flatten()
            .filter(|compressed| compressed.len() < attributes.len());
        let stored = compressed.as_deref().unwrap_or(attributes.as_bytes());
        let compression = if compressed.is_some() { COMPRESSED } else { 0 };
        if stored.len() <= INLINE_BYTES {
            let mut head = header(compression, attributes.len(), hash);
            head.extend_from_slice(stored);
            return Self { hash, head: Bytes::from(head), parts: Vec::new() };
        }
        let parts: Vec<Bytes> = stored.chunks(MAX_VALUE_BYTES).map(Bytes::copy_from_slice).collect();
        let mut head = header(compression | IN_PARTS, attributes.len(), hash);
        put_number(&mut head, parts.len() as u64);
        Self { hash, head: Bytes::from(head), parts }
    }

    /// Its parts, if it has any.
    pub(crate) fn parts(&self) -> Option<Parts> {
        let count = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        (count > 0).then_some(Parts { hash: self.hash, count })
    }

    /// Bytes of all its items' values.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.head.len() + self.parts.iter().map(Bytes::len).sum::<usize>()
    }
}

fn header(flags: u8, attributes_bytes: usize, hash: Hash) -> Vec<u8> {
    let mut header = vec![FORMAT, flags];
    put_number(&mut header, attributes_bytes as u64);
    header.extend_from_slice(&hash.0);
    header
}

/// The head of a profile.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    is_compressed: bool,
    /// Bytes of the attributes as JSON.
    pub(crate) attributes_bytes: usize,
    hash: Hash,
    body: Body<'a>,
}

#[derive(Debug)]
enum Body<'a> {
    Inline(&'a [u8]),
    InParts(Parts),
}

impl<'a> Head<'a> {
    /// None: it is not a head of this format.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != FORMAT {
            return None;
        }
        let flags = reader.byte()?;
        let attributes_bytes =
            usize::try_from(reader.number()?).ok().filter(|length| *length <= MAX_ATTRIBUTES_BYTES)?;
        let hash = Hash(reader.array()?);
        let body = if flags & IN_PARTS == 0 {
            Body::Inline(reader.rest())
        } else {
            let most = attributes_bytes.div_ceil(MAX_VALUE_BYTES) as u64;
            let count = reader.number().filter(|count| *count <= most)?;
            Body::InParts(Parts { hash, count: u32::try_from(count).ok()? })
        };
        Some(Self { is_compressed: flags & COMPRESSED != 0, attributes_bytes, hash, body })
    }

    /// The parts to read besides, if the attributes don't stand in the head.
    pub(crate) fn parts(&self) -> Option<Parts> {
        match self.body {
            Body::Inline(_) => None,
            Body::InParts(parts) => Some(parts),
        }
    }

    /// The attributes, from what stands in the head or from all of its parts. None: they are not what the head is of.
    pub(crate) fn attributes(&self, parts: &[Bytes]) -> Option<String> {
        match self.body {
            Body::Inline(stored) => self.decompressed(stored),
            // Parts of one hash may be of two compressions where a refresh was killed; only what fits together is taken.
            Body::InParts(_) => {
                self.decompressed(&parts.concat()).filter(|attributes| Hash::of(attributes.as_bytes()) == self.hash)
            }
        }
    }

    fn decompressed(&self, stored: &[u8]) -> Option<String> {
        let attributes = if self.is_compressed {
            zstd::bulk::decompress(stored, self.attributes_bytes).ok()?
        } else {
            stored.to_vec()
        };
        String::from_utf8(attributes).ok().filter(|attributes| attributes.len() == self.attributes_bytes)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Text that zstd can't make much of.
    fn noise(length: usize) -> String {
        let mut state = 7_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b' ' + u8::try_from(state >> 58).unwrap())
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[rstest]
    #[case::empty(String::new(), 0)]
    #[case::short(noise(100), 0)]
    #[case::compressed(noise(COMPRESSED_FROM), 0)]
    #[case::repetitive("x".repeat(MAX_ATTRIBUTES_BYTES), 0)]
    #[case::in_parts(noise(MAX_VALUE_BYTES * 2), 2)]
    #[case::the_longest(noise(MAX_ATTRIBUTES_BYTES), 8)]
    fn attributes_are_read_as_they_were_written(#[case] attributes: String, #[case] parts: usize) {
        let content = Content::of(&attributes, Hash::of(attributes.as_bytes()));
        assert_eq!(content.parts.len(), parts);
        assert!(content.head.len() <= MAX_VALUE_BYTES);
        assert!(content.parts.iter().all(|part| part.len() <= MAX_VALUE_BYTES));
        let head = Head::decode(&content.head).unwrap();
        assert_eq!(head.attributes_bytes, attributes.len());
        assert_eq!(head.parts(), content.parts());
        assert_eq!(head.attributes(&content.parts), Some(attributes));
    }

    #[test]
    fn parts_that_do_not_belong_together_are_none() {
        let attributes = noise(MAX_VALUE_BYTES * 2);
        let content = Content::of(&attributes, Hash::of(attributes.as_bytes()));
        let head = Head::decode(&content.head).unwrap();
        let mut other = content.parts.clone();
        other.swap(0, 1);
        assert_eq!(head.attributes(&other), None);
        assert_eq!(head.attributes(&content.parts[..1]), None);
    }

    #[test]
    fn a_head_that_claims_more_than_is_allowed_is_none() {
        let mut head = header(0, MAX_ATTRIBUTES_BYTES + 1, Hash([0; 16]));
        assert!(Head::decode(&head).is_none());
        head = header(IN_PARTS, 1_000, Hash([0; 16]));
        put_number(&mut head, 2);
        assert!(Head::decode(&head).is_none());
    }
}
