//! Files in a local directory that are on disk when a write is acknowledged.
//!
//! [`object_store::local::LocalFileSystem`] leaves a written file in the page cache, so a power failure could lose, or tear, a
//! commit of a table whose records the queue's consumers have already passed. [`DurableDirectory`] is that file
//! system with every write synced, file before name, name before acknowledgement.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path as FilePath, PathBuf};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// The name of this store in the errors of `object_store`.
const STORE: &str = "DurableDirectory";

/// A local directory whose acknowledged writes survive a power failure.
#[derive(Debug)]
pub struct DurableDirectory(LocalFileSystem);

impl DurableDirectory {
    /// Opens a directory, making it, for its owner alone, where it is missing.
    ///
    /// # Errors
    /// The directory can't be made or opened.
    pub fn open(directory: &FilePath) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(generic)?;
        Ok(Self(LocalFileSystem::new_with_prefix(directory)?.with_automatic_cleanup(false)))
    }
}

impl fmt::Display for DurableDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durable{}", self.0)
    }
}

fn generic(source: io::Error) -> Error {
    Error::Generic { store: STORE, source: Box::new(source) }
}

/// Runs what blocks away from the threads that async tasks share.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|source| Error::JoinError { source })?
}

/// Makes a directory and what it lies in, each on disk in the one that it lies in.
fn make_directory(directory: &FilePath) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_directory(parent)?;
    }
    match std::fs::create_dir(directory) {
        // Another writer has made it at the same time.
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }?;
    sync_directory_of(directory)
}

fn sync_directory_of(path: &FilePath) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Writes a file beside its place, syncs it, and only then gives it its name: no reader and no crash sees a part of it.
fn put_synced(path: &FilePath, staged: &FilePath, payload: &PutPayload, only_if_absent: bool) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        make_directory(directory)?;
    }
    let named = File::create_new(staged)
        .and_then(|mut file| {
            payload.iter().try_for_each(|part| file.write_all(part))?;
            file.sync_all()
        })
        .and_then(|()| if only_if_absent { std::fs::hard_link(staged, path) } else { std::fs::rename(staged, path) });
    if only_if_absent || named.is_err() {
        // A staged file that stays behind is never listed: its name ends in `#` and digits.
        let _ = std::fs::remove_file(staged);
    }
    named?;
    sync_directory_of(path)
}

#[async_trait]
impl ObjectStore for DurableDirectory {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let only_if_absent = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "put_opts with PutMode::Update".to_owned(),
                    implementer: STORE.to_owned(),
                });
            }
        };
        let path = self.0.path_to_filesystem(location)?;
        let staged = PathBuf::from(format!("{}#{}", path.display(), rand::random::<u64>()));
        let shown = location.to_string();
        blocking(move || {
            put_synced(&path, &staged, &payload, only_if_absent).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists if only_if_absent => {
                    Error::AlreadyExists { path: shown, source: Box::new(source) }
                }
                _ => generic(source),
            })
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.0.path_to_filesystem(location)?;
        let directory = path.parent().map(FilePath::to_path_buf);
        blocking(move || directory.map_or(Ok(()), |directory| make_directory(&directory)).map_err(generic)).await?;
        let upload = self.0.put_multipart_opts(location, options).await?;
        Ok(Box::new(SyncedUpload { upload, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await?;
        self.sync(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await?;
        self.sync(to).await
    }
}

impl DurableDirectory {
    async fn sync(&self, location: &Path) -> Result<()> {
        let path = self.0.path_to_filesystem(location)?;
        blocking(move || sync(&path).map_err(generic)).await
    }
}

fn sync(path: &FilePath) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_directory_of(path)
}

/// A multipart upload that is synced when it is complete. Its name stands before its contents are on disk, which is harmless:
/// nothing refers to a file before its upload was acknowledged.
#[derive(Debug)]
struct SyncedUpload {
    upload: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        let path = self.path.clone();
        blocking(move || sync(&path).map_err(generic)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;
    use object_store::ObjectStoreExt as _;

    use super::*;

    #[tokio::test]
    async fn a_conditional_put_happens_once_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = DurableDirectory::open(directory.path()).unwrap();
        let path = Path::from("t/_delta_log/00000000000000000000.json");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let puts = (0..8).map(|writer| store.put_opts(&path, PutPayload::from(format!("writer {writer}")), create()));
        let results = futures::future::join_all(puts).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(results.iter().filter_map(|r| r.as_ref().err()).all(|e| matches!(e, Error::AlreadyExists { .. })));
        let written = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert!(written.starts_with(b"writer "));
        store.put(&path, PutPayload::from("again")).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "again");
        let names = std::fs::read_dir(directory.path().join("t/_delta_log")).unwrap().count();
        assert_eq!(names, 1);
    }

    #[tokio::test]
    async fn a_multipart_upload_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let store = DurableDirectory::open(directory.path()).unwrap();
        let path = Path::from("part.parquet");
        let mut upload = store.put_multipart(&path).await.unwrap();
        upload.put_part(PutPayload::from("one ")).await.unwrap();
        upload.put_part(PutPayload::from("two")).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one two");
        let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
    }
}
