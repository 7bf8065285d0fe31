//! Admin as its callers see it: requests to the router over a real store, queue and files in a temporary directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod apply;
mod keys;
mod oauth2;
mod refusals;
mod resources;
mod runs;
mod sample;
mod status;
mod support;
mod tokens;
