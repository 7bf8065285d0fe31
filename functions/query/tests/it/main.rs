//! Queries over HTTP, through the router, over tables in a directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod answered;
mod files;
mod formats;
mod listing;
mod pressure;
mod refused;
mod saved;
mod scene;
mod versions;
