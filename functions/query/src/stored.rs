//! Answers that are too large for a gateway: put to the files, and linked to for a while.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use freshet_model::TenantId;
use freshet_query::Format;
use futures::StreamExt;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Attribute, Attributes, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, WriteMultipart};
use url::Url;
use uuid::Uuid;

use crate::spool::Spooled;

/// How long a link to an answer is good for.
pub(crate) const LINK_LIFETIME: Duration = Duration::from_mins(15);
/// Bytes that are put at once of an answer that isn't in memory.
const PART_BYTES: usize = 8 << 20;
/// Parts that are on their way at once.
const PARTS_AT_ONCE: usize = 2;

/// The files that answers go to, and who makes links to them.
#[derive(Debug, Clone)]
pub struct StoredAnswers {
    files: Arc<dyn ObjectStore>,
    signer: Arc<dyn Signer>,
}

impl StoredAnswers {
    /// Over files whose links this signer makes.
    #[must_use]
    pub fn new(files: Arc<dyn ObjectStore>, signer: Arc<dyn Signer>) -> Self {
        Self { files, signer }
    }

    /// Puts an answer where nobody can guess it, and links to it.
    pub(crate) async fn put(&self, tenant: &TenantId, format: Format, answer: Spooled) -> object_store::Result<Url> {
        let path = Path::from(format!("results/{tenant}/{}", Uuid::new_v4()));
        let attributes = Attributes::from_iter([(Attribute::ContentType, format.content_type())]);
        match answer.in_memory() {
            Some(pieces) => {
                let payload: PutPayload = pieces.iter().cloned().collect();
                self.files.put_opts(&path, payload, PutOptions { attributes, ..PutOptions::default() }).await?;
            }
            None => self.put_in_parts(&path, attributes, answer).await?,
        }
        self.signer.signed_url(Method::GET, &path, LINK_LIFETIME).await
    }

    async fn put_in_parts(&self, path: &Path, attributes: Attributes, answer: Spooled) -> object_store::Result<()> {
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let upload = self.files.put_multipart_opts(path, options).await?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut pieces = Box::pin(answer.pieces());
        while let Some(piece) = pieces.next().await {
            let written = match piece {
                Ok(piece) => parts.wait_for_capacity(PARTS_AT_ONCE).await.map(|()| parts.put(piece)),
                Err(source) => Err(object_store::Error::Generic { store: "spool", source: Box::new(source) }),
            };
            if let Err(error) = written {
                // What was put of it is of no use; where it can't be dropped now, a rule of the bucket does.
                let _ = parts.abort().await;
                return Err(error);
            }
        }
        parts.finish().await?;
        Ok(())
    }
}
