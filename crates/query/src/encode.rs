//! A result in one of its formats, piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::cells::{Cells, Separator, write_field, write_json};
use crate::flow::Flow;
use crate::json::{JsonObjects, refuse_equal_names};
use crate::rows::{Statistics, Summary};
use crate::{Format, QueryError, ResultColumn, Rows};

/// Bytes of a piece, unless it is the last; one batch may exceed it.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes of a row group of Parquet as it is kept in memory until it is whole.
const ROW_GROUP_BYTES: usize = 8 << 20;

/// A result's bytes: a stream that ends after its first error.
#[derive(Debug)]
pub struct Encoded(Flow<Bytes>);

impl Rows {
    /// The rows in a format, of at most so many bytes. They are written on the engine's threads, as they are taken.
    #[must_use]
    pub fn encode(self, format: Format, most_bytes: Option<usize>) -> Encoded {
        let (threads, held) = (self.threads.clone(), self.held.clone());
        let (deadline, interrupt) = (self.batches.deadline(), self.batches.interrupt());
        let most_bytes = most_bytes.unwrap_or(usize::MAX);
        let writing = |pieces| write(self, format, most_bytes, pieces);
        Encoded(Flow::start(&threads, held, deadline, interrupt, writing))
    }
}

impl Encoded {
    /// What is known at the end; nothing before, or where it ended in an error.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        self.0.summary()
    }
}

impl Stream for Encoded {
    type Item = Result<Bytes, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

/// Batches as a file in a format that says nothing of the whole, for those who split the rows of a result over several, or add columns.
pub struct FileEncoder(Encoder);

impl FileEncoder {
    /// Of batches of a schema, whose columns are these.
    ///
    /// # Errors
    /// [`QueryError::Invalid`]: the format can't hold such columns.
    pub fn new(format: Format, schema: &SchemaRef, columns: &[ResultColumn]) -> Result<Self, QueryError> {
        Encoder::new(format, schema, columns, usize::MAX).map(Self)
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A value can't be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        self.0.write(batch)
    }

    /// What was written since the last time, if it is so many bytes.
    pub fn take(&mut self, least: usize) -> Option<Bytes> {
        self.0.take(least)
    }

    /// What is left, the end of the file included.
    ///
    /// # Errors
    /// It can't be written.
    pub fn finish(&mut self) -> Result<Option<Bytes>, QueryError> {
        let (rows, truncated, statistics) = (self.0.rows, false, Statistics::default());
        self.0.finish(Summary { rows, truncated, statistics }, Timestamp::UNIX_EPOCH)?;
        Ok(self.0.take(1))
    }
}

async fn write(
    mut rows: Rows,
    format: Format,
    most_bytes: usize,
    pieces: mpsc::Sender<Bytes>,
) -> Result<Summary, QueryError> {
    let mut encoder = Encoder::new(format, &rows.schema, &rows.columns, most_bytes)?;
    while let Some(batch) = rows.next().await {
        encoder.write(&batch?)?;
        if let Some(piece) = encoder.take(PIECE_BYTES) {
            send(&pieces, piece).await?;
        }
    }
    let summary = rows.summary().ok_or_else(|| QueryError::internal("a result ended without an end"))?;
    encoder.finish(summary, rows.as_of)?;
    if let Some(piece) = encoder.take(1) {
        send(&pieces, piece).await?;
    }
    Ok(summary)
}

async fn send(pieces: &mpsc::Sender<Bytes>, piece: Bytes) -> Result<(), QueryError> {
    pieces.send(piece).await.map_err(|_gone| QueryError::internal("nobody takes the answer"))
}

/// The end of a JSON answer, the rest of the object that its columns began.
#[derive(Serialize)]
struct Tail<'a> {
    row_count: usize,
    truncated: bool,
    as_of: String,
    statistics: &'a Statistics,
}

struct Encoder {
    writer: Writer,
    most_bytes: usize,
    /// Bytes that were taken, and rows in all.
    taken: usize,
    rows: usize,
}

enum Writer {
    Json { body: Vec<u8>, separator: Separator },
    NdJson { body: Vec<u8>, objects: JsonObjects },
    Csv { body: Vec<u8> },
    ArrowStream(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

impl Encoder {
    fn new(
        format: Format,
        schema: &SchemaRef,
        columns: &[ResultColumn],
        most_bytes: usize,
    ) -> Result<Self, QueryError> {
        let mut body = Vec::new();
        let writer = match format {
            Format::Json => {
                body.extend_from_slice(b"{\"columns\":");
                write_json(columns, &mut body)?;
                body.extend_from_slice(b",\"rows\":[");
                Writer::Json { body, separator: Separator::default() }
            }
            Format::NdJson => Writer::NdJson { body, objects: JsonObjects::of(columns)? },
            Format::Csv => {
                let mut separator = Separator::default();
                for column in columns {
                    separator.write(&mut body);
                    write_field(&column.name, &mut body);
                }
                body.extend_from_slice(b"\r\n");
                Writer::Csv { body }
            }
            Format::ArrowStream => {
                Writer::ArrowStream(Box::new(StreamWriter::try_new(body, schema).map_err(of_arrow)?))
            }
            Format::Parquet => {
                refuse_equal_names(columns)?;
                let compression = Compression::ZSTD(ZstdLevel::default());
                let properties = WriterProperties::builder().set_compression(compression).build();
                let writer = ArrowWriter::try_new(body, schema.clone(), Some(properties)).map_err(of_parquet)?;
                Writer::Parquet(Box::new(writer))
            }
        };
        Ok(Self { writer, most_bytes, taken: 0, rows: 0 })
    }

    /// Adds rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let bytes = Room { limit: self.most_bytes, taken: self.taken };
        match &mut self.writer {
            Writer::Json { body, separator } => {
                let columns: Vec<Cells> = batch.columns().iter().map(Cells::of).collect();
                for row in 0..batch.num_rows() {
                    separator.write(body);
                    body.push(b'[');
                    let mut separator = Separator::default();
                    for column in &columns {
                        separator.write(body);
                        column.write_json(row, body)?;
                        bytes.check(body.len(), self.rows)?;
                    }
                    body.push(b']');
                    self.rows += 1;
                }
            }
            Writer::NdJson { body, objects } => {
                let rows = objects.rows(batch);
                for row in 0..batch.num_rows() {
                    rows.write(row, body)?;
                    body.push(b'\n');
                    bytes.check(body.len(), self.rows)?;
                    self.rows += 1;
                }
            }
            Writer::Csv { body } => {
                let columns: Vec<Cells> = batch.columns().iter().map(Cells::of).collect();
                for row in 0..batch.num_rows() {
                    write_record(&columns, row, body)?;
                    bytes.check(body.len(), self.rows)?;
                    self.rows += 1;
                }
            }
            Writer::ArrowStream(writer) => {
                writer.write(batch).map_err(of_arrow)?;
                bytes.check(writer.get_ref().len(), self.rows)?;
                self.rows += batch.num_rows();
            }
            Writer::Parquet(writer) => {
                writer.write(batch).map_err(of_parquet)?;
                if writer.memory_size() > ROW_GROUP_BYTES {
                    writer.flush().map_err(of_parquet)?;
                }
                // What was taken is written; the rest is counted as it will be.
                let bytes = Room { limit: self.most_bytes, taken: writer.bytes_written() };
                bytes.check(writer.in_progress_size(), self.rows)?;
                self.rows += batch.num_rows();
            }
        }
        Ok(())
    }

    /// What was written since the last time, if it is so many bytes.
    fn take(&mut self, least: usize) -> Option<Bytes> {
        let body = match &mut self.writer {
            Writer::Json { body, .. } | Writer::NdJson { body, .. } | Writer::Csv { body } => body,
            Writer::ArrowStream(writer) => writer.get_mut(),
            Writer::Parquet(writer) => writer.inner_mut(),
        };
        if body.len() < least {
            return None;
        }
        self.taken += body.len();
        Some(Bytes::from(std::mem::take(body)))
    }

    /// Writes the end.
    fn finish(&mut self, summary: Summary, as_of: Timestamp) -> Result<(), QueryError> {
        match &mut self.writer {
            Writer::Json { body, .. } => {
                let Summary { rows, truncated, statistics } = &summary;
                let tail = Tail { row_count: *rows, truncated: *truncated, as_of: format!("{as_of:.6}"), statistics };
                body.extend_from_slice(b"],");
                let start = body.len();
                write_json(&tail, body)?;
                body.remove(start);
            }
            Writer::NdJson { .. } | Writer::Csv { .. } => {}
            Writer::ArrowStream(writer) => writer.finish().map_err(of_arrow)?,
            Writer::Parquet(writer) => {
                writer.finish().map_err(of_parquet)?;
            }
        }
        Ok(())
    }
}

/// How many bytes there may be.
struct Room {
    limit: usize,
    /// Besides those that are checked.
    taken: usize,
}

impl Room {
    fn check(&self, bytes: usize, rows: usize) -> Result<(), QueryError> {
        if self.taken.saturating_add(bytes) > self.limit {
            return Err(QueryError::ResultTooLarge { limit: self.limit, rows });
        }
        Ok(())
    }
}

/// A record of CSV. One that is a single NULL would be an empty line, which some readers skip.
fn write_record(columns: &[Cells], row: usize, body: &mut Vec<u8>) -> Result<(), QueryError> {
    match columns {
        [only] if only.is_null(row) => write_field("", body),
        columns => {
            let mut separator = Separator::default();
            for column in columns {
                separator.write(body);
                column.write_csv(row, body)?;
            }
        }
    }
    body.extend_from_slice(b"\r\n");
    Ok(())
}

fn of_arrow(error: ArrowError) -> QueryError {
    QueryError::Internal { source: DataFusionError::ArrowError(Box::new(error), None) }
}

/// Some types that results may have, Parquet has not, as a struct without fields.
fn of_parquet(error: ParquetError) -> QueryError {
    match error {
        ParquetError::ArrowError(message) | ParquetError::NYI(message) => {
            QueryError::Invalid { message: format!("the result has a column that Parquet has no type for: {message}") }
        }
        other => QueryError::Internal { source: DataFusionError::ParquetError(Box::new(other)) },
    }
}
