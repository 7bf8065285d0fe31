//! Where the index of a table is on disk.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use uuid::Uuid;

use super::Known;
use super::run::Run;
use crate::key::KeyHasher;

const MANIFEST: &str = "manifest.json";
const LOCK: &str = "lock";
/// The version of all formats here. What has another is thrown away.
const FORMAT: u32 = 2;

/// The directory of one table's index, which this process alone uses.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    table_id: String,
    hasher: KeyHasher,
    /// Locked for as long as it is open.
    _lock: File,
}

/// A directory with what was in it.
pub(crate) struct Opened {
    pub(super) directory: Directory,
    pub(super) hasher: KeyHasher,
    pub(super) files: Vec<Known>,
    pub(super) runs: Vec<Arc<Run>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    table_id: String,
    hasher: KeyHasher,
    files: Vec<SavedFile>,
    runs: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedFile {
    name: String,
    /// Whether all of its rows are in the runs.
    is_whole: bool,
    dead: u64,
}

impl Directory {
    /// Opens the directory of a table; none: another process has it.
    pub(super) fn open(
        root: &Path,
        table: &str,
        table_id: &str,
        fresh: KeyHasher,
    ) -> Result<Option<Opened>, std::io::Error> {
        // Names of tables have no '+'.
        let path = root.join(table.replace('/', "+"));
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                debug!(table, "another process keeps the key index on disk");
                return Ok(None);
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let read = read_manifest(&path)
            .filter(|manifest| manifest.format == FORMAT && manifest.table_id == table_id)
            .filter(|manifest| manifest.hasher.bits() == fresh.bits())
            .and_then(|manifest| {
                let runs = manifest.runs.iter().map(|name| Run::open(path.join(name)).map(Arc::new));
                Some((runs.collect::<Result<Vec<_>, _>>().ok()?, manifest))
            });
        let (hasher, files, runs) = match read {
            None => (fresh, Vec::new(), Vec::new()),
            Some((runs, manifest)) => {
                let known =
                    |SavedFile { name, is_whole, dead }| Known { name, is_whole, is_saved: is_whole, dead, seen_at: 0 };
                (manifest.hasher, manifest.files.into_iter().map(known).collect(), runs)
            }
        };
        let directory = Self { path, table_id: table_id.to_owned(), hasher, _lock: lock };
        directory.remove_all_but(&runs);
        Ok(Some(Opened { directory, hasher, files, runs }))
    }

    /// A name for the next run.
    pub(super) fn next_run(&self) -> PathBuf {
        self.path.join(format!("{}.run", Uuid::now_v7()))
    }

    /// Says which runs there are, and which files they cover. What was there before is replaced at once, or stays.
    pub(super) fn save(&self, files: &[Known], runs: &[Arc<Run>]) -> Result<(), std::io::Error> {
        let file_name = |run: &Arc<Run>| run.path().file_name().map(|name| name.to_string_lossy().into_owned());
        let manifest = Manifest {
            format: FORMAT,
            table_id: self.table_id.clone(),
            hasher: self.hasher,
            files: files
                .iter()
                .map(|known| SavedFile { name: known.name.clone(), is_whole: known.is_saved, dead: known.dead })
                .collect(),
            runs: runs.iter().filter_map(file_name).collect(),
        };
        let written = self.path.join("manifest.new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&written)?;
        file.write_all(&serde_json::to_vec(&manifest).map_err(std::io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&written, self.path.join(MANIFEST))?;
        self.remove_all_but(runs);
        Ok(())
    }

    /// Removes everything.
    pub(super) fn clear(&self, runs: &[Arc<Run>]) {
        debug!(path = %self.path.display(), runs = runs.len(), "removing the key index from disk");
        remove(&self.path.join(MANIFEST));
        self.remove_all_but(&[]);
    }

    /// Removes runs that no manifest names any more. Those that are still read stay readable until they are closed.
    fn remove_all_but(&self, runs: &[Arc<Run>]) {
        let Ok(listed) = fs::read_dir(&self.path) else { return };
        for found in listed.flatten() {
            let path = found.path();
            let is_run = path.extension().is_some_and(|extension| extension == "run");
            if is_run && !runs.iter().any(|run| run.path() == path) {
                remove(&path);
            }
        }
    }
}

fn read_manifest(path: &Path) -> Option<Manifest> {
    serde_json::from_slice(&fs::read(path.join(MANIFEST)).ok()?).ok()
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            warn!(path = %path.display(), %error, "a file of the key index was not removed");
        }
        _ => {}
    }
}
