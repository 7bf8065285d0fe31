//! The engine against a plain model of what it must hold, on local files and S3, with races and faults.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod changes;
mod differential;
mod faults;
mod keys;
mod model;
mod others;
mod races;
mod races_on_s3;
mod readers;
mod replace;
mod schedule;
mod schema;
mod spark;
mod support;
