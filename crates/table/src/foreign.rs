//! Delta tables that others write, wherever they lie.

use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// A table as old as this is read anew: the log entries that would lead on from it could have been cleaned up.
const AGE_UNTIL_REOPENED: Duration = Duration::from_mins(10);

/// A Delta table that others write, open for reading.
pub struct ForeignTable {
    files: Arc<dyn ObjectStore>,
    path: Path,
    open: Mutex<(DeltaTable, Instant)>,
}

impl std::fmt::Debug for ForeignTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForeignTable").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ForeignTable {
    /// The table at a path of some files; none: there is none.
    ///
    /// # Errors
    /// Its log can't be read, or it uses features that this engine doesn't know.
    pub async fn open(files: Arc<dyn ObjectStore>, path: Path) -> Result<Option<Self>, TableError> {
        let files: Arc<dyn ObjectStore> = Arc::new(SortedListing(files));
        match load(&files, &path).await? {
            Some(table) => Ok(Some(Self { files, path, open: Mutex::new((table, Instant::now())) })),
            None => Ok(None),
        }
    }

    /// The newest version, for a query, and its number. None: there is no table any more.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn provider(&self) -> Result<Option<(Arc<dyn TableProvider>, u64)>, TableError> {
        let Some(table) = self.newest().await? else { return Ok(None) };
        let failed = |error| TableError::from_delta(format!("opening table {} for a query", self.path), error);
        let version = table.snapshot().map_err(failed)?.version();
        let provider = table.table_provider().await.map_err(|error| failed(error.into()))?;
        Ok(Some((provider, version)))
    }

    /// The number of the newest version. None: there is no table any more.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn version(&self) -> Result<Option<u64>, TableError> {
        let newest = self.newest().await?;
        Ok(newest.and_then(|table| table.version()))
    }

    async fn newest(&self) -> Result<Option<DeltaTable>, TableError> {
        let mut open = self.open.lock().await;
        let (table, opened_at) = &mut *open;
        let is_moved_on = opened_at.elapsed() < AGE_UNTIL_REOPENED && table.update_incremental(None).await.is_ok();
        if !is_moved_on {
            let Some(anew) = load(&self.files, &self.path).await? else { return Ok(None) };
            *open = (anew, Instant::now());
        }
        Ok(Some(open.0.clone()))
    }
}

async fn load(files: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<DeltaTable>, TableError> {
    let failed = |error| TableError::from_delta(format!("opening table {path}"), error);
    // A URL of our own, for the reasons that `Tables` has.
    let root = format!("freshet://{}/", Uuid::new_v4().simple());
    let url = Url::parse(&root).map_err(|_| TableError::BadPath { path: path.to_string() })?;
    let of_table = Arc::new(PrefixStore::new(files.clone(), path.clone()));
    let log_store = default_logstore(of_table.clone(), of_table, &url, &StorageConfig::default());
    if !log_store.is_delta_table_location().await.map_err(failed)? {
        return Ok(None);
    }
    let mut table = DeltaTable::new(log_store);
    table.load().await.map_err(failed)?;
    Ok(Some(table))
}
