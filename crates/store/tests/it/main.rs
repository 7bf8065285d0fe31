//! The store's promises, on redb and on DynamoDB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod conformance;
mod dynamo;
mod faulty_server;
mod model;
mod platform;
mod redb_file;
