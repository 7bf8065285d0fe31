//! Ingest through its router: what a client notices, and what is in the queue afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod accepted;
mod anything;
mod call;
mod pressure;
mod refused;
mod scene;
mod shelf;
mod xml;
