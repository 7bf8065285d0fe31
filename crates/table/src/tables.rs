//! The tables of one object store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deltalake_core::kernel::{StructField, StructType, new_metadata};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;
use uuid::Uuid;

use crate::commit::{Attempt, Attempts, Change};
use crate::index::{Budget, IndexSettings};
use crate::listing::SortedListing;
use crate::protocol::protocol_of;
use crate::provider::Reading;
use crate::{Table, TableError, TableKind, TableSpec};

/// Open tables kept. Above it those that nobody uses are closed; opening one again reads its log.
const MAX_OPEN_TABLES: usize = 1_000;

/// The tables of one object store, opened once and shared.
pub struct Tables {
    files: Arc<dyn ObjectStore>,
    root: Url,
    /// The URL that the engine underneath knows these files by. It is our own: the engine takes a URL's path for the path
    /// in the store, which doesn't hold for a store below a prefix, and its queries tell stores apart by host.
    engine_root: String,
    budget: Arc<Budget>,
    reading: Arc<Reading>,
    open: Mutex<HashMap<String, Arc<Table>>>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("root", &self.root.as_str()).finish_non_exhaustive()
    }
}

impl Tables {
    /// Tables in `files`, whose root lies at `root`. `files` must be able to create a file only where there is none
    /// ([`object_store::PutMode::Create`]): commits rest on it.
    #[must_use]
    pub fn new(files: Arc<dyn ObjectStore>, root: Url) -> Self {
        let files: Arc<dyn ObjectStore> = Arc::new(SortedListing(files));
        let engine_root = format!("freshet://{}", Uuid::new_v4().simple());
        let reading = Arc::new(Reading::new(files.clone(), &engine_root));
        let budget = Arc::new(Budget::new(IndexSettings::default()));
        Self { files, root, engine_root, budget, reading, open: Mutex::default() }
    }

    /// The same, with key indexes that are kept as set. To be called before a table is opened.
    #[must_use]
    pub fn with_index(self, settings: IndexSettings) -> Self {
        Self { budget: Arc::new(Budget::new(settings)), ..self }
    }

    /// Where the tables lie.
    #[must_use]
    pub fn root(&self) -> &Url {
        &self.root
    }

    /// The table at a path such as `tables/acme/orders`; none: there is no table.
    ///
    /// # Errors
    /// [`TableError::BadPath`], or its log can't be read.
    pub async fn open(&self, path: &str) -> Result<Option<Arc<Table>>, TableError> {
        if let Some(table) = self.open_tables().get(path) {
            return Ok(Some(table.clone()));
        }
        let log_store = self.log_store(path)?;
        let opened = Table::open(path, log_store, self.budget.clone(), self.reading.clone()).await?;
        let Some(table) = opened.map(Arc::new) else { return Ok(None) };
        let mut open = self.open_tables();
        if open.len() >= MAX_OPEN_TABLES {
            open.retain(|_, table| Arc::strong_count(table) > 1);
        }
        // Who opened it at the same time and was first keeps it: writes of one process take turns in one `Table`.
        Ok(Some(open.entry(path.to_owned()).or_insert(table).clone()))
    }

    /// The table at a path, made where there is none. Columns that the spec has and the table lacks are added, after those
    /// that are there; columns that only the table has stay, and are null in rows that come without them.
    ///
    /// # Errors
    /// [`TableError::SchemaMismatch`] where anything else differs, and what [`Tables::open`] fails with.
    pub async fn open_or_create(&self, path: &str, spec: &TableSpec) -> Result<Arc<Table>, TableError> {
        spec.check(path)?;
        let table = match self.open(path).await? {
            Some(table) => table,
            None => self.create(path, spec).await?,
        };
        table.fulfil(spec).await?;
        Ok(table)
    }

    /// Whether the files can be reached.
    ///
    /// # Errors
    /// They can't.
    pub async fn ping(&self) -> Result<(), TableError> {
        let nothing = Path::from("_ping");
        let listed = self.files.list(Some(&nothing)).try_next().await;
        listed.map(|_| ()).map_err(|error| TableError::from_files(format!("listing the files at {}", self.root), error))
    }

    async fn create(&self, path: &str, spec: &TableSpec) -> Result<Arc<Table>, TableError> {
        let files = self.log_store(path)?.object_store(None);
        let change = created(path, &spec.delta_fields(path)?, &spec.kind)?;
        let mut attempts = Attempts::default();
        let id = attempts.next();
        let attempt = attempts.make(&*files, path, 0, &change, &id).await?;
        match (self.open(path).await?, attempt) {
            // Whoever made it, and whatever the answer to our own try was.
            (Some(table), _) => Ok(table),
            (None, Attempt::Failed(error)) => Err(TableError::from_files(format!("creating table {path}"), error)),
            (None, _) => Err(TableError::Corrupt {
                context: format!("creating table {path}"),
                source: "it is not there after it was made".into(),
            }),
        }
    }

    pub(crate) fn log_store(&self, path: &str) -> Result<LogStoreRef, TableError> {
        let bad_path = || TableError::BadPath { path: path.to_owned() };
        let name = |part: &str| {
            let known = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
            !part.is_empty() && part.chars().all(known) && !part.chars().all(|letter| letter == '.')
        };
        if !path.split('/').all(name) {
            return Err(bad_path());
        }
        let prefix = Path::parse(path).map_err(|_| bad_path())?;
        let url = Url::parse(&format!("{}/{path}/", self.engine_root)).map_err(|_| bad_path())?;
        let of_table = Arc::new(PrefixStore::new(self.files.clone(), prefix));
        Ok(default_logstore(of_table, self.files.clone(), &url, &StorageConfig::default()))
    }

    fn open_tables(&self) -> MutexGuard<'_, HashMap<String, Arc<Table>>> {
        // A panic elsewhere leaves the map whole: it is changed by single inserts.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first version of a table.
pub(crate) fn created(path: &str, columns: &[StructField], kind: &TableKind) -> Result<Change, TableError> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| TableError::of_rows(format!("creating table {path}"), error);
    let columns = StructType::try_new(columns.to_vec()).map_err(|error| failed(error.into()))?;
    let properties = kind.properties();
    let metadata = new_metadata(&columns, Vec::<String>::new(), properties).map_err(|error| failed(error.into()))?;
    let protocol = protocol_of(&columns, kind).map_err(|error| failed(error.into()))?;
    let (protocol, metadata) = (Some(protocol), Some(metadata));
    Ok(Change { operation: "CREATE TABLE", protocol, metadata, ..Change::default() })
}
