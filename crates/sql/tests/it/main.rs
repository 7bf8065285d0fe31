//! Texts of queries and conditions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod conditions;
mod names;
mod refusals;
mod versions;
