//! The rows of a document: its elements of one name, at any depth.

use std::collections::BTreeSet;

use super::element::Tree;
use super::markup::local;
use super::reader::{Reader, Token};
use super::{MOST_LEVELS, Malformed};

/// Most names that [`element_names`] collects, and how long they may be: what a message can use.
const MOST_NAMES: usize = 100;
const LONGEST_NAME: usize = 255;

/// Reads the rows of a document one by one. One that stands within another belongs to that one, and is no row.
#[derive(Debug)]
pub(crate) struct Rows<'a, 'n> {
    reader: Reader<'a>,
    tag: &'n str,
}

impl<'a, 'n> Rows<'a, 'n> {
    /// The elements whose name without prefix is `tag`.
    pub(crate) fn new(document: &'a [u8], tag: &'n str) -> Result<Self, Malformed> {
        Ok(Self { reader: Reader::new(document, MOST_LEVELS)?, tag })
    }

    /// Reads the next row into `tree`, and returns it as it is written; none: the document is over, and well-formed.
    pub(crate) fn next(&mut self, tree: &mut Tree<'a>) -> Result<Option<&'a str>, Malformed> {
        tree.clear();
        let mut begins = None;
        while let Some(token) = self.reader.next()? {
            match token {
                Token::Start { name, at } => {
                    if begins.is_none() {
                        if local(name) != self.tag {
                            continue;
                        }
                        begins = Some(at);
                    }
                    tree.start(name, self.reader.attributes());
                }
                Token::End => {
                    if let Some(at) = begins
                        && tree.end()
                    {
                        return Ok(self.reader.text().get(at..self.reader.position()));
                    }
                }
                Token::Text(text) | Token::CData(text) => tree.text(text),
                Token::Character(character) => tree.character(character),
            }
        }
        Ok(None)
    }
}

/// The names of a document's elements, without prefixes, as far as it can be read: at most 100, of at most 255
/// bytes.
pub(crate) fn element_names(document: &[u8]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let Ok(mut reader) = Reader::new(document, MOST_LEVELS) else { return names };
    while let Ok(Some(token)) = reader.next() {
        if names.len() >= MOST_NAMES {
            break;
        }
        if let Token::Start { name, .. } = token {
            names.extend(Some(local(name)).filter(|name| name.len() <= LONGEST_NAME));
        }
    }
    names
}
