//! Conditions over one record, as `op = 'D' OR deleted`: a small part of SQL, read whole or refused with what is allowed.

use std::cmp::Ordering;

use crate::SqlError;
use crate::condition_text::Reader;

/// Longest text of a condition in bytes: some hundreds of values in a list.
pub const MAX_CONDITION_BYTES: usize = 4_000;

/// Tests, put together by AND, OR and NOT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition<T> {
    /// One test.
    Test(T),
    /// AND.
    All(Vec<Self>),
    /// OR.
    Any(Vec<Self>),
    /// NOT.
    Not(Box<Self>),
}

/// What a condition asks of the value that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predicate {
    /// As it is written, without quotes.
    pub name: String,
    /// What is asked of its value.
    pub test: Test<Literal>,
}

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test<C> {
    /// IS NULL.
    Null,
    /// How it compares with a constant.
    Compare(Comparison, C),
}

/// A constant as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A text, without its quotes.
    Text(String),
    /// A decimal number that is finite as 64 bits of floating point.
    Number(String),
    /// TRUE or FALSE.
    Boolean(bool),
}

/// A comparison of a value with a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether it holds for a value that compares so with the constant.
    #[must_use]
    pub fn holds(self, value_to_constant: Ordering) -> bool {
        match self {
            Self::Equal => value_to_constant.is_eq(),
            Self::NotEqual => value_to_constant.is_ne(),
            Self::Less => value_to_constant.is_lt(),
            Self::LessOrEqual => value_to_constant.is_le(),
            Self::Greater => value_to_constant.is_gt(),
            Self::GreaterOrEqual => value_to_constant.is_ge(),
        }
    }

    /// The same comparison with its sides exchanged.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

impl<T> Condition<T> {
    /// The condition with other tests in the place of these.
    ///
    /// # Errors
    /// The first that `change` returns.
    pub fn try_map<U, E>(&self, change: &mut impl FnMut(&T) -> Result<U, E>) -> Result<Condition<U>, E> {
        Ok(match self {
            Self::Test(test) => Condition::Test(change(test)?),
            Self::All(parts) => {
                Condition::All(parts.iter().map(|part| part.try_map(change)).collect::<Result<_, E>>()?)
            }
            Self::Any(parts) => {
                Condition::Any(parts.iter().map(|part| part.try_map(change)).collect::<Result<_, E>>()?)
            }
            Self::Not(inner) => Condition::Not(Box::new(inner.try_map(change)?)),
        })
    }

    /// Whether it is true, given what its tests are; none: unknown, as SQL has it where nulls are compared.
    pub fn evaluate(&self, test: &mut impl FnMut(&T) -> Option<bool>) -> Option<bool> {
        match self {
            Self::Test(of) => test(of),
            Self::All(parts) => combine(parts, false, test),
            Self::Any(parts) => combine(parts, true, test),
            Self::Not(inner) => inner.evaluate(test).map(|holds| !holds),
        }
    }
}

/// `decisive` as soon as one part is that, else unknown if one is unknown, else the opposite.
fn combine<T>(parts: &[Condition<T>], decisive: bool, test: &mut impl FnMut(&T) -> Option<bool>) -> Option<bool> {
    let mut result = Some(!decisive);
    for part in parts {
        match part.evaluate(test) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

/// Reads a text as a condition: comparisons of a name with a text, a number, TRUE or FALSE, `name IN (…)`,
/// `name IS [NOT] NULL`, a name alone, which is `name = TRUE`, and AND, OR, NOT and parentheses of these.
///
/// # Errors
/// [`SqlError::Syntax`] for everything else, and [`SqlError::ConditionTooLong`].
pub fn parse_condition(text: &str) -> Result<Condition<Predicate>, SqlError> {
    if text.len() > MAX_CONDITION_BYTES {
        return Err(SqlError::ConditionTooLong { bytes: text.len(), most: MAX_CONDITION_BYTES });
    }
    Reader::new(text)?.read()
}
