//! The Delta engine: exactly-once upserts by key and order, into plain Delta tables that any engine reads.
//!
//! # What it promises
//!
//! - **Exactly once.** A commit carries one `txn` action for each partition that it took rows from: application
//!   `freshet:<topic>:<partition>`, version the offset *after* the last one that is in. [`Table::write`] reads it from the
//!   snapshot that its commit is based on, leaves out what is in already, and commits by compare-and-swap on that
//!   snapshot's version. So a batch that is delivered again, cut in two, or raced by another process changes nothing twice.
//! - **Order of records, not of arrival.** For each key a table of kind [`TableKind::Upsert`] holds the record with the
//!   greatest (`order_by` with nulls first, `received_at`, `_partition`, `_offset`); of several rows of one record, the
//!   last. The same set of records leaves the same table, whatever order it came in.
//! - **No locks outside the table.** Any number of processes write one table; the loser of a race reads what the winner
//!   committed and tries again on top of it.
//!
//! # How data goes through it
//!
//! Slices of a topic's partitions → without what the `txn` actions say is in (`incoming`) → one winner a key
//! (`winners`) → a MERGE that updates rows of lower order and inserts missing keys, or a plain append where there is
//! nothing to merge with (`commit`) → one conditional PUT of the next version → the snapshot that the table's readers share
//! (`snapshot`).
//!
//! The tables of databases that a SELECT makes hold no records: [`Tables::replace`] puts their whole content anew in one commit
//! (`replace`).
//!
//! A commit that fails in a way that leaves open whether it took place is never simply repeated: the log is read back first.

mod commit;
mod compact;
mod error;
mod foreign;
mod incoming;
mod listing;
mod log;
mod paths;
mod replace;
mod snapshot;
mod spec;
mod table;
mod tables;
mod winners;

pub use error::TableError;
pub use foreign::ForeignTable;
pub use incoming::Slice;
pub use paths::{failed_table_path, made_table_path, table_path};
pub use replace::{ReplaceError, Replacement};
pub use spec::{Merge, TableKind, TableSpec};
pub use table::{Table, TableDetails, WriteOutcome};
pub use tables::Tables;
