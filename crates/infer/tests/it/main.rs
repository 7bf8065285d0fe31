//! What is proposed from records, and that it decodes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod properties;
mod proposals;
