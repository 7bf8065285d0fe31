//! Older versions of tables: `orders VERSION AS OF 12`, `orders TIMESTAMP AS OF '2026-11-26T10:00:00Z'`, each also with FOR
//! before it, and `SYSTEM_TIME` for TIMESTAMP as the standard has it.
//!
//! The dialect doesn't know these words, and what plans its syntax tree would pass over them. So they are taken out of the tokens before
//! these are parsed, and in the tree a table at an older version is one of another name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sqlparser::ast::{Ident, ObjectName, TableAlias, TableFactor, VisitorMut};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::SqlError;
use crate::error::capped;
use crate::guard::normalized;
use crate::select::{position, too_complex};

/// Most older versions that a query reads: opening one reads the table's log.
pub const MAX_VERSIONS: usize = 10;

/// An older version of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableVersion {
    /// The version of this number.
    Number(u64),
    /// The newest one at this time.
    Time(Timestamp),
}

/// As in a query.
impl fmt::Display for TableVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "VERSION AS OF {number}"),
            Self::Time(time) => write!(f, "TIMESTAMP AS OF '{time}'"),
        }
    }
}

impl TableVersion {
    /// The name in a query's syntax tree of a table, itself of this name there, at this version. No table has such a name, as it has blanks.
    #[must_use]
    pub fn of_table(self, table: &str) -> String {
        format!("{table} {self}")
    }
}

/// RFC 3339, or a date with or without a time of day, which without a zone are UTC's.
#[must_use]
pub fn read_timestamp(text: &str) -> Option<Timestamp> {
    let with_zone = text.parse::<Timestamp>().ok();
    with_zone.or_else(|| Some(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

/// The older versions that a query asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions {
    /// By where the last part of the table's name begins.
    of_names: BTreeMap<Location, (TableVersion, Clause)>,
}

/// The words that ask for a version.
#[derive(Debug, Clone, Copy)]
struct Clause {
    start: Location,
    words: &'static str,
}

impl Versions {
    /// Takes them out of the tokens of a query.
    pub(crate) fn take(tokens: &mut Vec<TokenWithSpan>) -> Result<Self, SqlError> {
        let meaningful: Vec<usize> = (0..tokens.len())
            .filter(|place| tokens.get(*place).is_some_and(|token| !matches!(token.token, Token::Whitespace(_))))
            .collect();
        let at = |place: usize| meaningful.get(place).and_then(|place| tokens.get(*place));
        let mut versions = Self::default();
        let mut taken = BTreeSet::new();
        let mut place = 1;
        while place < meaningful.len() {
            let (Some(name), Some((clause, length))) = (at(place - 1), clause(|word| at(place + word))) else {
                place += 1;
                continue;
            };
            let value = at(place + length);
            if !is_certain(name) && !value.is_some_and(is_value) {
                // A column of a name such as `version`, AS of.
                place += 1;
                continue;
            }
            if !matches!(name.token, Token::Word(_)) {
                return Err(clause.refused("stands where no table's name is before it"));
            }
            versions.of_names.insert(name.span.start, (clause.version(value)?, clause));
            taken.extend(meaningful.iter().skip(place).take(length + 1).copied());
            place += length + 1;
        }
        if versions.of_names.len() > MAX_VERSIONS {
            return Err(too_complex(format!("it reads more than {MAX_VERSIONS} older versions of tables")));
        }
        let mut index = 0;
        tokens.retain(|_| {
            index += 1;
            !taken.contains(&(index - 1))
        });
        Ok(versions)
    }

    /// The version that is asked for of the table that is named here.
    pub(crate) fn of(&self, name: &ObjectName) -> Option<TableVersion> {
        self.of_names.get(&place(name)?).map(|(version, _)| *version)
    }

    /// Refuses a version of what is named here and has none.
    pub(crate) fn refuse(&self, name: &ObjectName, what: &str) -> Result<(), SqlError> {
        match place(name).and_then(|place| self.of_names.get(&place)) {
            Some((_, clause)) => Err(clause.refused(&format!("stands after {what}, which has no versions"))),
            None => Ok(()),
        }
    }

    /// Refuses versions of what is no table: of all but those at `of_tables`.
    pub(crate) fn refuse_others(&self, of_tables: &BTreeSet<Location>) -> Result<(), SqlError> {
        match self.of_names.iter().find(|(name, _)| !of_tables.contains(name)) {
            Some((_, (_, clause))) => {
                Err(clause.refused("stands where no table's name is before it; an alias comes after it"))
            }
            None => Ok(()),
        }
    }
}

/// Where a table's name is told apart from all others.
pub(crate) fn place(name: &ObjectName) -> Option<Location> {
    Some(name.0.last()?.as_ident()?.span.start)
}

/// Gives tables at older versions the names that they have in the syntax tree, and their own as an alias.
impl VisitorMut for &Versions {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, .. } = factor
            && let Some(version) = self.of(name)
            && let Some(table) = name.0.last().and_then(|part| part.as_ident()).cloned()
        {
            *name = ObjectName::from(vec![Ident::with_quote('"', version.of_table(&normalized(&table)))]);
            alias.get_or_insert(TableAlias { explicit: true, name: table, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}

impl Clause {
    fn refused(self, why: &str) -> SqlError {
        SqlError::Syntax { message: format!("{} {why}", self.words), position: position(self.start) }
    }

    fn version(self, value: Option<&TokenWithSpan>) -> Result<TableVersion, SqlError> {
        let is_time = self.words != VERSION;
        let found = match value.map(|value| &value.token) {
            Some(Token::Number(number, _)) if !is_time => number.parse().ok().map(TableVersion::Number),
            Some(Token::SingleQuotedString(time)) if is_time => read_timestamp(time.trim()).map(TableVersion::Time),
            _ => None,
        };
        found.ok_or_else(|| {
            let right = if is_time { "a time as '2026-06-14T00:24:16Z'" } else { "the number of a version" };
            let found = value.map_or("nothing".to_owned(), |value| capped(&value.token.to_string()));
            self.refused(&format!("takes {right}, written as it is, not {found}"))
        })
    }
}

const VERSION: &str = "VERSION AS OF";

/// The words that ask for a version, and how many tokens they are, where they begin at word 0.
fn clause<'t>(token: impl Fn(usize) -> Option<&'t TokenWithSpan>) -> Option<(Clause, usize)> {
    let keyword = |place: usize| match &token(place)?.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    };
    let first = usize::from(keyword(0) == Some(Keyword::FOR));
    let words = match keyword(first)? {
        Keyword::VERSION => VERSION,
        Keyword::TIMESTAMP => "TIMESTAMP AS OF",
        Keyword::SYSTEM_TIME => "SYSTEM_TIME AS OF",
        _ => return None,
    };
    let follows = keyword(first + 1) == Some(Keyword::AS) && keyword(first + 2) == Some(Keyword::OF);
    follows.then_some((Clause { start: token(0)?.span.start, words }, first + 3))
}

/// Whether a token is a name that could be a table's and no word of SQL: what follows it then is no column.
fn is_certain(token: &TokenWithSpan) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_some() || word.keyword == Keyword::NoKeyword)
}

fn is_value(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_))
}
