//! Deliveries over real tables, files and stores, to real receivers: what they send, what they refuse, and kills at every write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "../../../refresh/tests/it/faults.rs"]
mod faults;
mod files;
mod kills;
mod receiver;
mod scene;
mod webhooks;
