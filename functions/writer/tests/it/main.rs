//! The writer over a real queue, store and tables: what is delivered again, in parts, out of order, or to several writers at once
//! leaves the tables as if each record had come once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod deletes;
mod delivery;
mod event;
mod joining;
mod support;
mod xml;
