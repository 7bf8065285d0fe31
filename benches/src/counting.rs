//! A store that counts what is asked of it, and is otherwise as S3: near ranges of an object are read by one request, and listings come in
//! the order of names, which the Delta kernel relies on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use serde::{Deserialize, Serialize};

/// Requests by kind, as an S3 would see them, and what was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Reads of objects, or of ranges of them.
    pub get: u64,
    /// Questions about objects.
    pub head: u64,
    /// Listings.
    pub list: u64,
    /// Writes of objects; of an object in parts, each part and what begins and ends it.
    pub put: u64,
    /// Bytes that the writes brought.
    pub bytes_written: u64,
}

#[derive(Debug, Default)]
struct Counters {
    get: AtomicU64,
    head: AtomicU64,
    list: AtomicU64,
    put: AtomicU64,
    bytes_written: AtomicU64,
}

impl Counters {
    fn put(&self, bytes: usize) {
        self.put.fetch_add(1, Ordering::Relaxed);
        self.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A store that counts the requests to the one behind it. Clones count together.
#[derive(Debug, Clone)]
pub struct Counting {
    files: Arc<dyn ObjectStore>,
    counters: Arc<Counters>,
}

impl Counting {
    /// Counts what is asked of `files`.
    #[must_use]
    pub fn new(files: Arc<dyn ObjectStore>) -> Self {
        Self { files, counters: Arc::default() }
    }

    /// What was asked since the last call.
    #[must_use]
    pub fn take(&self) -> Requests {
        let taken = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Requests {
            get: taken(&self.counters.get),
            head: taken(&self.counters.head),
            list: taken(&self.counters.list),
            put: taken(&self.counters.put),
            bytes_written: taken(&self.counters.bytes_written),
        }
    }

    fn count_list(&self) {
        self.counters.list.fetch_add(1, Ordering::Relaxed);
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

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.counters.put(payload.content_length());
        self.files.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.counters.put(0);
        let upload = self.files.put_multipart_opts(location, options).await?;
        Ok(Box::new(CountedUpload { upload, counters: Arc::clone(&self.counters) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let counter = if options.head { &self.counters.head } else { &self.counters.get };
        counter.fetch_add(1, Ordering::Relaxed);
        self.files.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_list();
        sorted(self.files.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_list();
        sorted(self.files.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.count_list();
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.counters.put(0);
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.counters.put(0);
        self.files.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct CountedUpload {
    upload: Box<dyn MultipartUpload>,
    counters: Arc<Counters>,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.counters.put(data.content_length());
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.counters.put(0);
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
