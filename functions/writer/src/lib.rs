//! Upserts queued records into the Delta tables of their streams: a plain async function of a batch, run by Lambda's runtime
//! over Kafka events, or by [`consume`] in one process.
//!
//! Promises:
//! * Every record of the queue reaches every table that reads its stream, once: as a row, or as a row of `<table>_failed`; an XML
//!   document as the rows in it. It is so when a batch is delivered again, in parts, out of order, or to several processes at once.
//! * A table that can't be written (it was changed by hand, say) does not hold up the others: it leaves the group of tables
//!   that follow the partition, and catches up from the queue when it can be written again.
//!
//! Data goes: [`PartitionBatch`](freshet_queue::PartitionBatch) → the part that continues the partition's
//! [`Progress`](freshet_queue::progress::Progress), with what is missing in front of it read from the queue → by stream → by table: decode,
//! failed rows, upsert → the progress is moved, by a compare-and-swap. A crash anywhere before that leaves the progress where
//! it was, and what was written to a table already is known by the table's own transaction identifiers.

mod consume;
mod context;
mod definition;
mod error;
mod event;
mod handler;
mod join;

pub use consume::{ConsumeSettings, consume};
pub use context::WriterContext;
pub use error::{TableWriteError, WriteError};
pub use event::{EventError, handle_event, partition_batches};
pub use handler::{BatchOutcome, write_batch};
pub use join::{Gaps, join_tables};
