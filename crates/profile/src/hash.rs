//! What stands for a content or a long text: 128 bits of its SHA-256.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

/// Half of a SHA-256: no two different contents that meet have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hash(pub(crate) [u8; 16]);

impl Hash {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let digest = digest(&SHA256, bytes);
        let mut half = [0; 16];
        half.iter_mut().zip(digest.as_ref()).for_each(|(place, byte)| *place = *byte);
        Self(half)
    }

    /// The first 64 bits as a number.
    pub(crate) fn number(self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|place| self.0.get(place).copied().unwrap_or_default()))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}
