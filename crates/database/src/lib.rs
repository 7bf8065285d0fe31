//! The tables of databases: which there are, what columns they have, and how a query reads them.
//!
//! A database has real-time tables with those of their failed rows, external tables, which others write (Delta, Parquet or CSV), and
//! tables that a run makes by SQL. [`DatabaseTables`] says which, from the catalog alone; a [`DatabaseReader`] opens them, each at
//! its newest [version](OpenTable::version) or the older one that is asked for, as what [`freshet_query`] takes.
//!
//! What it promises:
//! - A query reads a table at one version, whatever is written meanwhile. The files of an external table are listed once; one
//!   that is replaced while it is read makes the query fail, not mix.
//! - An external table is read where its tenant may: below `external/<tenant>/` of the deployment's files, or below a prefix that the
//!   deployment's settings allow ([`ExternalFiles`]). Nothing else is, whatever a definition says.
//! - An error says which table and what to do, and holds no path; the cause is in [`std::error::Error::source`], for the log.
//! - Parquet files have the types that they say. CSV files have a header, and their columns are texts: `00042` stays `00042`.
//!
//! Data goes: the names in a SELECT → [`DatabaseTables::named`] → [`DatabaseReader::open`] → tables for the query engine.

mod error;
mod external;
mod files;
mod reader;
mod tables;

pub use error::DatabaseError;
pub use external::{ExternalFiles, MAX_FILES, lies_below};
pub use reader::{DatabaseReader, OpenTable, TableVersions};
pub use tables::{DatabaseTable, DatabaseTables, TableKind, TableRead};
