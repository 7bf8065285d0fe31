//! A process that dies at a write: what it would do after that is not done.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use freshet_store::{BatchWrite, Condition, Item, Key, Page, Query, Store, StoreError, Version, Write};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// Counts the writes of a process, to its store and its files alike.
#[derive(Debug)]
pub(crate) struct Life {
    writes: AtomicUsize,
    /// The number of the write that it dies at.
    dies_at: usize,
    /// Whether that write is still done.
    after: bool,
}

/// What becomes of a write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    DoneAndDead,
    Dead,
}

impl Life {
    pub(crate) fn until(dies_at: usize, after: bool) -> Arc<Self> {
        Arc::new(Self { writes: AtomicUsize::new(0), dies_at, after })
    }

    pub(crate) fn has_died(&self) -> bool {
        self.writes.load(Ordering::SeqCst) > self.dies_at
    }

    fn write(&self) -> Fate {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        match number.cmp(&self.dies_at) {
            std::cmp::Ordering::Less => Fate::Done,
            std::cmp::Ordering::Equal if self.after => Fate::DoneAndDead,
            _ => Fate::Dead,
        }
    }
}

#[derive(Debug)]
pub(crate) struct MortalStore(pub(crate) Arc<dyn Store>, pub(crate) Arc<Life>);

/// Not temporary: a dead process tries nothing again.
fn dead() -> StoreError {
    StoreError::Refused { context: "the process is dead".to_owned(), source: None }
}

impl MortalStore {
    async fn write<T>(&self, written: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match self.1.write() {
            Fate::Done => written.await,
            Fate::DoneAndDead => {
                written.await?;
                Err(dead())
            }
            Fate::Dead => Err(dead()),
        }
    }
}

#[async_trait]
impl Store for MortalStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.0.get(key).await
    }
    async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        self.write(self.0.put(key, value, condition)).await
    }
    async fn delete(&self, key: &Key, condition: Condition) -> Result<(), StoreError> {
        self.write(self.0.delete(key, condition)).await
    }
    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        self.0.query(query).await
    }
    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.0.batch_get(keys).await
    }
    async fn batch_write(&self, groups: Vec<Vec<BatchWrite>>) -> Result<(), StoreError> {
        // Each group is a write of its own, and so is each half of one.
        for group in groups {
            let (first, second) = group.split_at(group.len() / 2);
            for half in [first, second] {
                self.write(self.0.batch_write(vec![half.to_vec()])).await?;
            }
        }
        Ok(())
    }
    async fn transact(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.write(self.0.transact(writes)).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

#[derive(Debug)]
pub(crate) struct MortalFiles(pub(crate) Arc<dyn ObjectStore>, pub(crate) Arc<Life>);

impl fmt::Display for MortalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A refusal: no error that anyone tries again after.
fn gone() -> object_store::Error {
    object_store::Error::NotSupported { source: "the process is dead".into() }
}

#[async_trait]
impl ObjectStore for MortalFiles {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.1.write() {
            Fate::Done => self.0.put_opts(location, payload, options).await,
            Fate::DoneAndDead => {
                self.0.put_opts(location, payload, options).await?;
                Err(gone())
            }
            Fate::Dead => Err(gone()),
        }
    }
    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match self.1.write() {
            Fate::Done => self.0.put_multipart_opts(location, options).await,
            Fate::DoneAndDead | Fate::Dead => Err(gone()),
        }
    }
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.1.has_died() {
            return Err(gone());
        }
        self.0.get_opts(location, options).await
    }
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.1.write() {
            Fate::Done => self.0.delete_stream(locations),
            Fate::DoneAndDead | Fate::Dead => stream::once(async { Err(gone()) }).boxed(),
        }
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
