#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
//! The queue's promises, on every implementation.

mod conformance;
mod crash;
mod embedded;
mod kafka;
mod support;
