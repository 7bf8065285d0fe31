//! What is wrong with a text.

use std::fmt;

/// Longest text of the parser's or of the caller that an error repeats, in characters.
const SHOWN: usize = 400;

/// A place in a text, both from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong with the text of a query or a condition. Messages are for the one who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The text is no SELECT, or more than one statement.
    #[error("{found} at {position}: write exactly one SELECT (WITH and set operations of SELECTs are allowed)")]
    NotOneSelect {
        /// What stands there instead, for people.
        found: String,
        /// Where.
        position: Position,
    },
    /// The text is no SQL.
    #[error("{message} at {position}")]
    Syntax {
        /// What the parser met and what it expected.
        message: String,
        /// Where.
        position: Position,
    },
    /// The text is longer, deeper or grows larger than what is read.
    #[error("the query is too complex: {what}")]
    TooComplex {
        /// The limit, and what to do.
        what: String,
    },
    /// The text of a condition is longer than what is read.
    #[error("the condition has {bytes} bytes, at most {most} are read")]
    ConditionTooLong {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// A parameter has no name that one may have, or, to whoever gives values, a value is missing, superfluous or of the
    /// wrong kind.
    #[error("{message}")]
    Parameter {
        /// Which, and what would be right.
        message: String,
    },
    /// A function stands in the place of a table and makes none.
    #[error("{name} at {position} is no function that makes a table; there are {known}")]
    TableFunction {
        /// As in the query.
        name: String,
        /// Where.
        position: Position,
        /// Those that there are, for people.
        known: String,
    },
}

/// A message in one line of bounded length, beginning in lower case and without a full stop, as our own messages.
#[must_use]
pub fn in_one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    let line = words.join(" ");
    let mut characters = line.trim_end_matches('.').chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    capped(&first.into_iter().chain(characters).collect::<String>())
}

/// A text of the caller's, of bounded length.
#[must_use]
pub fn capped(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
