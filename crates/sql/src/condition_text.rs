//! From text to a condition.

use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::SqlError;
use crate::condition::{Comparison, Condition, Literal, Predicate, Test};
use crate::error::{capped, in_one_line};
use crate::select::{DIALECT, position};

/// Deepest nesting of parentheses and NOT.
const MAX_DEPTH: usize = 16;

/// What a condition is made of, for whoever wrote something else.
const ALLOWED: &str = "a condition is made of =, <>, <, <=, >, >= between a name and a text, a number, TRUE or FALSE, of IN (…), IS NULL, IS NOT NULL, AND, OR, NOT and parentheses";

/// One side of a comparison.
enum Operand {
    Name(String),
    Literal(Literal),
}

/// Reads a condition from its tokens, from the left to the right.
pub(crate) struct Reader {
    /// Without white space and comments; the last is the end.
    tokens: Vec<TokenWithSpan>,
    at: usize,
    depth: usize,
}

impl Reader {
    pub(crate) fn new(text: &str) -> Result<Self, SqlError> {
        let tokenized = Tokenizer::new(&DIALECT, text).tokenize_with_location();
        let mut tokens = tokenized.map_err(|error| SqlError::Syntax {
            message: in_one_line(&error.message),
            position: position(error.location),
        })?;
        tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
        Ok(Self { tokens, at: 0, depth: 0 })
    }

    pub(crate) fn read(mut self) -> Result<Condition<Predicate>, SqlError> {
        let condition = self.any()?;
        match self.peek() {
            None => Ok(condition),
            Some(_) => Err(self.unexpected("AND, OR or the end")),
        }
    }

    fn any(&mut self) -> Result<Condition<Predicate>, SqlError> {
        let mut parts = vec![self.all()?];
        while self.take_word("OR") {
            parts.push(self.all()?);
        }
        Ok(together(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition<Predicate>, SqlError> {
        let mut parts = vec![self.not()?];
        while self.take_word("AND") {
            parts.push(self.not()?);
        }
        Ok(together(parts, Condition::All))
    }

    fn not(&mut self) -> Result<Condition<Predicate>, SqlError> {
        let is_not = self.is_word("NOT");
        if !is_not && self.peek() != Some(&Token::LParen) {
            return self.predicate();
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the condition is nested deeper than {MAX_DEPTH} levels");
            return Err(SqlError::Syntax { message, position: position(self.location()) });
        }
        self.at += 1;
        let condition = if is_not {
            Condition::Not(Box::new(self.not()?))
        } else {
            let inner = self.any()?;
            self.expect(&Token::RParen, "AND, OR or )")?;
            inner
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn predicate(&mut self) -> Result<Condition<Predicate>, SqlError> {
        let name = match self.operand()? {
            Operand::Name(name) => name,
            Operand::Literal(literal) => {
                let Some(comparison) = self.take_comparison() else {
                    return Err(self.unexpected("=, <>, <, <=, > or >="));
                };
                let at = self.location();
                let Operand::Name(name) = self.operand()? else {
                    let message = format!("two constants are compared, and no name; {ALLOWED}");
                    return Err(SqlError::Syntax { message, position: position(at) });
                };
                return Ok(compare(&name, comparison.flipped(), literal));
            }
        };
        if let Some(comparison) = self.take_comparison() {
            return Ok(compare(&name, comparison, self.literal()?));
        }
        if self.take_word("IS") {
            let is_not = self.take_word("NOT");
            if !self.take_word("NULL") {
                return Err(self.unexpected("NULL"));
            }
            let null = Condition::Test(Predicate { name, test: Test::Null });
            return Ok(if is_not { Condition::Not(Box::new(null)) } else { null });
        }
        if self.is_word("NOT") {
            self.at += 1;
            if !self.take_word("IN") {
                return Err(self.unexpected("IN"));
            }
            return Ok(Condition::Not(Box::new(self.one_of(&name)?)));
        }
        if self.take_word("IN") {
            return self.one_of(&name);
        }
        let ends = self.peek().is_none_or(|token| *token == Token::RParen) || self.is_word("AND") || self.is_word("OR");
        if !ends {
            return Err(self.unexpected("=, <>, <, <=, >, >=, IN or IS"));
        }
        Ok(compare(&name, Comparison::Equal, Literal::Boolean(true)))
    }

    /// The list after IN.
    fn one_of(&mut self, name: &str) -> Result<Condition<Predicate>, SqlError> {
        self.expect(&Token::LParen, "(")?;
        let mut parts = vec![compare(name, Comparison::Equal, self.literal()?)];
        while self.take(&Token::Comma) {
            parts.push(compare(name, Comparison::Equal, self.literal()?));
        }
        self.expect(&Token::RParen, ", or )")?;
        Ok(together(parts, Condition::Any))
    }

    fn literal(&mut self) -> Result<Literal, SqlError> {
        let before = self.at;
        match self.operand()? {
            Operand::Literal(literal) => Ok(literal),
            Operand::Name(_) => {
                self.at = before;
                Err(self.unexpected("a text in single quotes, a number, TRUE or FALSE"))
            }
        }
    }

    fn operand(&mut self) -> Result<Operand, SqlError> {
        if self.is_word("NULL") {
            let message = "nothing is equal to NULL, nor different from it: write IS NULL or IS NOT NULL".to_owned();
            return Err(SqlError::Syntax { message, position: position(self.location()) });
        }
        for (word, value) in [("TRUE", true), ("FALSE", false)] {
            if self.take_word(word) {
                return Ok(Operand::Literal(Literal::Boolean(value)));
            }
        }
        let sign = if self.take(&Token::Minus) { "-" } else { "" };
        let operand = match self.peek() {
            Some(Token::Number(digits, false)) => {
                let number = format!("{sign}{digits}");
                number.parse().is_ok_and(f64::is_finite).then_some(Operand::Literal(Literal::Number(number)))
            }
            Some(Token::SingleQuotedString(text)) if sign.is_empty() => {
                Some(Operand::Literal(Literal::Text(text.clone())))
            }
            Some(Token::Word(word)) if sign.is_empty() && !self.is_operator() => {
                Some(Operand::Name(word.value.clone()))
            }
            _ => None,
        };
        let Some(operand) = operand else { return Err(self.unexpected("a name, a text, a number, TRUE or FALSE")) };
        self.at += 1;
        match (&operand, self.peek()) {
            (Operand::Name(name), Some(Token::LParen)) => {
                let message = format!("{} is called as a function; {ALLOWED}", capped(name));
                Err(SqlError::Syntax { message, position: position(self.location()) })
            }
            (Operand::Name(_), Some(Token::Period)) => {
                let message =
                    "a name has no parts: declare a column with a path for what is nested, and name that".to_owned();
                Err(SqlError::Syntax { message, position: position(self.location()) })
            }
            _ => Ok(operand),
        }
    }

    /// Whether a word comes that joins or asks, and so is no name unless it is in quotes.
    fn is_operator(&self) -> bool {
        ["AND", "OR", "NOT", "IN", "IS"].iter().any(|word| self.is_word(word))
    }

    fn take_comparison(&mut self) -> Option<Comparison> {
        let comparison = match self.peek()? {
            Token::Eq => Comparison::Equal,
            Token::Neq => Comparison::NotEqual,
            Token::Lt => Comparison::Less,
            Token::LtEq => Comparison::LessOrEqual,
            Token::Gt => Comparison::Greater,
            Token::GtEq => Comparison::GreaterOrEqual,
            _ => return None,
        };
        self.at += 1;
        Some(comparison)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    fn is_word(&self, wanted: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let is_it = self.is_word(wanted);
        self.at += usize::from(is_it);
        is_it
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let is_it = self.peek() == Some(wanted);
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, wanted: &Token, words: &str) -> Result<(), SqlError> {
        if self.take(wanted) { Ok(()) } else { Err(self.unexpected(words)) }
    }

    /// Where the next token stands, or where the last ends.
    fn location(&self) -> Location {
        let next = self.tokens.get(self.at).map(|token| token.span.start);
        let end = || self.tokens.last().map_or(Location::new(1, 1), |token| token.span.end);
        next.unwrap_or_else(end)
    }

    fn unexpected(&self, expected: &str) -> SqlError {
        let found = self.peek().map_or_else(|| "the end".to_owned(), |token| capped(&token.to_string()));
        let message = format!("found {found}, expected {expected}; {ALLOWED}");
        SqlError::Syntax { message, position: position(self.location()) }
    }
}

fn compare(name: &str, comparison: Comparison, literal: Literal) -> Condition<Predicate> {
    Condition::Test(Predicate { name: name.to_owned(), test: Test::Compare(comparison, literal) })
}

/// One part is itself.
fn together(
    mut parts: Vec<Condition<Predicate>>,
    join: fn(Vec<Condition<Predicate>>) -> Condition<Predicate>,
) -> Condition<Predicate> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            join(parts)
        }
    }
}
