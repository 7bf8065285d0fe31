//! One body into the records in it, all or nothing.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer as _};
use serde_json::value::RawValue;

use crate::json::kind_of;
use crate::xml::check_document;

/// Most bad records that an error lists: after these a reader has enough to do.
const MAX_LISTED: usize = 100;

/// How records stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// One JSON object, or an array of objects.
    Json,
    /// A JSON object a line; blank lines are skipped.
    NdJson,
    /// One XML document, which is one record whatever is in it.
    Xml,
}

/// What a body may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitLimits {
    /// Most bytes of one record.
    pub record_bytes: usize,
    /// Most records of one body.
    pub records: usize,
    /// Deepest nesting of objects and arrays, or of elements, in a record, the record or the root itself being 1.
    pub depth: usize,
}

impl Default for SplitLimits {
    /// The HTTP contract's 1,000,000 bytes and 10,000 records; and a depth of 100, which every JSON reader takes that
    /// may see the record later (`serde_json` itself stops at 127).
    fn default() -> Self {
        Self { record_bytes: 1_000_000, records: 10_000, depth: 100 }
    }
}

/// What is wrong with one record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// Not JSON, or something that is neither a comma nor the end follows it.
    #[error("is not valid JSON at line {line}, column {column}: {reason}")]
    NotJson {
        /// The line in the body, from 1.
        line: usize,
        /// The byte in that line, from 1; 0 where the line is over before it began.
        column: usize,
        /// What was found, or expected.
        reason: String,
    },
    /// Not a well-formed XML document in UTF-8, or one with a DTD, or nested too deep.
    #[error("is not acceptable XML at line {line}, column {column}: {reason}")]
    NotXml {
        /// The line in the body, from 1.
        line: usize,
        /// The byte in that line, from 1.
        column: usize,
        /// What was found, and what would be right.
        reason: Cow<'static, str>,
    },
    /// JSON, but not an object.
    #[error("is {found}, expected a JSON object")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// Longer than a record may be.
    #[error("has {bytes} bytes, a record may have {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Nested deeper than a record may be.
    #[error("is nested more than {limit} levels deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
}

/// One record that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Its index in the body, from 0. (Blank lines are no records.)
    pub index: usize,
    /// What is wrong with it.
    pub problem: RecordProblem,
}

/// Every record that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadRecords {
    /// The first 100 of them, by index.
    pub listed: Vec<BadRecord>,
    /// How many more there are.
    pub more: usize,
    /// Whether any of them all is larger than a record may be.
    pub any_too_large: bool,
}

impl BadRecords {
    fn add(&mut self, index: usize, problem: RecordProblem) {
        self.any_too_large |= matches!(problem, RecordProblem::TooLarge { .. });
        if self.listed.len() < MAX_LISTED {
            self.listed.push(BadRecord { index, problem });
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for BadRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, BadRecord { index, problem }) in self.listed.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}record {index} {problem}")?;
        }
        if self.more > 0 {
            write!(f, "; and {} more", self.more)?;
        }
        Ok(())
    }
}

/// Why a body was refused, whole. All are permanent: the same body fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// There is no record in it.
    #[error("the body holds no records; send {}", match .form {
        BodyForm::Json | BodyForm::NdJson => "a JSON object, an array of objects, or an object a line",
        BodyForm::Xml => "an XML document",
    })]
    Empty {
        /// How they would stand in it.
        form: BodyForm,
    },
    /// There are more records in it than a request may bring. The rest of the body was not looked at.
    #[error("the body holds more than {limit} records, the most that one request may bring")]
    TooManyRecords {
        /// The limit.
        limit: usize,
    },
    /// These records are wrong.
    #[error("{0}")]
    BadRecords(BadRecords),
}

impl SplitError {
    /// Whether something in the body is more than a limit of size or count allows (HTTP 413), rather than wrong (HTTP
    /// 400).
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Empty { .. } => false,
            Self::TooManyRecords { .. } => true,
            Self::BadRecords(bad) => bad.any_too_large,
        }
    }
}

/// The records of a body, in order, each a slice of it: from `{` to `}`, or the XML document. A byte order mark before the
/// first is skipped. Objects with the same field twice are taken.
pub fn split_records(body: &Bytes, form: BodyForm, limits: SplitLimits) -> Result<Vec<Bytes>, SplitError> {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut splitter = Splitter { body, limits, records: Vec::new(), bad: BadRecords::default(), seen: 0 };
    match form {
        BodyForm::Json => splitter.split_json(text),
        BodyForm::NdJson => splitter.split_lines(text),
        BodyForm::Xml => splitter.take_document(text),
    }
    splitter.finish(form)
}

struct Splitter<'b> {
    body: &'b Bytes,
    limits: SplitLimits,
    records: Vec<Bytes>,
    bad: BadRecords,
    /// Records so far, good and bad.
    seen: usize,
}

impl<'b> Splitter<'b> {
    fn split_json(&mut self, text: &'b [u8]) {
        if text.trim_ascii().is_empty() {
            return;
        }
        if let Err(problem) = utf8(text).and_then(|text| self.split_document(text)) {
            // Where it stops being JSON stands no further record, so this doesn't count as one.
            self.bad.add(self.seen, problem);
        }
    }

    fn split_document(&mut self, text: &'b str) -> Result<(), RecordProblem> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        if text.trim_ascii_start().starts_with('[') {
            deserializer.deserialize_seq(Elements(self)).map_err(|error| not_json(&error))?;
        } else {
            let document = <&RawValue>::deserialize(&mut deserializer).map_err(|error| not_json(&error))?;
            self.take(document.get());
        }
        deserializer.end().map_err(|error| RecordProblem::NotJson {
            line: error.line(),
            column: error.column(),
            reason:
                "something follows the end; send several objects in an array, or one a line as application/x-ndjson"
                    .to_owned(),
        })
    }

    fn split_lines(&mut self, text: &'b [u8]) {
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let parsed =
                utf8(line).and_then(|line| serde_json::from_str::<&RawValue>(line).map_err(|error| not_json(&error)));
            match parsed {
                Ok(record) => self.take(record.get()),
                Err(RecordProblem::NotJson { column, reason, .. }) => {
                    self.refuse(RecordProblem::NotJson { line: at + 1, column, reason });
                }
                Err(other) => self.refuse(other),
            }
            if self.is_overfull() {
                return;
            }
        }
    }

    fn take_document(&mut self, document: &'b [u8]) {
        if document.trim_ascii().is_empty() {
            return;
        }
        if document.len() > self.limits.record_bytes {
            return self.refuse(RecordProblem::TooLarge { bytes: document.len(), limit: self.limits.record_bytes });
        }
        match check_document(document, self.limits.depth) {
            Ok(()) => {
                self.records.push(self.body.slice_ref(document));
                self.seen += 1;
            }
            Err(malformed) => {
                let (line, column) = malformed.line_and_column(document);
                self.refuse(RecordProblem::NotXml { line, column, reason: malformed.reason });
            }
        }
    }

    fn take(&mut self, record: &'b str) {
        if let Some(problem) = self.problem_with(record) {
            self.refuse(problem);
            return;
        }
        self.seen += 1;
        if self.bad.listed.is_empty() && !self.is_overfull() {
            self.records.push(self.body.slice_ref(record.as_bytes()));
        }
    }

    fn problem_with(&self, record: &str) -> Option<RecordProblem> {
        if !record.starts_with('{') {
            return Some(RecordProblem::NotAnObject { found: kind_of(record) });
        }
        if record.len() > self.limits.record_bytes {
            return Some(RecordProblem::TooLarge { bytes: record.len(), limit: self.limits.record_bytes });
        }
        is_deeper_than(self.limits.depth, record).then_some(RecordProblem::TooDeep { limit: self.limits.depth })
    }

    fn refuse(&mut self, problem: RecordProblem) {
        self.bad.add(self.seen, problem);
        self.seen += 1;
    }

    fn is_overfull(&self) -> bool {
        self.seen > self.limits.records
    }

    fn finish(self, form: BodyForm) -> Result<Vec<Bytes>, SplitError> {
        if self.is_overfull() {
            return Err(SplitError::TooManyRecords { limit: self.limits.records });
        }
        if !self.bad.listed.is_empty() {
            return Err(SplitError::BadRecords(self.bad));
        }
        if self.records.is_empty() {
            return Err(SplitError::Empty { form });
        }
        Ok(self.records)
    }
}

/// Takes the elements of an array one by one. They stay text: `serde_json` checks their syntax without recursion, so
/// depth costs it one byte of memory a level.
struct Elements<'s, 'b>(&'s mut Splitter<'b>);

impl<'b> Visitor<'b> for Elements<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&'b RawValue>()? {
            self.0.take(element.get());
            if self.0.is_overfull() {
                return Err(A::Error::custom("too many records"));
            }
        }
        Ok(())
    }
}

/// Whether objects and arrays nest deeper than `limit` in a JSON text.
fn is_deeper_than(limit: usize, json: &str) -> bool {
    // Text with fewer brackets than that can't be deeper, and counting is many times faster than looking at strings.
    if json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= limit {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn utf8(text: &[u8]) -> Result<&str, RecordProblem> {
    std::str::from_utf8(text).map_err(|error| {
        let valid = text.get(..error.valid_up_to()).unwrap_or_default();
        let lines = || valid.split(|byte| *byte == b'\n');
        let (line, column) = (lines().count(), 1 + lines().next_back().map_or(0, <[u8]>::len));
        RecordProblem::NotJson { line, column, reason: "not UTF-8".to_owned() }
    })
}

fn not_json(error: &serde_json::Error) -> RecordProblem {
    let text = error.to_string();
    let (line, column) = (error.line(), error.column());
    let place = format!(" at line {line} column {column}");
    let reason = text.strip_suffix(&place).unwrap_or(&text).to_owned();
    RecordProblem::NotJson { line, column, reason }
}
