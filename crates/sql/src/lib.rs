//! The text of a query: whether it is one SELECT, which tables and parameters it names, and what is wrong with it. Nothing is
//! planned here and no table is looked at, so that whoever keeps queries can check them without what runs them. And the text of
//! a condition over one record, which is a small part of SQL.
//!
//! What it promises:
//! - A text that is read is one SELECT: no other statement, nothing that changes data, no function that reads files.
//! - It is bounded before any of it is planned: the length of the text, the depth of its nesting and of its expressions, and
//!   the size to which its common table expressions grow. Reading it takes milliseconds and little of a thread's stack.
//! - What is wrong is told with its line and column.
//!
//! Data goes: text → tokens, which are counted → [`parse_select`] → a [`Select`], which `catalog` asks for its
//! [tables](Select::tables) and [parameters](Select::placeholders), and `query` for its [syntax tree](Select::query).
//! And text → [`parse_condition`] → a [`Condition`], to which `model` gives the types of columns, and which `decode`
//! [evaluates](Condition::evaluate) for each record.

mod condition;
mod condition_text;
mod error;
mod guard;
mod names;
mod nesting;
mod select;
mod versions;

pub use condition::{Comparison, Condition, Literal, MAX_CONDITION_BYTES, Predicate, Test, parse_condition};
pub use error::{Position, SqlError, capped, in_one_line};
pub use names::find_table;
pub use select::{MAX_CONSTANT_BYTES, MAX_SQL_BYTES, Select, TableRead, parse_select};
pub use versions::{MAX_VERSIONS, TableVersion, read_timestamp};
