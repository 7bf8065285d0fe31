//! Decompression with a cap: the only place where raw decoders are used.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use bytes::Bytes;

/// Largest window that a zstd frame may ask for, as a power of two: 8 MiB, what RFC 9659 lets senders of
/// `Content-Encoding: zstd` use.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed: the value of `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentEncoding {
    /// It isn't.
    #[default]
    Identity,
    /// RFC 1952; several members one after the other are one body.
    Gzip,
    /// RFC 8878; several frames one after the other are one body.
    Zstd,
}

/// A `Content-Encoding` that is none of those known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown content encoding {shown:?}; send gzip or zstd, or no Content-Encoding for a body that is not compressed"
)]
pub struct UnknownEncoding {
    shown: String,
}

impl FromStr for ContentEncoding {
    type Err = UnknownEncoding;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "identity" => Ok(Self::Identity),
            // RFC 9110, 8.4.1.3: "x-gzip" is the same as "gzip".
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(UnknownEncoding { shown: text.chars().take(64).collect() }),
        }
    }
}

impl fmt::Display for ContentEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Why a body was not decompressed. Both are permanent: the same body fails again.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// It is, or becomes, longer than the limit.
    #[error("the body has more than {limit} bytes after decompression, the most that is taken")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It is not what its encoding says: corrupt, cut short, or followed by something else.
    #[error("the body is not valid {encoding}: {source}{}", hint(*encoding))]
    Malformed {
        /// What it was said to be.
        encoding: ContentEncoding,
        /// What the decoder found.
        source: io::Error,
    },
}

fn hint(encoding: ContentEncoding) -> &'static str {
    match encoding {
        ContentEncoding::Zstd => " (a window larger than 8 MiB is refused too)",
        ContentEncoding::Identity | ContentEncoding::Gzip => "",
    }
}

/// The body as it was before compression, if that has at most `limit` bytes. Memory stays within a small multiple of
/// `limit` (and 8 MiB for zstd's window), whatever the body says of itself. An empty body is empty in every encoding.
pub fn decompress(encoding: ContentEncoding, body: &Bytes, limit: usize) -> Result<Bytes, DecompressError> {
    if body.is_empty() {
        return Ok(Bytes::new());
    }
    let decompressed = match encoding {
        ContentEncoding::Identity if body.len() > limit => return Err(DecompressError::TooLarge { limit }),
        ContentEncoding::Identity => return Ok(body.clone()),
        ContentEncoding::Gzip => ungzip(body, limit),
        ContentEncoding::Zstd => unzstd(body, limit),
    };
    let decompressed = decompressed.map_err(|source| DecompressError::Malformed { encoding, source })?;
    if decompressed.len() > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    Ok(Bytes::from(decompressed))
}

#[expect(clippy::disallowed_types, reason = "this is the capped decoder that others are to use")]
fn ungzip(body: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    read_one_more_than(limit, flate2::bufread::MultiGzDecoder::new(body))
}

#[expect(clippy::disallowed_types, reason = "this is the capped decoder that others are to use")]
fn unzstd(body: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    read_one_more_than(limit, decoder)
}

/// Reads to the end, but at most one byte more than `limit`: enough to know that there is too much.
fn read_one_more_than(limit: usize, decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut decompressed = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut decompressed)?;
    Ok(decompressed)
}
