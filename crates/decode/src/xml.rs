//! XML: documents that are refused, and the rows in those that are not.

mod element;
mod find;
mod markup;
mod reader;
mod rows;

use std::borrow::Cow;

pub(crate) use element::{Part, Tree};
pub use reader::is_utf8;
pub(crate) use rows::{Rows, element_names};

use reader::Reader;

/// Deepest nesting of elements that is decoded, the root being 1: as deep as ingest lets objects be nested.
pub(crate) const MOST_LEVELS: usize = 100;

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Where, in bytes after a byte order mark.
    pub(crate) at: usize,
    /// What was found, and what would be right.
    pub(crate) reason: Cow<'static, str>,
}

impl Malformed {
    pub(crate) fn new(at: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { at, reason: reason.into() }
    }

    /// Line and byte of the place in its document, from 1.
    pub(crate) fn line_and_column(&self, document: &[u8]) -> (usize, usize) {
        let text = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let before = text.get(..self.at).unwrap_or(text);
        let lines = || before.split(|byte| *byte == b'\n');
        (lines().count(), 1 + lines().next_back().map_or(0, <[u8]>::len))
    }
}

/// Refuses what is not a well-formed document in UTF-8, without a DTD, and with elements nested at most so deep.
pub(crate) fn check_document(document: &[u8], most_levels: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(document, most_levels)?;
    while reader.next()?.is_some() {}
    Ok(())
}
