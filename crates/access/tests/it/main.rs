//! Keys and tokens as callers meet them, over a store in a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod issuing;
mod keys;
mod sealed;
mod signing;
mod support;
mod tokens;
