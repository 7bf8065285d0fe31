//! The runner over real tables and a real store, with a clock that the test moves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod activations;
mod indexes;
mod scene;
