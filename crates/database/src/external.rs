//! External tables: where they may lie, and what opens them.

use std::collections::HashMap;
use std::path::Path as LocalPath;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::catalog::TableProvider;
use freshet_model::{ExternalFormat, ExternalTable, Location, Place, TenantId};
use freshet_table::{ForeignTable, ForeignTables};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::DatabaseError;
use crate::files::{FileSet, Schemas};

/// Most files of an external table of Parquet or CSV.
pub const MAX_FILES: usize = 10_000;
/// Delta tables kept open. Above it all are closed; opening one again reads its log.
const MAX_OPEN: usize = 200;

/// The files that external tables may be in.
#[derive(Debug)]
pub struct ExternalFiles {
    own: ForeignTables,
    allowed: Vec<(Location, ForeignTables)>,
    delta: Mutex<HashMap<(TenantId, Location), Arc<ForeignTable>>>,
    schemas: Schemas,
}

/// Where an external table lies, once it is known that it may.
struct Found<'a> {
    store: &'a ForeignTables,
    path: Path,
}

impl ExternalFiles {
    /// `own` are the deployment's files, in which each tenant has a folder. `allowed` are prefixes that any tenant's tables may lie
    /// below, each with its bucket's or machine's files from their root on.
    #[must_use]
    pub fn new(own: Arc<dyn ObjectStore>, allowed: impl IntoIterator<Item = (Location, Arc<dyn ObjectStore>)>) -> Self {
        let allowed = allowed.into_iter().map(|(prefix, files)| (prefix, ForeignTables::new(files))).collect();
        Self { own: ForeignTables::new(own), allowed, delta: Mutex::default(), schemas: Schemas::default() }
    }

    /// A table at its newest version, and what tells versions apart.
    pub(crate) async fn open(
        &self,
        tenant: &TenantId,
        table: &ExternalTable,
    ) -> Result<(Arc<dyn TableProvider>, String), DatabaseError> {
        if table.format == ExternalFormat::Delta {
            let name = table.name.as_str();
            let provider = self.delta(tenant, table).await?.provider().await;
            let (provider, version) =
                provider.map_err(|error| DatabaseError::of_delta(name, error))?.ok_or_else(|| missing(table))?;
            return Ok((provider, version.to_string()));
        }
        let files = self.list(tenant, table).await?;
        let version = files.version();
        Ok((files.provider(&self.schemas).await?, version))
    }

    /// What tells the newest version from others.
    pub(crate) async fn version(&self, tenant: &TenantId, table: &ExternalTable) -> Result<String, DatabaseError> {
        if table.format == ExternalFormat::Delta {
            let version = self.delta(tenant, table).await?.version().await;
            let version = version.map_err(|error| DatabaseError::of_delta(table.name.as_str(), error))?;
            return version.map(|version| version.to_string()).ok_or_else(|| missing(table));
        }
        Ok(self.list(tenant, table).await?.version())
    }

    async fn delta(&self, tenant: &TenantId, table: &ExternalTable) -> Result<Arc<ForeignTable>, DatabaseError> {
        let key = (tenant.clone(), table.location.clone());
        let known = self.delta.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(open) = known {
            return Ok(open);
        }
        let Found { store, path } = self.find(tenant, table).await?;
        let opened = store.open(path).await;
        let opened = opened.map_err(|error| DatabaseError::of_delta(table.name.as_str(), error))?;
        let opened = Arc::new(opened.ok_or_else(|| missing(table))?);
        let mut open = self.delta.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        Ok(open.entry(key).or_insert(opened).clone())
    }

    async fn list(&self, tenant: &TenantId, table: &ExternalTable) -> Result<FileSet, DatabaseError> {
        let Found { store, path } = self.find(tenant, table).await?;
        FileSet::list(table, store.files().clone(), path).await?.ok_or_else(|| missing(table))
    }

    /// Where a table lies, if it may lie there.
    async fn find(&self, tenant: &TenantId, table: &ExternalTable) -> Result<Found<'_>, DatabaseError> {
        let not_allowed = || DatabaseError::NotAllowed { table: table.name.to_string() };
        let place = table.location.place();
        let (store, path) = match place {
            Place::Own { path } => (&self.own, format!("external/{tenant}/{path}")),
            Place::S3 { path, .. } | Place::File { path } => {
                let mut found = None;
                for (prefix, store) in &self.allowed {
                    if lies_below(place, prefix.place()).await {
                        found = Some(store);
                        break;
                    }
                }
                (found.ok_or_else(not_allowed)?, path.clone())
            }
        };
        // A location holds nothing that an object's path can't.
        let path = Path::parse(&path).map_err(|_| not_allowed())?;
        Ok(Found { store, path })
    }
}

fn missing(table: &ExternalTable) -> DatabaseError {
    DatabaseError::Missing { table: table.name.to_string(), format: table.format.as_str() }
}

/// Whether a place is another one, or lies below it, whatever symbolic links are on the way.
pub async fn lies_below(place: &Place, prefix: &Place) -> bool {
    is_below(place, prefix) && stays_below(place, prefix).await
}

/// Whether a place is another one, or lies below it.
fn is_below(place: &Place, prefix: &Place) -> bool {
    let (path, prefix) = match (place, prefix) {
        (Place::S3 { bucket, path }, Place::S3 { bucket: other, path: prefix }) if bucket == other => (path, prefix),
        (Place::File { path }, Place::File { path: prefix }) => (path, prefix),
        _ => return false,
    };
    path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether no symbolic link on the way leads out of an allowed directory.
async fn stays_below(place: &Place, prefix: &Place) -> bool {
    let (Place::File { path }, Place::File { path: prefix }) = (place, prefix) else { return true };
    let root = LocalPath::new("/");
    let (path, prefix) = (root.join(path), root.join(prefix));
    // What is not there leads nowhere.
    let Ok(prefix) = tokio::fs::canonicalize(prefix).await else { return true };
    // Of a path that is not there yet, the nearest folder that is says where it will be.
    for nearest in path.ancestors() {
        if let Ok(nearest) = tokio::fs::canonicalize(nearest).await {
            return nearest.starts_with(&prefix);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("s3://batch/daily/customers", "s3://batch/daily", true)]
    #[case("s3://batch/daily", "s3://batch/daily", true)]
    #[case("s3://batch/daily-secret/x", "s3://batch/daily", false)]
    #[case("s3://other/daily/customers", "s3://batch/daily", false)]
    #[case("s3://batch/day", "s3://batch/daily", false)]
    #[case("file:///srv/batch/x", "file:///srv/batch", true)]
    #[case("file:///srv/batch2/x", "file:///srv/batch", false)]
    #[case("file:///batch/daily/x", "s3://batch/daily", false)]
    fn a_place_lies_below_a_prefix(#[case] place: &str, #[case] prefix: &str, #[case] is: bool) {
        let (place, prefix): (Location, Location) = (place.parse().unwrap(), prefix.parse().unwrap());
        assert_eq!(is_below(place.place(), prefix.place()), is);
    }
}
