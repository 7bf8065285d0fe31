//! Bytes to records to typed rows, or the reason why not.
//!
//! Everything here is a pure function of its arguments: no clock, no I/O, no state between calls.
//!
//! What it promises:
//!
//! * Nothing that a caller sends makes it panic, recurse without bound, or use more memory than the limits allow.
//! * A request is split whole or not at all, and a refusal lists every bad record by index.
//! * Each JSON object, and each row's element of an XML document, becomes exactly one row, or exactly one [`FailedRow`]
//!   with the column and the reason; none has an influence on what becomes of another. A document that is no document,
//!   or has no row's element, is one [`FailedRow`].
//! * No value is changed silently: what a column can't hold as it is fails the row. Two roundings are in the nature of
//!   their types: a `double` is the nearest to the decimal fraction that came, and a `timestamp` drops what is finer
//!   than a microsecond.
//!
//! Data goes, at ingest: body → [`decompress`] → [`split_records`] → one slice of the body a record, into the queue;
//! and in the writer and in queries: queued records → [`Decoder::decode`] → rows with the [`table_schema`], which of them delete
//! and which fields their records lacked, and [`failed_rows`] with the [`failed_schema`].

mod batch;
mod column;
mod column_values;
mod decoder;
mod decompress;
mod delete_when;
mod failed;
mod json;
mod number;
mod scan;
mod schema;
mod split;
mod time;
mod value;
mod wanted;
mod xml;

pub use decoder::{DecodeError, Decoded, Decoder};
pub use decompress::{ContentEncoding, DecompressError, UnknownEncoding, decompress};
pub use failed::{FailedRow, failed_rows};
pub use schema::{failed_schema, table_schema};
pub use split::{BadRecord, BadRecords, BodyForm, RecordProblem, SplitError, SplitLimits, split_records};
pub use xml::is_utf8;
