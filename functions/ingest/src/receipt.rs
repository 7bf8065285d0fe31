//! Receipts: where in the queue the records of one request lie.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use freshet_model::Position;

/// The version that stands first in an encoded receipt.
const VERSION: u8 = 1;
/// Most partitions of one receipt; a request's records go to one today.
const MAX_PARTITIONS: usize = 256;
/// Longest encoded receipt that is read, in bytes: 256 partitions of three numbers of at most 10 bytes, and a third for base64.
const MAX_ENCODED: usize = 12_288;

/// Where a request's records lie: for each partition the first and the last offset. To a client it is opaque text; a query that is
/// given it waits for nothing and reads the queue at least up to there.
///
/// The text is base64url of: a byte for the version, then per partition, in order, three LEB128 numbers: partition, first
/// offset, last offset minus first. It names no tenant: whoever reads the positions reads only what is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    ranges: BTreeMap<u32, OffsetRange>,
}

/// A range of offsets, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    /// The first record's offset.
    pub first: u64,
    /// The last record's offset.
    pub last: u64,
}

/// A text that is not a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a receipt; send one as ingest answered it, unchanged")]
pub struct InvalidReceipt;

impl Receipt {
    /// The receipt of records at these positions.
    pub fn of(positions: &[Position]) -> Self {
        let mut ranges: BTreeMap<u32, OffsetRange> = BTreeMap::new();
        for Position { partition, offset } in positions.iter().copied() {
            let range = ranges.entry(partition).or_insert(OffsetRange { first: offset, last: offset });
            range.first = range.first.min(offset);
            range.last = range.last.max(offset);
        }
        Self { ranges }
    }

    /// The ranges by partition, at least one.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, OffsetRange)> {
        self.ranges.iter().map(|(partition, range)| (*partition, *range))
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        for (partition, range) in &self.ranges {
            put_number(&mut bytes, u64::from(*partition));
            put_number(&mut bytes, range.first);
            put_number(&mut bytes, range.last.saturating_sub(range.first));
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Receipt {
    type Err = InvalidReceipt;

    fn from_str(text: &str) -> Result<Self, InvalidReceipt> {
        if text.len() > MAX_ENCODED {
            return Err(InvalidReceipt);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_not_base64| InvalidReceipt)?;
        let Some((&VERSION, mut rest)) = bytes.split_first() else {
            return Err(InvalidReceipt);
        };
        let mut ranges = BTreeMap::new();
        while !rest.is_empty() {
            let partition = u32::try_from(take_number(&mut rest)?).map_err(|_too_large| InvalidReceipt)?;
            let first = take_number(&mut rest)?;
            let last = first.checked_add(take_number(&mut rest)?).ok_or(InvalidReceipt)?;
            let replaced = ranges.insert(partition, OffsetRange { first, last });
            if replaced.is_some() || ranges.len() > MAX_PARTITIONS {
                return Err(InvalidReceipt);
            }
        }
        if ranges.is_empty() { Err(InvalidReceipt) } else { Ok(Self { ranges }) }
    }
}

/// Appends a number in LEB128: seven bits a byte, the lowest first, the high bit set on all but the last.
fn put_number(bytes: &mut Vec<u8>, number: u64) {
    let mut rest = number;
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or(0);
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take_number(bytes: &mut &[u8]) -> Result<u64, InvalidReceipt> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(InvalidReceipt)?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if low << shift >> shift != low {
            return Err(InvalidReceipt);
        }
        number |= low << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(InvalidReceipt)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn at(partition: u32, offset: u64) -> Position {
        Position { partition, offset }
    }

    #[test]
    fn a_receipt_covers_its_positions() {
        let receipt = Receipt::of(&[at(3, 10), at(3, 12), at(0, u64::MAX), at(3, 11)]);
        let ranges: Vec<_> = receipt.ranges().collect();
        let most = OffsetRange { first: u64::MAX, last: u64::MAX };
        assert_eq!(ranges, [(0, most), (3, OffsetRange { first: 10, last: 12 })]);
    }

    #[test]
    fn a_usual_receipt_is_short() {
        let positions: Vec<_> = (5_000_000..5_010_000).map(|offset| at(11, offset)).collect();
        assert_eq!(Receipt::of(&positions).to_string(), "AQvAlrECj04");
    }

    #[rstest]
    #[case::empty("")]
    #[case::no_range("AQ")]
    #[case::other_version("AgABAA")]
    #[case::not_base64("A*")]
    #[case::cut_in_a_number("AQuA")]
    #[case::number_over_64_bits("AQD_____________AQA")]
    #[case::partition_over_32_bits("AYCAgIAQAAA")]
    #[case::range_beyond_the_last_offset("AQD___________8BAQ")]
    #[case::a_partition_twice("AQABAAABAA")]
    fn what_is_not_a_receipt_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Receipt>(), Err(InvalidReceipt));
    }

    #[test]
    fn a_long_text_is_refused_unread() {
        assert_eq!("A".repeat(MAX_ENCODED + 1).parse::<Receipt>(), Err(InvalidReceipt));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: proptest::test_runner::RngSeed::Fixed(freshet_testkit::seed()),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_receipt_is_read_as_it_was_written(
            positions in prop::collection::vec((0..256_u32, any::<u64>()), 1..50),
        ) {
            let positions: Vec<_> = positions.into_iter().map(|(partition, offset)| at(partition, offset)).collect();
            let receipt = Receipt::of(&positions);
            prop_assert_eq!(receipt.to_string().parse::<Receipt>(), Ok(receipt));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[A-Za-z0-9_-]{0,60}") {
            if let Ok(receipt) = text.parse::<Receipt>() {
                prop_assert_eq!(receipt.to_string().parse::<Receipt>(), Ok(receipt));
            }
        }
    }
}
