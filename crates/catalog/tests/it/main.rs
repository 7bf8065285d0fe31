//! The catalog as its users see it, over a store in a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod databases;
mod file;
mod plan;
mod races;
mod resources;
mod snapshot;
mod support;
mod tables;
