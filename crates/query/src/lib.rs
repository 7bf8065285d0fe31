//! SQL over a database: one SELECT, bounded in every respect, its rows as they come or in a format.
//!
//! The way of a query: [`parse_select`] refuses everything but one SELECT, with the line and column of what is wrong,
//! and says which tables it names; the caller [finds](find_tables) and opens those and hands them to [`QueryEngine::start`],
//! which binds the [`Parameters`] as values and plans with `DataFusion`. The [`Rows`] are made as they are taken, and
//! [`encode`](Rows::encode) writes them in a [`Format`].
//!
//! What it promises:
//! - A query reads the tables that it was given and nothing else: no file, no other table, no settings, no catalog. A column that a
//!   table doesn't show is in no schema that the SQL meets.
//! - A query is bounded: the length of its text and the depth of its nesting, the size to which its common table
//!   expressions grow, time, memory, disk, rows and bytes of its result. One that is given up, by its time or by whoever
//!   takes its rows, stops working; one whose rows are taken slowly waits, and makes no more of them meanwhile.
//! - Names without quotes match whatever their case, names in quotes match exactly: `SELECT Order_ID FROM Orders`
//!   works for a table `orders` with a column `order_id` and the other way round. Where a table has two columns that
//!   differ by case alone, these two match exactly (after lower-casing what is not quoted, as is usual in SQL). A
//!   column of the result that is named like a column of a table shows that column's spelling.
//! - Numbers are exact: a literal such as `0.1` and a number given as a parameter are decimals, and what JSON's readers
//!   would round (beyond 2^53) is written as a string.
//! - An error tells what its reader can mend, or nothing: no path, no address, no hidden column. The cause is in
//!   [`std::error::Error::source`], for the log.

mod bounded;
mod cells;
mod concatenation;
mod encode;
mod engine;
mod error;
mod execution;
mod flow;
mod format;
mod functions;
mod growth;
mod held;
mod interrupt;
mod json;
mod names;
mod origins;
mod parameters;
mod plain;
mod rows;
mod scalar;
mod sizes;
mod tables;
mod windows;

pub use encode::{Encoded, FileEncoder};
pub use engine::{EngineSettings, MAX_ROWS, Query, QueryEngine};
pub use error::QueryError;
pub use format::Format;
pub use freshet_sql::{
    MAX_SQL_BYTES, Position, Select, SqlError, TableVersion, find_table as find_table_name, parse_select,
};
pub use json::{JsonObjects, JsonRows};
pub use origins::Origins;
pub use parameters::{ParameterValue, Parameters};
pub use rows::{ResultColumn, Rows, Statistics, Summary};
pub use tables::{QueryTable, TableColumn, find_tables};
