//! The promises of profile indexes, on redb and on DynamoDB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod changed;
mod conformance;
mod filters;
mod generations;
mod interference;
mod kills;
mod memory;
mod model;
mod platform;
mod support;
