//! The batches of a webhook, staged as files of their own.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use freshet_model::SendMode;
use freshet_query::{JsonObjects, ResultColumn};
use freshet_runs::RunId;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use serde_json::json;

use crate::{ActivationError, ActivationLimits};

/// Bytes that the end of a batch may take.
const TAIL_BYTES: usize = 64;

/// Writes rows as batches. A batch is staged without its end, which says how many batches there are and is known only later.
pub(crate) struct BatchWriter {
    files: Arc<dyn ObjectStore>,
    folder: Path,
    activation: String,
    delivery: RunId,
    send: SendMode,
    objects: JsonObjects,
    most_rows: usize,
    body: Vec<u8>,
    rows: usize,
    batches: u64,
    bytes: u64,
    limits: ActivationLimits,
}

/// The file of a batch.
pub(crate) fn batch_path(folder: &Path, number: u64) -> Path {
    folder.clone().join(format!("batch-{number:09}"))
}

/// What follows the rows of each batch.
pub(crate) fn tail(batches: u64) -> String {
    format!("],\"batches\":{batches}}}")
}

/// The rows of a batch as JSON objects.
fn bodies(objects: &JsonObjects, batch: &RecordBatch) -> Result<Vec<Vec<u8>>, ActivationError> {
    let rows = objects.rows(batch);
    let mut bodies = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let mut body = Vec::new();
        rows.write(row, &mut body)?;
        bodies.push(body);
    }
    Ok(bodies)
}

impl BatchWriter {
    #[expect(clippy::too_many_arguments, reason = "one for each thing that a batch says")]
    pub(crate) fn new(
        files: Arc<dyn ObjectStore>,
        folder: Path,
        activation: String,
        delivery: RunId,
        send: SendMode,
        columns: &[ResultColumn],
        most_rows: u32,
        limits: ActivationLimits,
    ) -> Result<Self, ActivationError> {
        let objects = JsonObjects::of(columns)?;
        let most_rows = most_rows as usize;
        let (body, rows, batches, bytes) = (Vec::new(), 0, 0, 0);
        Ok(Self { files, folder, activation, delivery, send, objects, most_rows, body, rows, batches, bytes, limits })
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<(), ActivationError> {
        for row_body in bodies(&self.objects, batch)? {
            let room = self.limits.batch_bytes.saturating_sub(self.body.len() + TAIL_BYTES + 1);
            if self.rows >= self.most_rows || (self.rows > 0 && row_body.len() > room) {
                self.end().await?;
            }
            self.begin();
            if self.body.len() + row_body.len() + TAIL_BYTES > self.limits.batch_bytes {
                return Err(ActivationError::RowTooLarge { limit: self.limits.batch_bytes });
            }
            if self.rows > 0 {
                self.body.push(b',');
            }
            self.body.extend_from_slice(&row_body);
            self.rows += 1;
        }
        Ok(())
    }

    fn begin(&mut self) {
        if self.body.is_empty() {
            let head = json!({
                "activation": self.activation, "delivery": self.delivery, "batch": self.batches, "send": self.send,
            });
            let head = head.to_string();
            self.body.extend_from_slice(head.trim_end_matches('}').as_bytes());
            self.body.extend_from_slice(b",\"rows\":[");
        }
    }

    async fn end(&mut self) -> Result<(), ActivationError> {
        let body = Bytes::from(std::mem::take(&mut self.body));
        self.bytes += body.len() as u64;
        if self.bytes > self.limits.bytes {
            return Err(ActivationError::TooLarge { limit: self.limits.bytes, unit: "bytes" });
        }
        self.files.put(&batch_path(&self.folder, self.batches), PutPayload::from(body)).await?;
        self.batches += 1;
        self.rows = 0;
        Ok(())
    }

    /// Ends the last batch, and says how many there are, and of how many bytes. All of a result without rows is one batch without rows:
    /// a receiver that takes its place is to know.
    pub(crate) async fn finish(mut self) -> Result<(u64, u64), ActivationError> {
        if self.rows == 0 && self.batches == 0 && self.send == SendMode::All {
            self.begin();
        }
        if !self.body.is_empty() {
            self.end().await?;
        }
        Ok((self.batches, self.bytes))
    }
}
