//! SQL over tables in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod formats;
mod limits;
mod names;
mod origins;
mod parameters;
mod refusals;
mod results;
mod streams;
mod support;
mod versions;
