//! Delta tables that others write, wherever they lie.
//!
//! They are read as our own are ([`crate::provider`]). Those whose features that would misread, such as column mapping, are read
//! by the engine underneath, which knows more of them and refuses the others by name.

use std::sync::Arc;
use std::time::Instant;

use datafusion::catalog::TableProvider;
use deltalake_core::DeltaTable;
use deltalake_core::logstore::{StorageConfig, default_logstore};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use tokio::sync::Mutex;
use url::Url;
use uuid::Uuid;

use crate::TableError;
use crate::listing::SortedListing;
use crate::log::AsOf;
use crate::provider::{Provider, Reading};
use crate::snapshot::{AGE_UNTIL_REOPENED, Snapshot};

/// The files of one store, with Delta tables in them that others write.
pub struct ForeignTables {
    files: Arc<dyn ObjectStore>,
    reading: Arc<Reading>,
}

impl std::fmt::Debug for ForeignTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForeignTables").field("files", &self.files.to_string()).finish_non_exhaustive()
    }
}

impl ForeignTables {
    /// Tables in `files`.
    #[must_use]
    pub fn new(files: Arc<dyn ObjectStore>) -> Self {
        let files: Arc<dyn ObjectStore> = Arc::new(SortedListing(files));
        let reading = Arc::new(Reading::new(files.clone(), &format!("freshet://{}", Uuid::new_v4().simple())));
        Self { files, reading }
    }

    /// The files themselves.
    #[must_use]
    pub fn files(&self) -> &Arc<dyn ObjectStore> {
        &self.files
    }

    /// The table at a path; none: there is none.
    ///
    /// # Errors
    /// Its log can't be read, or it uses features that this engine doesn't know.
    pub async fn open(&self, path: Path) -> Result<Option<ForeignTable>, TableError> {
        let files: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(self.files.clone(), path.clone()));
        let opened = open(&files, &path).await?;
        let of = |open| ForeignTable { files, path, reading: self.reading.clone(), open: Mutex::new(open) };
        Ok(opened.map(of))
    }
}

/// A Delta table that others write, open for reading.
pub struct ForeignTable {
    files: Arc<dyn ObjectStore>,
    path: Path,
    reading: Arc<Reading>,
    open: Mutex<Open>,
}

/// A version of a table.
#[derive(Clone)]
enum Open {
    /// That this engine reads.
    Here(Snapshot),
    /// That the engine underneath reads, and when it was opened.
    Underneath(Box<DeltaTable>, Instant),
}

impl std::fmt::Debug for ForeignTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForeignTable").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ForeignTable {
    /// The newest version, for a query, and its number. None: there is no table any more.
    ///
    /// # Errors
    /// As [`ForeignTables::open`].
    pub async fn provider(&self) -> Result<Option<(Arc<dyn TableProvider>, u64)>, TableError> {
        match self.newest().await? {
            None => Ok(None),
            Some(Open::Here(snapshot)) => {
                let version = snapshot.version();
                let (files, reading) = (self.files.clone(), self.reading.clone());
                let provider = Provider::new(self.path.as_ref(), snapshot, files, reading);
                Ok(Some((Arc::new(provider), version)))
            }
            Some(Open::Underneath(table, _)) => {
                let failed = |error| TableError::from_delta(format!("opening table {} for a query", self.path), error);
                let version = table.snapshot().map_err(failed)?.version();
                let provider = table.table_provider().await.map_err(|error| failed(error.into()))?;
                Ok(Some((provider, version)))
            }
        }
    }

    /// The number of the newest version. None: there is no table any more.
    ///
    /// # Errors
    /// As [`ForeignTables::open`].
    pub async fn version(&self) -> Result<Option<u64>, TableError> {
        Ok(match self.newest().await? {
            None => None,
            Some(Open::Here(snapshot)) => Some(snapshot.version()),
            Some(Open::Underneath(table, _)) => table.version(),
        })
    }

    async fn newest(&self) -> Result<Option<Open>, TableError> {
        let mut open = self.open.lock().await;
        let moved_on = match &mut *open {
            Open::Here(snapshot) => match snapshot.newest(&*self.files, self.path.as_ref()).await {
                Ok(newest) => {
                    *snapshot = newest;
                    true
                }
                Err(error) if error.is_temporary() => return Err(error),
                // It is another table by now, or one with other features.
                Err(_) => false,
            },
            Open::Underneath(table, opened_at) => {
                opened_at.elapsed() < AGE_UNTIL_REOPENED && table.update_incremental(None).await.is_ok()
            }
        };
        if !moved_on {
            let Some(anew) = self::open(&self.files, &self.path).await? else { return Ok(None) };
            *open = anew;
        }
        Ok(Some(open.clone()))
    }
}

async fn open(files: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<Open>, TableError> {
    match Snapshot::open(&**files, path.as_ref(), AsOf::Newest).await {
        Ok(snapshot) => Ok(snapshot.map(Open::Here)),
        Err(TableError::Unsupported { .. }) => open_underneath(files, path).await.map(Some),
        Err(error) => Err(error),
    }
}

async fn open_underneath(files: &Arc<dyn ObjectStore>, path: &Path) -> Result<Open, TableError> {
    let failed = |error| TableError::from_delta(format!("opening table {path}"), error);
    // A URL of our own, for the reasons that `Tables` has.
    let root = format!("freshet://{}/", Uuid::new_v4().simple());
    let url = Url::parse(&root).map_err(|_| TableError::BadPath { path: path.to_string() })?;
    let log_store = default_logstore(files.clone(), files.clone(), &url, &StorageConfig::default());
    let mut table = DeltaTable::new(log_store);
    table.load().await.map_err(failed)?;
    Ok(Open::Underneath(Box::new(table), Instant::now()))
}
