//! Runs on both stores: claimed once, taken over from runners that die, and ended as if none had.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod claims;
mod faults;
