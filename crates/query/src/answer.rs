//! The body of an answer, written row by row.

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use jiff::Timestamp;
use serde::Serialize;

use crate::QueryError;
use crate::cells::{Cells, Separator};

/// What a query gave.
#[derive(Debug)]
pub struct Answer {
    /// JSON: `{"columns":[{"name","type"}], "rows":[[…]], "row_count", "truncated", "as_of", "statistics"}`.
    pub body: Vec<u8>,
    /// Rows in it.
    pub rows: usize,
    /// Whether the query has more rows than its limit.
    pub truncated: bool,
}

/// A column of the result.
#[derive(Debug, Serialize)]
pub(crate) struct ResultColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
}

/// What the query took.
#[derive(Debug, Serialize)]
pub(crate) struct Statistics {
    /// From its start to its last row, in milliseconds.
    pub elapsed_ms: u64,
    /// Rows that came out of the tables.
    pub rows_read: usize,
    /// Bytes that did not fit into its memory and went to disk.
    pub bytes_spilled: usize,
}

#[derive(Serialize)]
struct Tail<'a> {
    row_count: usize,
    truncated: bool,
    as_of: String,
    statistics: &'a Statistics,
}

/// Writes an answer of at most so many rows and bytes.
pub(crate) struct AnswerWriter {
    body: Vec<u8>,
    rows: usize,
    truncated: bool,
    most_rows: usize,
    most_bytes: usize,
    separator: Separator,
}

impl AnswerWriter {
    pub(crate) fn new(columns: &[ResultColumn], most_rows: usize, most_bytes: usize) -> Result<Self, QueryError> {
        let mut body = b"{\"columns\":".to_vec();
        serde_json::to_writer(&mut body, columns).map_err(unwritable)?;
        body.extend_from_slice(b",\"rows\":[");
        let separator = Separator::default();
        Ok(Self { body, rows: 0, truncated: false, most_rows, most_bytes, separator })
    }

    /// Adds rows, up to the most; whether more are of use.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<bool, QueryError> {
        let columns: Vec<Cells> = batch.columns().iter().map(Cells::of).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            if self.rows == self.most_rows {
                self.truncated = true;
                return Ok(false);
            }
            self.separator.write(&mut self.body);
            self.body.push(b'[');
            let mut separator = Separator::default();
            for column in &columns {
                separator.write(&mut self.body);
                column.write(row, &mut self.body)?;
            }
            self.body.push(b']');
            if self.body.len() > self.most_bytes {
                return Err(QueryError::ResultTooLarge { limit: self.most_bytes, rows: self.rows });
            }
            self.rows += 1;
        }
        Ok(true)
    }

    pub(crate) fn finish(mut self, as_of: Timestamp, statistics: &Statistics) -> Result<Answer, QueryError> {
        let tail = Tail { row_count: self.rows, truncated: self.truncated, as_of: format!("{as_of:.6}"), statistics };
        let tail = serde_json::to_vec(&tail).map_err(unwritable)?;
        self.body.extend_from_slice(b"],");
        // What follows is the rest of the object that the columns began.
        self.body.extend(tail.into_iter().skip(1));
        Ok(Answer { body: self.body, rows: self.rows, truncated: self.truncated })
    }
}

fn unwritable(error: serde_json::Error) -> QueryError {
    QueryError::Internal { source: DataFusionError::External(Box::new(error)) }
}
