//! The rows of a query, as they come.

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::Stream;
use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::QueryError;
use crate::execution::column_of;
use crate::flow::Flow;
use crate::held::Held;
use crate::origins::Origins;

/// A column of the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// Its type in the words of table definitions; besides these, `time`, `interval`, `binary`, and `null` where all values
    /// are.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// What a query took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// From its start to its last row, in milliseconds.
    pub elapsed_ms: u64,
    /// Rows that came out of the tables.
    pub rows_read: usize,
    /// Bytes that did not fit into its memory and went to disk.
    pub bytes_spilled: usize,
}

/// What is known of a result at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Its rows.
    pub rows: usize,
    /// Whether the query has more rows than its limit.
    pub truncated: bool,
    /// What it took.
    pub statistics: Statistics,
}

/// The rows of a query: a stream of batches of a megabyte or one row, in the types that [`results have`](self), which ends
/// after its first error. A query works as its rows are taken, and stops when they are dropped.
#[derive(Debug)]
pub struct Rows {
    /// What each batch has: the names of the result, and plain types.
    pub schema: SchemaRef,
    /// The columns in the words of table definitions.
    pub columns: Vec<ResultColumn>,
    /// Where the rows come from, if each is made of one row of one table and of nothing else.
    pub origins: Option<Origins>,
    /// The time of the tables' snapshots.
    pub as_of: Timestamp,
    pub(crate) batches: Flow<RecordBatch>,
    pub(crate) threads: Handle,
    pub(crate) held: Held,
}

impl Rows {
    /// The place of the column that is meant by a name, in whatever case.
    ///
    /// # Errors
    /// [`QueryError::UnknownColumn`] with the nearest name.
    pub fn column(&self, name: &str) -> Result<usize, QueryError> {
        column_of(name, &self.columns)
    }

    /// What is known at the end; nothing before, or where it ended in an error.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        self.batches.summary()
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.batches).poll_next(context)
    }
}
