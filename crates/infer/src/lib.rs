//! A proposal of a table's definition from samples of its records: columns with their types, a key, an order, and what was ambiguous.
//!
//! What it promises:
//! - What is proposed decodes: every sampled record makes a row, by the very [`Decoder`](freshet_decode::Decoder) that the writer uses.
//!   A type that one sampled value doesn't fit is not proposed.
//! - What could be read in two ways says so beside its column, with a few short examples; nothing is decided silently.
//! - Its work is bounded: at most [`MAX_RECORDS`] records, [`MAX_COLUMNS`] columns, and [`MAX_DEPTH`] levels of nested data.
//!
//! Data goes: records → their leaves, by path (`leaves`) → a type each (`types`) → names (`names`) → a key and an order (`keys`) → the
//! definition, tried on the records again → TOML with comments (`write`).

mod keys;
mod leaves;
mod names;
mod propose;
mod types;
mod write;
mod xml;

pub use propose::{InferError, Proposal, Sampled, propose};

/// Most records that are looked at.
pub const MAX_RECORDS: usize = 10_000;
/// Most columns that are proposed.
pub const MAX_COLUMNS: usize = 300;
/// Levels of nested data that become columns of their own; what lies deeper becomes JSON text.
pub const MAX_DEPTH: usize = 5;
