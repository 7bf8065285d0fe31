//! SQL over a database: one SELECT, bounded in every respect, answered as JSON.
//!
//! The way of a query: [`parse_select`] refuses everything but one SELECT, with the line and column of what is wrong,
//! and says which tables it names; the caller [finds](find_tables) and opens those and hands them to [`QueryEngine::run`],
//! which binds the [`Parameters`] as values, plans with `DataFusion`, and writes the rows as they come into the body of
//! the [`Answer`].
//!
//! What it promises:
//! - A query reads the tables that it was given and nothing else: no file, no other table, no settings, no catalog. A column that a
//!   table doesn't show is in no schema that the SQL meets.
//! - A query is bounded: the length of its text and the depth of its nesting, the size to which its common table
//!   expressions grow, time, memory, disk, rows and bytes of its result. One that is given up stops working.
//! - Names without quotes match whatever their case, names in quotes match exactly: `SELECT Order_ID FROM Orders`
//!   works for a table `orders` with a column `order_id` and the other way round. Where a table has two columns that
//!   differ by case alone, these two match exactly (after lower-casing what is not quoted, as is usual in SQL). A
//!   column of the result that is named like a column of a table shows that column's spelling.
//! - Numbers are exact: a literal such as `0.1` and a number given as a parameter are decimals, and what JSON's readers
//!   would round (beyond 2^53) is written as a string.
//! - An error tells what its reader can mend, or nothing: no path, no address, no hidden column. The cause is in
//!   [`std::error::Error::source`], for the log.

mod answer;
mod bounded;
mod cells;
mod concatenation;
mod engine;
mod error;
mod functions;
mod growth;
mod held;
mod interrupt;
mod names;
mod parameters;
mod scalar;
mod tables;

pub use answer::Answer;
pub use engine::{EngineSettings, MAX_ROWS, Query, QueryEngine};
pub use error::QueryError;
pub use freshet_sql::{MAX_SQL_BYTES, Position, Select, SqlError, parse_select};
pub use parameters::{ParameterValue, Parameters};
pub use tables::{QueryTable, TableColumn, find_tables};
