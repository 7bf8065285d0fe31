//! What `freshet-decode` promises, seen from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod absent;
mod cells;
mod decompress;
mod deletes;
mod fields;
mod fuzz_corpus;
mod properties;
mod rows;
mod split;
mod support;
mod xml;
mod xml_documents;
mod xml_model;
