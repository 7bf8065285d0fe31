//! Runs of databases and of profile indexes over real tables: what they make, what failures leave, and kills at every write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod databases;
mod faults;
mod incremental;
mod indexes;
mod kills;
mod memory;
mod people;
mod scene;
