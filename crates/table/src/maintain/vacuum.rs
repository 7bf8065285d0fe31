//! Removing files that no version within the retention names: data files and deletion vectors alike.
//!
//! What must stay is what a reader or writer may still be on: any version that was the newest at some time within the
//! retention. To find that out from the log would take reading all of it. Instead each run writes down which
//! files it found unnamed and when it first did; a file that was unnamed all the time from then on, for the whole retention,
//! is named by no version within it. The list is lost without harm: its files wait anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tracing::warn;

use crate::TableError;
use crate::deletion;
use crate::file::now_in_milliseconds;
use crate::snapshot::Snapshot;
use crate::upsert::Place;

/// Where the list of unnamed files is, in a table. Delta's readers pass folders by that begin with an underscore.
const UNNAMED: &str = "_freshet/unnamed.json";

/// What a vacuum did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Files that it removed.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that no version names any more and that wait for the retention to pass.
    pub waiting: usize,
}

/// Removes the files of a table that no version has named for as long as `retention`. `snapshot` is the newest version.
pub(crate) async fn vacuum(
    place: &Place<'_>,
    snapshot: &Snapshot,
    retention: Duration,
) -> Result<Vacuumed, TableError> {
    let failed = |error| TableError::from_files(format!("listing the files of table {}", place.path), error);
    let files = &**place.files;
    let before = read_unnamed(files, place.path).await?;
    // After the snapshot: what is listed and not named by it was named by nobody then, or is newer.
    let listed: Vec<_> = files.list(None).try_collect().await.map_err(failed)?;
    let named = named_by(snapshot)?;
    let now = now_in_milliseconds();
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let mut unnamed: BTreeMap<String, i64> = BTreeMap::new();
    let mut gone = Vec::new();
    let mut vacuumed = Vacuumed::default();
    for object in listed {
        let name = object.location.to_string();
        if is_hidden(&object.location) || named.contains(&object.location) {
            continue;
        }
        let since = before.get(&name).copied().unwrap_or(now);
        if now.saturating_sub(since) >= retention && before.contains_key(&name) {
            vacuumed.files += 1;
            vacuumed.bytes += object.size;
            gone.push(object.location);
        } else {
            unnamed.insert(name, since);
        }
    }
    vacuumed.waiting = unnamed.len();
    remove(files, gone).await;
    if unnamed != before {
        write_unnamed(files, place.path, &unnamed).await?;
    }
    Ok(vacuumed)
}

/// Removes files; those that can't be are left.
pub(crate) async fn remove(files: &dyn ObjectStore, names: Vec<Path>) {
    let mut removed = files.delete_stream(stream::iter(names.into_iter().map(Ok)).boxed());
    while let Some(outcome) = removed.next().await {
        match outcome {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => warn!(error = &error as &dyn std::error::Error, "a file that nobody needs was not removed"),
        }
    }
}

/// The files that a version needs.
fn named_by(snapshot: &Snapshot) -> Result<BTreeSet<Path>, TableError> {
    let mut named = BTreeSet::new();
    for file in snapshot.files() {
        named.insert(file.location());
        if let Some(vector) = file.vector() {
            named.extend(deletion::path(vector)?);
        }
    }
    Ok(named)
}

/// Whether a file lies in a folder of its own purpose: the log, or others that begin with an underscore or a dot. A partition's folder
/// may begin so too, and has a '=' in it.
fn is_hidden(location: &Path) -> bool {
    location.parts().any(|part| {
        let part = part.as_ref();
        (part.starts_with('_') || part.starts_with('.')) && !part.contains('=')
    })
}

async fn read_unnamed(files: &dyn ObjectStore, table: &str) -> Result<BTreeMap<String, i64>, TableError> {
    match async { files.get(&Path::from(UNNAMED)).await?.bytes().await }.await {
        // What isn't a list is begun anew.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(object_store::Error::NotFound { .. }) => Ok(BTreeMap::new()),
        Err(error) => Err(TableError::from_files(format!("reading {UNNAMED} of table {table}"), error)),
    }
}

async fn write_unnamed(
    files: &dyn ObjectStore,
    table: &str,
    unnamed: &BTreeMap<String, i64>,
) -> Result<(), TableError> {
    let context = || format!("writing {UNNAMED} of table {table}");
    let bytes = serde_json::to_vec(unnamed).map_err(|error| TableError::of_rows(context(), error))?;
    let put = files.put(&Path::from(UNNAMED), bytes.into()).await;
    put.map(drop).map_err(|error| TableError::from_files(context(), error))
}
