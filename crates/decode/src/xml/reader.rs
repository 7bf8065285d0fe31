//! The tokens of an XML document, each checked: who reads to the end knows that the document is well-formed, has no DTD, is
//! declared as UTF-8, and is not nested too deep.

use quick_xml::Error;
use quick_xml::events::Event;

use super::Malformed;
use super::markup::{
    Attribute, find_forbidden, is_name, read_attributes, resolve, shorten, trim_end, trim_start, unresolved,
};

/// What a document is made of. Comments and processing instructions are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// The start of an element; [`Reader::attributes`] has its attributes.
    Start {
        /// Its name, perhaps with a prefix.
        name: &'a str,
        /// Where its `<` stands.
        at: usize,
    },
    /// The end of the element that was started last, whether or not it has an end tag.
    End,
    /// Text as it is written, between tags and references.
    Text(&'a str),
    /// The content of a CDATA section.
    CData(&'a str),
    /// What a reference stands for.
    Character(char),
}

/// Reads a document token by token. After an error there is nothing more to read.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    inner: quick_xml::Reader<&'a [u8]>,
    most_levels: usize,
    open: Vec<&'a str>,
    attributes: Vec<Attribute<'a>>,
    /// Where the next token begins.
    at: usize,
    has_root: bool,
    /// The last start tag was its element's end, too.
    is_empty: bool,
}

impl<'a> Reader<'a> {
    /// Of a document in UTF-8 whose elements may be nested so deep, the root being 1. A byte order mark is skipped.
    pub(crate) fn new(document: &'a [u8], most_levels: usize) -> Result<Self, Malformed> {
        let bytes = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
        if let Some((at, character)) = find_forbidden(text) {
            let reason = format!("U+{:04X} is not a character that XML allows", u32::from(character));
            return Err(Malformed::new(at, reason));
        }
        Ok(Self::of_text(text, most_levels))
    }

    fn of_text(text: &'a str, most_levels: usize) -> Self {
        let mut inner = quick_xml::Reader::from_str(text);
        inner.config_mut().check_comments = true;
        Self {
            text,
            inner,
            most_levels,
            open: Vec::new(),
            attributes: Vec::new(),
            at: 0,
            has_root: false,
            is_empty: false,
        }
    }

    /// The document without its byte order mark: what places count in.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// Where the next token begins: after the last one.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The attributes of the element that was started last, if no token came after its start.
    pub(crate) fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    /// The next token; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Token<'a>>, Malformed> {
        if std::mem::take(&mut self.is_empty) {
            self.open.pop();
            return Ok(Some(Token::End));
        }
        loop {
            let at = self.at;
            let event = self.inner.read_event().map_err(|error| self.not_tokens(&error))?;
            self.at = usize::try_from(self.inner.buffer_position()).unwrap_or(usize::MAX);
            // The event as it is written, with all its marks.
            let written = self.text.get(at..self.at).unwrap_or_default();
            return Ok(Some(match event {
                Event::Start(_) => self.start(within(written, "<", ">"), at)?,
                Event::Empty(_) => {
                    let start = self.start(within(written, "<", "/>"), at)?;
                    self.is_empty = true;
                    start
                }
                Event::End(_) => {
                    self.open.pop();
                    Token::End
                }
                Event::Text(_) => {
                    self.check_text(written, at)?;
                    if self.open.is_empty() {
                        continue;
                    }
                    Token::Text(written)
                }
                Event::GeneralRef(_) => {
                    self.within_root(at, "a reference stands")?;
                    let reference = within(written, "&", ";");
                    let character = resolve(reference).ok_or_else(|| Malformed::new(at, unresolved(reference)))?;
                    Token::Character(character)
                }
                Event::CData(_) => {
                    self.within_root(at, "a CDATA section stands")?;
                    Token::CData(within(written, "<![CDATA[", "]]>"))
                }
                Event::Comment(_) => continue,
                Event::Decl(_) => {
                    self.check_declaration(within(written, "<?xml", "?>"), at)?;
                    continue;
                }
                Event::PI(_) => {
                    check_instruction(within(written, "<?", "?>"), at)?;
                    continue;
                }
                Event::DocType(_) => return Err(doctype(at)),
                Event::Eof => return self.end(),
            }));
        }
    }

    fn start(&mut self, tag: &'a str, at: usize) -> Result<Token<'a>, Malformed> {
        let name_length = tag.bytes().position(super::markup::is_blank).unwrap_or(tag.len());
        let (name, attributes) = tag.split_at(name_length);
        if !is_name(name) {
            return Err(Malformed::new(at, format!("{:?} is not an element's name", shorten(name))));
        }
        if self.open.is_empty() {
            if self.has_root {
                let reason = format!("<{}> follows the root element; a document has one root", shorten(name));
                return Err(Malformed::new(at, reason));
            }
            self.has_root = true;
        }
        if self.open.len() >= self.most_levels {
            return Err(Malformed::new(at, format!("elements are nested more than {} levels deep", self.most_levels)));
        }
        read_attributes(attributes, at + 1 + name_length, &mut self.attributes)?;
        self.open.push(name);
        Ok(Token::Start { name, at })
    }

    fn check_text(&self, text: &str, at: usize) -> Result<(), Malformed> {
        if self.open.is_empty() {
            let trimmed = trim_start(text);
            if trimmed.is_empty() {
                return Ok(());
            }
            let place = at + text.len() - trimmed.len();
            let reason =
                if self.has_root { "text follows the root element" } else { "text stands before the root element" };
            return Err(Malformed::new(place, reason));
        }
        match text.contains(']').then(|| text.find("]]>")).flatten() {
            None => Ok(()),
            Some(found) => Err(Malformed::new(at + found, "]]> stands in a text; write ]]&gt;")),
        }
    }

    fn within_root(&self, at: usize, what: &str) -> Result<(), Malformed> {
        if self.open.is_empty() {
            Err(Malformed::new(at, format!("{what} outside of the root element")))
        } else {
            Ok(())
        }
    }

    fn check_declaration(&mut self, declaration: &'a str, at: usize) -> Result<(), Malformed> {
        if at > 0 {
            return Err(Malformed::new(at, "an XML declaration stands after the document's start"));
        }
        read_attributes(declaration, "<?xml".len(), &mut self.attributes)?;
        let mut rest = self.attributes.iter().peekable();
        let mut next_if = |name: &str| rest.next_if(|attribute| attribute.name == name).map(|attribute| attribute.raw);
        let (version, encoding, standalone) = (next_if("version"), next_if("encoding"), next_if("standalone"));
        let is_version = |version: &str| {
            version
                .strip_prefix("1.")
                .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if !version.is_some_and(is_version) {
            return Err(Malformed::new(at, "an XML declaration begins with version=\"1.0\""));
        }
        if let Some(encoding) = encoding.filter(|encoding| !is_utf8(encoding)) {
            let reason = format!("the document is declared to be in {}; send it in UTF-8", shorten(encoding));
            return Err(Malformed::new(at, reason));
        }
        let is_standalone = standalone.is_none_or(|standalone| matches!(standalone, "yes" | "no"));
        if !is_standalone || rest.next().is_some() {
            let reason =
                "an XML declaration has version, encoding and standalone (yes or no), in this order, and nothing else";
            return Err(Malformed::new(at, reason));
        }
        Ok(())
    }

    fn end(&self) -> Result<Option<Token<'a>>, Malformed> {
        let at = trim_end(self.text).len();
        if let Some(name) = self.open.last() {
            return Err(Malformed::new(at, format!("the document ends, and <{}> is not closed", shorten(name))));
        }
        if !self.has_root {
            return Err(Malformed::new(at, "the document has no root element"));
        }
        Ok(None)
    }

    /// What can't be taken apart into tokens.
    fn not_tokens(&self, error: &Error) -> Malformed {
        let at = usize::try_from(self.inner.error_position()).unwrap_or(0);
        let rest = self.text.get(at..).unwrap_or_default();
        if rest.get(.."<!DOCTYPE".len()).is_some_and(|start| start.eq_ignore_ascii_case("<!DOCTYPE")) {
            return doctype(at);
        }
        let reason = match error {
            Error::Syntax(source) => source.to_string(),
            Error::IllFormed(source) => source.to_string(),
            other => other.to_string(),
        };
        // It may repeat names of any length.
        match reason.char_indices().nth(200) {
            Some((end, _)) => Malformed::new(at, format!("{}…", reason.get(..end).unwrap_or_default())),
            None => Malformed::new(at, reason),
        }
    }
}

/// Without the marks around it.
fn within<'a>(written: &'a str, opening: &str, closing: &str) -> &'a str {
    written.strip_prefix(opening).and_then(|rest| rest.strip_suffix(closing)).unwrap_or_default()
}

fn doctype(at: usize) -> Malformed {
    Malformed::new(at, "a document type definition is not allowed; leave <!DOCTYPE …> out")
}

fn check_instruction(instruction: &str, at: usize) -> Result<(), Malformed> {
    let target = instruction.split([' ', '\t', '\n', '\r']).next().unwrap_or_default();
    if is_name(target) && !target.eq_ignore_ascii_case("xml") {
        return Ok(());
    }
    Err(Malformed::new(at, format!("{:?} is not a processing instruction's name", shorten(target))))
}

/// Whether an encoding, by its name, is one that XML is taken in: UTF-8, or US-ASCII, which is a part of it.
pub fn is_utf8(encoding: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|name| name.eq_ignore_ascii_case(encoding))
}

fn not_utf8(bytes: &[u8], valid: usize) -> Malformed {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Malformed::new(0, "the document is in UTF-16; send it in UTF-8");
    }
    // A document in another encoding mostly says so, which helps more than the place of its first letter that isn't ASCII.
    let start = bytes.get(..valid).and_then(|start| std::str::from_utf8(start).ok()).unwrap_or_default();
    if let Err(malformed) = Reader::of_text(start, 1).next()
        && malformed.at == 0
        && start.contains("?>")
    {
        return malformed;
    }
    Malformed::new(valid, "not UTF-8")
}
