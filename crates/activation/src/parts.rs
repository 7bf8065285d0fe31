//! The files of a delivery, and their manifest.

use std::io::Write as _;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use freshet_model::{FileCompression, FileFormat, SendMode};
use freshet_query::{FileEncoder, Format, ResultColumn};
use freshet_runs::RunId;
use jiff::Timestamp;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use serde::Serialize;

use crate::hashes::{complete, put, upload};
use crate::{ActivationError, ActivationLimits};

/// Bytes that are gathered until they are written.
const PIECE_BYTES: usize = 64 << 10;

/// What is said of a delivery's files once they are all there.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    pub(crate) activation: String,
    pub(crate) delivery: RunId,
    pub(crate) send: SendMode,
    pub(crate) as_of: Timestamp,
    pub(crate) format: FileFormat,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compression: Option<FileCompression>,
    pub(crate) columns: Vec<ResultColumn>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) files: Vec<Part>,
}

/// One file of a delivery.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    name: String,
    rows: u64,
    bytes: u64,
    sha256: String,
}

/// Writes rows as files.
pub(crate) struct PartWriter {
    files: Arc<dyn ObjectStore>,
    folder: Path,
    /// What names of this attempt end in: no other attempt writes the same file.
    attempt: String,
    schema: SchemaRef,
    manifest: Manifest,
    open: Option<Open>,
    limits: ActivationLimits,
}

/// The file that is being written.
struct Open {
    encoder: FileEncoder,
    gzip: Option<GzEncoder<Vec<u8>>>,
    upload: BufWriter,
    digest: Context,
    name: String,
    rows: u64,
    bytes: u64,
}

impl PartWriter {
    pub(crate) fn new(
        files: Arc<dyn ObjectStore>,
        folder: Path,
        attempt: String,
        schema: SchemaRef,
        manifest: Manifest,
        limits: ActivationLimits,
    ) -> Result<Self, ActivationError> {
        let mut writer = Self { files, folder, attempt, schema, manifest, open: None, limits };
        if writer.manifest.send == SendMode::All {
            // Also of a result without rows: a file that says so.
            writer.open = Some(writer.begin()?);
        }
        Ok(writer)
    }

    fn begin(&self) -> Result<Open, ActivationError> {
        let manifest = &self.manifest;
        let format = match manifest.format {
            FileFormat::Csv => Format::Csv,
            FileFormat::NdJson => Format::NdJson,
            FileFormat::Parquet => Format::Parquet,
        };
        let is_gzip = manifest.compression == Some(FileCompression::Gzip);
        let suffix = if is_gzip { ".gz" } else { "" };
        let name = format!("part-{:05}-{}.{}{suffix}", manifest.files.len(), self.attempt, manifest.format);
        Ok(Open {
            encoder: FileEncoder::new(format, &self.schema, &manifest.columns)?,
            gzip: is_gzip.then(|| GzEncoder::new(Vec::new(), Compression::default())),
            upload: upload(&self.files, self.folder.clone().join(name.as_str())),
            digest: Context::new(&SHA256),
            name,
            rows: 0,
            bytes: 0,
        })
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<(), ActivationError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        open.encoder.write(batch)?;
        open.rows += batch.num_rows() as u64;
        if let Some(piece) = open.encoder.take(PIECE_BYTES) {
            open.add(piece).await?;
        }
        if self.manifest.bytes + open.bytes > self.limits.bytes {
            return Err(ActivationError::TooLarge { limit: self.limits.bytes, unit: "bytes" });
        }
        if open.bytes >= self.limits.part_bytes {
            self.end(open).await
        } else {
            self.open = Some(open);
            Ok(())
        }
    }

    async fn end(&mut self, open: Open) -> Result<(), ActivationError> {
        let part = open.finish().await?;
        self.manifest.rows += part.rows;
        self.manifest.bytes += part.bytes;
        self.manifest.files.push(part);
        Ok(())
    }

    /// Ends the last file: all that the manifest names are there.
    pub(crate) async fn finish(mut self) -> Result<Manifest, ActivationError> {
        if let Some(open) = self.open.take() {
            self.end(open).await?;
        }
        Ok(self.manifest)
    }
}

impl Open {
    async fn add(&mut self, piece: Bytes) -> Result<(), ActivationError> {
        let piece = match &mut self.gzip {
            None => piece,
            Some(gzip) => {
                gzip.write_all(&piece).map_err(of_gzip)?;
                Bytes::from(std::mem::take(gzip.get_mut()))
            }
        };
        self.put(piece).await
    }

    async fn put(&mut self, piece: Bytes) -> Result<(), ActivationError> {
        self.digest.update(&piece);
        self.bytes += piece.len() as u64;
        put(&mut self.upload, piece).await
    }

    async fn finish(mut self) -> Result<Part, ActivationError> {
        if let Some(rest) = self.encoder.finish()? {
            self.add(rest).await?;
        }
        if let Some(gzip) = self.gzip.take() {
            let end = gzip.finish().map_err(of_gzip)?;
            self.put(Bytes::from(end)).await?;
        }
        let Self { upload, digest, name, rows, bytes, .. } = self;
        complete(upload).await?;
        let sha256 = hex(digest.finish().as_ref());
        Ok(Part { name, rows, bytes, sha256 })
    }
}

/// Bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Writing into memory doesn't fail.
fn of_gzip(source: std::io::Error) -> ActivationError {
    object_store::Error::Generic { store: "gzip", source: source.into() }.into()
}
