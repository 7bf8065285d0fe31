//! The keys and hashes of the rows of a delivery, in the order of the keys, as a file: for each its length in four bytes, the key, and
//! half of the SHA-256 of the row.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::io::AsyncWriteExt as _;

use crate::ActivationError;

/// Half of a SHA-256: no two different rows that meet have the same.
pub(crate) type Hash = [u8; 16];
/// Most bytes of a key.
pub(crate) const MAX_KEY_BYTES: usize = 4_096;
/// Bytes that are gathered until they are written.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes of a part of a file on its way, and how many of them there are at once.
const PART: (usize, usize) = (8 << 20, 2);

/// Starts a file that is there once it is whole.
pub(crate) fn upload(files: &Arc<dyn ObjectStore>, path: Path) -> BufWriter {
    BufWriter::with_capacity(Arc::clone(files), path, PART.0).with_max_concurrency(PART.1)
}

/// Writes a piece of a file.
pub(crate) async fn put(upload: &mut BufWriter, piece: Bytes) -> Result<(), ActivationError> {
    Ok(upload.put(piece).await?)
}

/// Ends a file: it is there, whole.
pub(crate) async fn complete(mut upload: BufWriter) -> Result<(), ActivationError> {
    upload.shutdown().await.map_err(|source| match source.downcast::<object_store::Error>() {
        Ok(error) => error.into(),
        Err(source) => object_store::Error::Generic { store: "files", source: source.into() }.into(),
    })
}

/// Writes keys and hashes.
pub(crate) struct HashWriter {
    upload: BufWriter,
    piece: BytesMut,
}

impl HashWriter {
    pub(crate) fn new(files: &Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { upload: upload(files, path), piece: BytesMut::new() }
    }

    pub(crate) async fn write(&mut self, key: &str, hash: &Hash) -> Result<(), ActivationError> {
        let length = u32::try_from(key.len()).map_err(|_| ActivationError::KeyTooLong { limit: MAX_KEY_BYTES })?;
        self.piece.extend_from_slice(&length.to_be_bytes());
        self.piece.extend_from_slice(key.as_bytes());
        self.piece.extend_from_slice(hash);
        if self.piece.len() >= PIECE_BYTES {
            put(&mut self.upload, self.piece.split().freeze()).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<(), ActivationError> {
        put(&mut self.upload, self.piece.split().freeze()).await?;
        complete(self.upload).await
    }
}

/// Reads keys and hashes, one ahead.
pub(crate) struct HashReader {
    pieces: BoxStream<'static, object_store::Result<Bytes>>,
    buffer: BytesMut,
    next: Option<(String, Hash)>,
}

impl HashReader {
    /// Of a file; none: of nothing.
    pub(crate) async fn open(files: &dyn ObjectStore, path: Option<Path>) -> Result<Self, ActivationError> {
        let pieces = match path {
            Some(path) => files.get(&path).await?.into_stream(),
            None => futures::stream::empty().boxed(),
        };
        let mut reader = Self { pieces, buffer: BytesMut::new(), next: None };
        reader.advance().await?;
        Ok(reader)
    }

    /// The next key and its hash; none: the end.
    pub(crate) fn next(&self) -> Option<&(String, Hash)> {
        self.next.as_ref()
    }

    /// Goes on, and answers what was next.
    pub(crate) async fn advance(&mut self) -> Result<Option<(String, Hash)>, ActivationError> {
        let next = if self.fill(4).await? {
            let length = self.buffer.get_u32() as usize;
            if length > MAX_KEY_BYTES || !self.fill(length + size_of::<Hash>()).await? {
                return Err(ActivationError::Corrupt);
            }
            let key = self.buffer.split_to(length);
            let key = std::str::from_utf8(&key).map_err(|_| ActivationError::Corrupt)?.to_owned();
            let mut hash = Hash::default();
            self.buffer.copy_to_slice(&mut hash);
            Some((key, hash))
        } else if self.buffer.is_empty() {
            None
        } else {
            return Err(ActivationError::Corrupt);
        };
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// Whether there are so many bytes more.
    async fn fill(&mut self, bytes: usize) -> Result<bool, ActivationError> {
        while self.buffer.len() < bytes {
            match self.pieces.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece?),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}
