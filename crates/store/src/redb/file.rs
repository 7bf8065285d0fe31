//! The file of a [`RedbStore`](super::RedbStore): opened privately, and opened again after the disk failed it.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, TableError};

use super::{COUNTERS, ITEMS};
use crate::StoreError;

type Opener = Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>;

/// A database that is opened anew after an I/O error, since redb refuses all further work on one that had any.
pub(super) struct DatabaseFile {
    name: String,
    open: Opener,
    current: RwLock<Option<Arc<Database>>>,
}

impl DatabaseFile {
    /// Opens the file, making it and its folder where they aren't there.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let owned_path = path.to_path_buf();
        Self::of(name, Box::new(move || open_private_file(&owned_path)))
    }

    fn of(name: String, open: Opener) -> Result<Self, StoreError> {
        let database = open().map_err(|error| could_not_open(&name, error))?;
        Ok(Self { name, open, current: RwLock::new(Some(Arc::new(database))) })
    }

    /// Does some work on the database. Blocks.
    pub(super) fn with<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.with_opened(&self.database()?, what, work)
    }

    /// Does some work on the database that [`DatabaseFile::opened`] gave.
    pub(super) fn with_opened<T>(
        &self,
        database: &Arc<Database>,
        what: &str,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        work(database).map_err(|error| {
            if is_temporary(&error) {
                self.forget(database);
            }
            could_not_work(&format!("could not {what} {}", self.name), error)
        })
    }

    /// The database, where it is open and nothing has to be waited for.
    pub(super) fn opened(&self) -> Option<Arc<Database>> {
        self.current.try_read().ok()?.as_ref().map(Arc::clone)
    }

    fn database(&self) -> Result<Arc<Database>, StoreError> {
        if let Some(database) = self.current.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            return Ok(Arc::clone(database));
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = current.as_ref() {
            return Ok(Arc::clone(database));
        }
        let database = (self.open)().map_err(|error| match error {
            // The one that failed is still held by a read of ours that is about to end.
            redb::Error::DatabaseAlreadyOpen => {
                let context = format!("{} is being opened again after an error", self.name);
                StoreError::Unavailable { context, source: Box::new(error) }
            }
            _ => could_not_open(&self.name, error),
        })?;
        tracing::info!(file = self.name, "the store's file is open again");
        Ok(Arc::clone(current.insert(Arc::new(database))))
    }

    fn forget(&self, failed: &Arc<Database>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|database| Arc::ptr_eq(database, failed)) {
            tracing::warn!(file = self.name, "the store's file failed, it will be opened again");
            *current = None;
        }
    }
}

impl std::fmt::Debug for DatabaseFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DatabaseFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Only the owner may read what is stored: hashes of keys' secrets, and what the tables are.
fn open_private_file(path: &Path) -> Result<Database, redb::Error> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    open_database(FileBackend::new(file)?)
}

fn open_database(backend: impl redb::StorageBackend) -> Result<Database, redb::Error> {
    let database = Database::builder().create_with_backend(backend)?;
    // Written only where it must be: a store on a full disk can still be opened and read.
    let is_new = match database.begin_read()?.open_table(ITEMS) {
        Ok(_) => false,
        Err(TableError::TableDoesNotExist(_)) => true,
        Err(error) => return Err(error.into()),
    };
    if is_new {
        let transaction = database.begin_write()?;
        transaction.open_table(ITEMS)?;
        transaction.open_table(COUNTERS)?;
        transaction.commit()?;
    }
    Ok(database)
}

/// Whether the disk failed rather than the data on it.
fn is_temporary(error: &redb::Error) -> bool {
    use redb::Error::{Backend, DatabaseClosed, Io, LockPoisoned, PreviousIo, TransactionPoisoned};
    matches!(error, Io(_) | Backend(_) | PreviousIo | DatabaseClosed | TransactionPoisoned | LockPoisoned(_))
}

fn could_not_work(context: &str, error: redb::Error) -> StoreError {
    let context = context.to_owned();
    if is_temporary(&error) {
        return StoreError::Unavailable { context, source: Box::new(error) };
    }
    StoreError::Corrupt { context, source: Some(Box::new(error)) }
}

fn could_not_open(name: &str, error: redb::Error) -> StoreError {
    let refusal = match &error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            format!("{name} is open in another process; stop that one, or give this one a file of its own")
        }
        redb::Error::UpgradeRequired(version) => {
            format!("{name} has the older file format {version}; open it with the version that wrote it")
        }
        redb::Error::Io(cause) => match cause.kind() {
            io::ErrorKind::InvalidData => {
                let context = format!("{name} is not a file of a store");
                return StoreError::Corrupt { context, source: Some(Box::new(error)) };
            }
            io::ErrorKind::PermissionDenied => format!("{name} can't be opened; let this user read and write it"),
            io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                format!("{name} can't be a file there; give the path of a file in a folder")
            }
            _ => return could_not_work(&format!("could not open {name}"), error),
        },
        _ => return could_not_work(&format!("could not open {name}"), error),
    };
    StoreError::Refused { context: refusal, source: Some(Box::new(error)) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::StorageBackend;

    use super::super::RedbStore;
    use super::super::commit::Committer;
    use super::*;
    use crate::{Condition, Key, Store};

    /// A file on a disk that is full for a while.
    #[derive(Debug)]
    struct FullDisk {
        file: FileBackend,
        is_full: Arc<AtomicBool>,
    }

    impl FullDisk {
        fn check(&self) -> io::Result<()> {
            if self.is_full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl StorageBackend for FullDisk {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.check()?;
            self.file.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.check()?;
            self.file.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.check()?;
            self.file.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            self.file.close()
        }
    }

    fn store_on(path: &Path, is_full: &Arc<AtomicBool>) -> RedbStore {
        let (path, is_full) = (path.to_path_buf(), Arc::clone(is_full));
        let open = move || {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
            open_database(FullDisk { file: FileBackend::new(file)?, is_full: Arc::clone(&is_full) })
        };
        let file = DatabaseFile::of("test.redb".to_owned(), Box::new(open)).unwrap();
        RedbStore { file: Arc::new(file), committer: Committer::default() }
    }

    #[tokio::test]
    async fn works_again_when_a_full_disk_has_room_again() {
        let directory = tempfile::tempdir().unwrap();
        let is_full = Arc::new(AtomicBool::new(false));
        let store = store_on(&directory.path().join("test.redb"), &is_full);
        let key = Key::new("p", "a");
        let before = store.put(&key, "before".into(), Condition::Absent).await.unwrap();

        is_full.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let error = store.put(&key, "while full".into(), Condition::Any).await.unwrap_err();
            assert!(error.is_temporary(), "{error:?}");
        }
        is_full.store(false, Ordering::SeqCst);
        assert_eq!(store.get(&key).await.unwrap().unwrap().value, "before");
        store.put(&key, "after".into(), Condition::Is(before)).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().unwrap().value, "after");
    }

    #[tokio::test]
    async fn callers_of_one_group_are_all_told_of_a_failure() {
        let directory = tempfile::tempdir().unwrap();
        let is_full = Arc::new(AtomicBool::new(false));
        let store = store_on(&directory.path().join("test.redb"), &is_full);
        is_full.store(true, Ordering::SeqCst);
        let keys: Vec<_> = (0..20).map(|number| Key::new("p", number.to_string())).collect();
        let puts = keys.iter().map(|key| store.put(key, "x".into(), Condition::Any));
        for outcome in futures::future::join_all(puts).await {
            let error = outcome.unwrap_err();
            assert!(error.is_temporary(), "{error:?}");
        }
        is_full.store(false, Ordering::SeqCst);
        assert_eq!(store.batch_get(&keys).await.unwrap(), vec![None; keys.len()]);
    }
}
