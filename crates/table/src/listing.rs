//! Listings in the order of names.
//!
//! The Delta kernel takes the listing of a log as sorted unless the table's URL has the scheme `file`, as S3's is. A local
//! directory's is not, and our URLs don't say what is behind them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// A store whose listings are sorted by name.
#[derive(Debug, Clone)]
pub(crate) struct SortedListing(pub(crate) Arc<dyn ObjectStore>);

impl fmt::Display for SortedListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn sorted(listing: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let collected = async move {
        let mut objects: Vec<ObjectMeta> = listing.try_collect().await?;
        objects.sort_unstable_by(|left, right| left.location.cmp(&right.location));
        Ok::<_, object_store::Error>(stream::iter(objects.into_iter().map(Ok)))
    };
    stream::once(collected).try_flatten().boxed()
}

/// An answer that ends in an error where it was cut off: the engine underneath would take what came of a log's entry for all of it.
fn whole(answer: GetResult) -> GetResult {
    let GetResult { payload, meta, range, attributes } = answer;
    let stream = match payload {
        GetResultPayload::Stream(stream) => stream,
        file @ GetResultPayload::File(..) => return GetResult { payload: file, meta, range, attributes },
    };
    let mut missing = range.end - range.start;
    let counted = stream.map_ok(|bytes| (bytes, false)).chain(stream::once(async { Ok((Bytes::new(), true)) }));
    let checked = counted.map(move |part| {
        let (bytes, is_end) = part?;
        missing = missing.saturating_sub(bytes.len() as u64);
        if is_end && missing > 0 {
            let source = format!("an answer was cut off: {missing} bytes are missing").into();
            return Err(object_store::Error::Generic { store: "table", source });
        }
        Ok(bytes)
    });
    GetResult { payload: GetResultPayload::Stream(checked.boxed()), meta, range, attributes }
}

#[async_trait]
impl ObjectStore for SortedListing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let answer = self.0.get_opts(location, options).await?;
        if head {
            return Ok(answer);
        }
        Ok(whole(answer))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        sorted(self.0.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        sorted(self.0.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}
