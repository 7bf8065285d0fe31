//! An answer that is whole before it is sent: in memory, or in a file where it is large.

use std::io;
use std::path::Path;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use freshet_query::{Encoded, QueryError, Summary};
use futures::{Stream, StreamExt, stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::task::spawn_blocking;

use crate::admission::Present;

/// Bytes of an answer in memory; what is larger goes to a file.
const IN_MEMORY: u64 = 8 << 20;
/// Bytes that are read of a file at once.
const READ_BYTES: usize = 256 << 10;

/// Why an answer could not be made.
#[derive(Debug)]
pub(crate) enum SpoolError {
    /// The query failed.
    Query(QueryError),
    /// Its file could not be written.
    File(io::Error),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Spooled {
    bytes: u64,
    kept: Kept,
    pub(crate) summary: Option<Summary>,
}

#[derive(Debug)]
enum Kept {
    Memory(Vec<Bytes>),
    /// It has no name: it goes when it is closed, however the process ends.
    File(File),
}

impl Spooled {
    /// Takes an answer to its end.
    pub(crate) async fn collect(mut answer: Encoded, directory: &Path) -> Result<Self, SpoolError> {
        let mut pieces = Vec::new();
        let mut file: Option<File> = None;
        let mut bytes = 0_u64;
        while let Some(piece) = answer.next().await {
            let piece = piece.map_err(SpoolError::Query)?;
            bytes += piece.len() as u64;
            pieces.push(piece);
            if bytes > IN_MEMORY {
                let open = match &mut file {
                    Some(open) => open,
                    None => file.insert(nameless(directory).await.map_err(SpoolError::File)?),
                };
                for piece in pieces.drain(..) {
                    open.write_all(&piece).await.map_err(SpoolError::File)?;
                }
            }
        }
        let summary = answer.summary();
        let kept = match file {
            Some(mut file) => {
                file.flush().await.map_err(SpoolError::File)?;
                file.rewind().await.map_err(SpoolError::File)?;
                Kept::File(file)
            }
            None => Kept::Memory(pieces),
        };
        Ok(Self { bytes, kept, summary })
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its bytes, where they are in memory.
    pub(crate) fn in_memory(&self) -> Option<&[Bytes]> {
        match &self.kept {
            Kept::Memory(pieces) => Some(pieces),
            Kept::File(_) => None,
        }
    }

    /// Its pieces in turn.
    pub(crate) fn pieces(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        match self.kept {
            Kept::Memory(pieces) => stream::iter(pieces).map(Ok).left_stream(),
            Kept::File(file) => stream::try_unfold(file, read).right_stream(),
        }
    }

    /// Its body, which holds its place until it was sent.
    pub(crate) fn into_body(self, place: Present) -> Body {
        Body::from_stream(self.pieces().map(move |piece| {
            let _held = &place;
            piece
        }))
    }
}

async fn nameless(directory: &Path) -> io::Result<File> {
    let directory = directory.to_owned();
    let file = spawn_blocking(move || tempfile::tempfile_in(directory)).await.map_err(io::Error::other)??;
    Ok(File::from_std(file))
}

async fn read(mut file: File) -> io::Result<Option<(Bytes, File)>> {
    let mut piece = BytesMut::with_capacity(READ_BYTES);
    match file.read_buf(&mut piece).await? {
        0 => Ok(None),
        _ => Ok(Some((piece.freeze(), file))),
    }
}
