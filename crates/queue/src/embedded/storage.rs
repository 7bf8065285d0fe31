//! The file: its tables, opening it, and opening it again after an I/O error.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redb::backends::FileBackend;
use redb::{Database, ReadableTable, TableDefinition};

use crate::QueueError;

/// What the file is: `version`, `topic`, `partitions`.
const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
/// (partition, offset) → a record as `value` encodes it.
pub(super) const RECORDS: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("records");
/// (partition, `received_at` in microseconds) → offset, for the records that are newer than every record before them
/// in their partition. So offsets grow with times, and the first entry at or after a time is the first record so late.
pub(super) const TIMES: TableDefinition<(u32, i64), u64> = TableDefinition::new("times");
/// partition → (low watermark, high watermark).
pub(super) const BOUNDS: TableDefinition<u32, (u64, u64)> = TableDefinition::new("bounds");
/// (group, partition) → next offset to consume.
pub(super) const COMMITTED: TableDefinition<(&str, u32), u64> = TableDefinition::new("committed");

const VERSION: &str = "1";
/// Memory for pages, of reads and of the transaction being written. redb's own default of 1 GiB is for databases that
/// are searched; a log is read where it was just written.
const CACHE_BYTES: usize = 64 << 20;
/// How long a failed file is left alone before it is opened again: an open after a crash may read the whole file.
const REOPEN_AFTER: Duration = Duration::from_millis(500);

/// The open file, or one that waits to be opened again.
#[derive(Debug)]
pub(super) struct Storage {
    path: PathBuf,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
struct Slot {
    database: Option<Arc<Database>>,
    /// Grows with each opening, so that what was remembered of the file is known to be stale.
    generation: u64,
    tried_at: Option<Instant>,
}

/// The database at hand and the how-manieth opening it is.
pub(super) struct Opened {
    pub(super) database: Arc<Database>,
    pub(super) generation: u64,
}

impl Storage {
    /// Opens or makes the file and checks that it is the queue that is meant.
    pub(super) fn open(path: PathBuf, topic: &str, partitions: u32) -> Result<Self, QueueError> {
        let context = || format!("opening {}", path.display());
        let database = create_database(&path).map_err(|error| match error {
            redb::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                QueueError::Refused { context: context(), source: Some(error.into()) }
            }
            error => queue_error(&context(), Arc::new(error)),
        })?;
        let found = identify(&database, topic, partitions).map_err(|error| queue_error(&context(), Arc::new(error)))?;
        check_identity(&path, &found, topic, partitions)?;
        let slot = Slot { database: Some(Arc::new(database)), generation: 0, tried_at: None };
        Ok(Self { path, slot: Mutex::new(slot) })
    }

    /// Runs `work` on the database and tells what its errors mean. After an I/O error redb refuses everything until it
    /// is opened again, so the database is let go, and a later call opens it.
    pub(super) fn run<T>(
        &self,
        context: &str,
        work: impl FnOnce(&Opened) -> Result<T, redb::Error>,
    ) -> Result<T, StorageFailure> {
        let opened = self.opened().map_err(|error| StorageFailure::new(context, error))?;
        work(&opened).map_err(|error| {
            if !matches!(error, redb::Error::Corrupted(_)) {
                self.let_go(opened.generation, &error);
            }
            StorageFailure::new(context, error)
        })
    }

    fn opened(&self) -> Result<Opened, redb::Error> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &slot.database {
            return Ok(Opened { database: Arc::clone(database), generation: slot.generation });
        }
        if slot.tried_at.is_some_and(|at| at.elapsed() < REOPEN_AFTER) {
            return Err(redb::Error::PreviousIo);
        }
        slot.tried_at = Some(Instant::now());
        let database = Arc::new(reopen_database(&self.path)?);
        slot.generation += 1;
        slot.database = Some(Arc::clone(&database));
        tracing::info!(path = %self.path.display(), "opened the queue's file again");
        Ok(Opened { database, generation: slot.generation })
    }

    fn let_go(&self, generation: u64, error: &redb::Error) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.generation == generation && slot.database.take().is_some() {
            slot.tried_at = Some(Instant::now());
            tracing::error!(path = %self.path.display(), error = %error, "the queue's file failed and will be opened again");
        }
    }
}

/// An error of the file that can be told to several callers.
#[derive(Debug, Clone)]
pub(super) struct StorageFailure {
    context: String,
    source: Arc<redb::Error>,
}

impl StorageFailure {
    fn new(context: &str, source: redb::Error) -> Self {
        Self { context: context.to_owned(), source: Arc::new(source) }
    }
}

impl From<StorageFailure> for QueueError {
    fn from(failure: StorageFailure) -> Self {
        queue_error(&failure.context, failure.source)
    }
}

fn queue_error(context: &str, source: Arc<redb::Error>) -> QueueError {
    let context = context.to_owned();
    let corrupt = match source.as_ref() {
        redb::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        redb::Error::PreviousIo
        | redb::Error::DatabaseAlreadyOpen
        | redb::Error::DatabaseClosed
        | redb::Error::Backend(_)
        | redb::Error::LockPoisoned(_) => false,
        _ => true,
    };
    if corrupt {
        QueueError::Corrupt { context, source: Some(Box::new(source)) }
    } else {
        QueueError::Unavailable { context, source: Box::new(source) }
    }
}

/// Opens the file, or makes it, readable by its owner alone.
fn create_database(path: &Path) -> Result<Database, redb::Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let is_new = file.metadata()?.len() == 0;
    let database = build(file)?;
    if is_new && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        // Without this the file itself may be gone after a power failure, with all that was synced into it.
        File::open(folder)?.sync_all()?;
    }
    Ok(database)
}

/// Opens a file that must be there: an empty one in its place would begin at offset 0 again.
fn reopen_database(path: &Path) -> Result<Database, redb::Error> {
    build(OpenOptions::new().read(true).write(true).open(path)?)
}

fn build(file: File) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(FileBackend::new(file)?)?)
}

#[derive(Debug)]
struct Identity {
    version: String,
    topic: String,
    partitions: String,
}

/// Reads what the file is; a new one becomes what is asked for.
fn identify(database: &Database, topic: &str, partitions: u32) -> Result<Identity, redb::Error> {
    let transaction = database.begin_write()?;
    let identity = {
        let mut meta = transaction.open_table(META)?;
        let is_new = meta.get("version")?.is_none();
        if is_new {
            meta.insert("topic", topic)?;
            meta.insert("partitions", partitions.to_string().as_str())?;
            meta.insert("version", VERSION)?;
            transaction.open_table(RECORDS)?;
            transaction.open_table(TIMES)?;
            transaction.open_table(BOUNDS)?;
            transaction.open_table(COMMITTED)?;
        }
        let read = |name: &str| -> Result<String, redb::Error> {
            Ok(meta.get(name)?.map(|text| text.value().to_owned()).unwrap_or_default())
        };
        Identity { version: read("version")?, topic: read("topic")?, partitions: read("partitions")? }
    };
    transaction.commit()?;
    Ok(identity)
}

fn check_identity(path: &Path, found: &Identity, topic: &str, partitions: u32) -> Result<(), QueueError> {
    let path = path.display();
    let context = if found.version != VERSION {
        format!("{path} has layout {}, and this program knows layout {VERSION}", found.version)
    } else if found.topic != topic {
        format!("{path} holds topic {}, not {topic}: open it as {}, or name another file", found.topic, found.topic)
    } else if found.partitions != partitions.to_string() {
        let stored = &found.partitions;
        format!(
            "{path} has {stored} partitions, not {partitions}; their number decides where records lie and can't change: \
             open it with {stored}, or name another file"
        )
    } else {
        return Ok(());
    };
    Err(QueueError::Refused { context, source: None })
}
