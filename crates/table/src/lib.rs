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
//! Slices of a topic's partitions → without what the `txn` actions say is in (`incoming`) → one winner a key (`batch`, or
//! `patch`) → where each key's row is, by the key index or by a search of the files (`index`, `search`) → what is held, and which rows die of
//! it (`plan`) → a data file and a file of deletion vectors (`data_file`, `deletion`) → one conditional PUT of the next version
//! (`commit`) → the snapshot that the table's readers share (`snapshot`, `provider`).
//!
//! The log is read by `log`, files are kept in order by `maintain`; docs/table-engine.md explains the protocol step by step.
//!
//! Who keeps something that follows from a table's rows is told which keys have changed since a version, and their rows (`changes`).
//!
//! The tables of databases that a SELECT makes hold no records: [`Tables::replace`] puts their whole content anew in one commit
//! (`replace`).
//!
//! A commit that fails in a way that leaves open whether it took place is never simply repeated: the log is read back first.

mod batch;
mod bloom;
mod candidates;
mod changes;
mod commit;
mod data_file;
mod deletion;
mod error;
mod file;
mod footers;
mod foreign;
mod incoming;
mod index;
mod key;
mod listing;
mod log;
mod maintain;
mod order;
mod parquet_file;
mod patch;
mod paths;
mod plan;
mod protocol;
mod provider;
mod replace;
mod rows;
mod search;
mod snapshot;
mod spec;
mod statistics;
mod table;
mod tables;
mod upsert;
mod wanted;

pub use changes::{ChangeLimits, Changes, Since, Untold, VersionedTable};
pub use error::TableError;
pub use foreign::{ForeignTable, ForeignTables};
pub use incoming::Slice;
pub use index::IndexSettings;
pub use maintain::{Compacted, Maintenance, MaintenanceReport, Vacuumed};
pub use paths::{failed_table_path, made_table_path, table_path};
pub use replace::{ReplaceError, Replacement};
pub use spec::{Merge, TableKind, TableSpec};
pub use table::{Table, TableDetails, WriteOutcome};
pub use tables::Tables;
