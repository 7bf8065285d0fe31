//! What a client of any HTTP function notices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod authorization;
mod body;
mod layers;
mod log;
