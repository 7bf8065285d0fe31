//! From text to exactly one SELECT.

use std::collections::BTreeSet;

use sqlparser::ast::{Query, SetExpr, VisitMut as _};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::SqlError;
use crate::error::{Position, capped, in_one_line};
use crate::guard::{MAX_NESTING, MAX_OPERATORS, operators, survey};
use crate::nesting::refuse_deep_brackets;
use crate::versions::{TableVersion, Versions};

/// Longest text of a query in bytes: what generated queries with thousands of values need, and what the parser reads
/// in milliseconds.
pub const MAX_SQL_BYTES: usize = 100_000;

/// Most bytes of one constant: it is copied with the plan, and for each row it goes to.
pub const MAX_CONSTANT_BYTES: usize = 16 << 10;

/// The dialect: what most engines understand, with `"quoted names"`, `$1`, `?` and `$name`.
pub(crate) const DIALECT: GenericDialect = GenericDialect {};

/// A text that is one SELECT, with what it names.
#[derive(Debug, Clone)]
pub struct Select {
    tokens: Vec<TokenWithSpan>,
    versions: Versions,
    reads: BTreeSet<TableRead>,
    tables: Vec<String>,
    placeholders: BTreeSet<String>,
}

/// A table that a query reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableRead {
    /// Its name: one without quotes in lower case, one in quotes as it is.
    pub name: String,
    /// At which version; none: the newest.
    pub version: Option<TableVersion>,
}

/// Reads a text as exactly one SELECT; WITH, set operations of SELECTs and a last semicolon are allowed.
///
/// # Errors
/// Any of [`SqlError`]'s variants; [`SqlError::Parameter`] is for a placeholder that is neither `?`, `$1` nor `$name`.
pub fn parse_select(sql: &str) -> Result<Select, SqlError> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(too_complex(format!("its text has more than {MAX_SQL_BYTES} bytes")));
    }
    let mut tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location().map_err(|error| SqlError::Syntax {
        message: in_one_line(&error.message),
        position: position(error.location),
    })?;
    let operators = operators(&tokens);
    if operators > MAX_OPERATORS {
        return Err(too_complex(format!(
            "it has {operators} operators and keywords, at most {MAX_OPERATORS} are read; lists of values don't count: write IN (…) for many comparisons"
        )));
    }
    refuse_other_statements(&tokens)?;
    refuse_deep_brackets(&tokens)?;
    refuse_long_texts(&tokens)?;
    let versions = Versions::take(&mut tokens)?;
    let placeholders = number_placeholders(&mut tokens)?;
    let query = parse(tokens.clone())?;
    refuse_other_bodies(&query, &tokens)?;
    let reads = survey(&query, &tokens, &versions)?;
    let mut tables: Vec<String> = reads.iter().map(|read| read.name.clone()).collect();
    tables.dedup();
    Ok(Select { tokens, versions, reads, tables, placeholders })
}

impl Select {
    /// The tables that the query names, each once: names without quotes in lower case, names in quotes as they are.
    #[must_use]
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// The same, each as often as it is read at another version.
    #[must_use]
    pub fn reads(&self) -> &BTreeSet<TableRead> {
        &self.reads
    }

    /// The names of its parameters, without the `$`: words, or numbers from 1. The marks `?` are numbered as they come.
    #[must_use]
    pub fn placeholders(&self) -> &BTreeSet<String> {
        &self.placeholders
    }

    /// Its syntax tree, the quoted names for which `respelt` has another spelling in that one, and tables at older versions as those of
    /// the names [of that version](TableVersion::of_table).
    ///
    /// # Errors
    /// None that [`parse_select`] would not have met.
    pub fn query<'n>(&self, respelt: impl Fn(&str) -> Option<&'n str>) -> Result<Box<Query>, SqlError> {
        let mut tokens = self.tokens.clone();
        for token in &mut tokens {
            if let Token::Word(word) = &mut token.token
                && word.quote_style.is_some()
                && let Some(spelling) = respelt(&word.value)
            {
                word.value = spelling.to_owned();
            }
        }
        let mut query = parse(tokens)?;
        let _ = query.visit(&mut &self.versions);
        Ok(query)
    }
}

pub(crate) fn position(location: Location) -> Position {
    Position { line: location.line.max(1), column: location.column.max(1) }
}

pub(crate) fn too_complex(what: String) -> SqlError {
    SqlError::TooComplex { what }
}

fn meaningful(tokens: &[TokenWithSpan]) -> impl Iterator<Item = &TokenWithSpan> {
    tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
}

/// The statement must begin as a SELECT does, and nothing may follow its semicolon. What the parser would say of another
/// statement would be about that statement's grammar.
fn refuse_other_statements(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let Some(first) = meaningful(tokens).find(|token| token.token != Token::LParen) else {
        return Err(not_one_select("nothing", Location::new(1, 1)));
    };
    let begins_select = match &first.token {
        Token::Word(word) => matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::FROM | Keyword::VALUES),
        _ => false,
    };
    if !begins_select {
        return Err(not_one_select(&first.token.to_string(), first.span.start));
    }
    let mut after_semicolon = meaningful(tokens).skip_while(|token| token.token != Token::SemiColon);
    match after_semicolon.find(|token| token.token != Token::SemiColon) {
        Some(second) => Err(not_one_select("a second statement", second.span.start)),
        None => Ok(()),
    }
}

/// A constant is copied with the plan, as often as what it stands in.
fn refuse_long_texts(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let is_long = |token: &&TokenWithSpan| token.token.to_string().len() > MAX_CONSTANT_BYTES;
    match tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).find(is_long) {
        Some(long) => Err(too_complex(format!(
            "the text at {} has more than {MAX_CONSTANT_BYTES} bytes",
            position(long.span.start)
        ))),
        None => Ok(()),
    }
}

fn not_one_select(found: &str, location: Location) -> SqlError {
    SqlError::NotOneSelect { found: format!("found {}", capped(found)), position: position(location) }
}

/// What is planned is a SELECT, or set operations of such; VALUES, TABLE and what changes data are no SELECT.
fn refuse_other_bodies(query: &Query, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut bodies = vec![query.body.as_ref()];
    while let Some(body) = bodies.pop() {
        let found = match body {
            SetExpr::Select(_) => continue,
            SetExpr::Query(inner) => {
                bodies.push(inner.body.as_ref());
                continue;
            }
            SetExpr::SetOperation { left, right, .. } => {
                bodies.extend([left.as_ref(), right.as_ref()]);
                continue;
            }
            SetExpr::Values(_) => "VALUES",
            SetExpr::Insert(_) => "INSERT",
            SetExpr::Update(_) => "UPDATE",
            SetExpr::Delete(_) => "DELETE",
            SetExpr::Merge(_) => "MERGE",
            SetExpr::Table(_) => "TABLE",
        };
        return Err(not_one_select(found, location_of_word(tokens, found)));
    }
    Ok(())
}

/// Where a keyword stands first; the syntax tree knows places of few nodes only.
pub(crate) fn location_of_word(tokens: &[TokenWithSpan], keyword: &str) -> Location {
    let is_it = |token: &&TokenWithSpan| match &token.token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword),
        _ => false,
    };
    tokens.iter().find(is_it).map_or(Location::new(1, 1), |token| token.span.start)
}

/// Gives every `?` its number, in the order of the text, and lists what parameters there are.
fn number_placeholders(tokens: &mut [TokenWithSpan]) -> Result<BTreeSet<String>, SqlError> {
    let mut placeholders = BTreeSet::new();
    let mut question_marks = 0_usize;
    for token in tokens {
        let Token::Placeholder(text) = &mut token.token else { continue };
        if text == "?" {
            question_marks += 1;
            *text = format!("${question_marks}");
        }
        let name =
            text.strip_prefix('$').filter(|name| is_parameter_name(name)).ok_or_else(|| SqlError::Parameter {
                message: format!(
                    "{} at {} is no parameter: write ? or $1 for positional ones, $name for named ones",
                    capped(text),
                    position(token.span.start)
                ),
            })?;
        placeholders.insert(name.to_owned());
    }
    if question_marks > 0 && placeholders.len() > question_marks {
        return Err(SqlError::Parameter {
            message: "the query mixes ? with parameters of another form: write all of them as ?, or as $1, or as $name"
                .to_owned(),
        });
    }
    let numbered = placeholders.iter().filter(|name| name.parse::<u32>().is_ok()).count();
    if numbered > 0 && numbered < placeholders.len() {
        return Err(SqlError::Parameter {
            message: "the query mixes positional and named parameters: write all of them as $1 or all of them as $name"
                .to_owned(),
        });
    }
    Ok(placeholders)
}

/// A number from 1 without leading zeros, or a name.
fn is_parameter_name(name: &str) -> bool {
    let number = name.bytes().all(|byte| byte.is_ascii_digit()) && !name.starts_with('0') && name.len() <= 4;
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| !first.is_ascii_digit());
    !name.is_empty() && (number || word)
}

fn parse(tokens: Vec<TokenWithSpan>) -> Result<Box<Query>, SqlError> {
    let end = meaningful(&tokens).last().map_or(Location::new(1, 1), |token| token.span.end);
    let mut parser = Parser::new(&DIALECT).with_recursion_limit(MAX_NESTING).with_tokens_with_locations(tokens);
    let query = parser.parse_query().map_err(|error| refused(error, end))?;
    while parser.consume_token(&Token::SemiColon) {}
    match parser.peek_token() {
        TokenWithSpan { token: Token::EOF, .. } => Ok(query),
        rest => Err(SqlError::Syntax {
            message: format!("expected the end of the query, found {}", capped(&rest.token.to_string())),
            position: position(rest.span.start),
        }),
    }
}

/// What the parser says; where it tells no place, it met the end.
fn refused(error: ParserError, end: Location) -> SqlError {
    match error {
        ParserError::RecursionLimitExceeded => too_complex(format!("it is nested deeper than {MAX_NESTING} levels")),
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => {
            let (message, place) = split_place(&text).unwrap_or((&text, position(end)));
            SqlError::Syntax { message: in_one_line(message), position: place }
        }
    }
}

/// The parser tells the place at the end of its message only: ` at Line: 1, Column: 8`.
fn split_place(text: &str) -> Option<(&str, Position)> {
    let (message, place) = text.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((message, Position { line: line.parse().ok()?, column: column.parse().ok()? }))
}
