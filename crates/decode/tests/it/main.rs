//! What `freshet-decode` promises, seen from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod cells;
mod decompress;
mod fields;
mod properties;
mod rows;
mod split;
mod support;
