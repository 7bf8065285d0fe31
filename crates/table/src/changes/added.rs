//! What commits have added to a table, as far as they leave the keys of what they change.

use std::collections::HashSet;
use std::sync::Arc;

use super::{ChangeLimits, Untold};
use crate::commit::UPSERT;
use crate::file::DataFile;
use crate::log::Commit;

/// The files that some commits, one after the other, have added and that were not there before.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// With the rows of keys that changed, or their tombstones.
    changed: Vec<Arc<DataFile>>,
    changed_names: HashSet<String>,
    /// With rows that were there before, in other files.
    moved_names: HashSet<String>,
}

impl Added {
    /// Takes the next commit in.
    pub(super) fn take(&mut self, commit: Commit, limits: ChangeLimits) -> Result<(), Untold> {
        let Commit { id, operation, added, removed, metadata, protocol, .. } = commit;
        if metadata.is_some() || protocol.is_some() {
            return Err(Untold::Altered);
        }
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        // What another engine says changes no data is not relied on either: one that moves rows without regard to commits beside it brings
        // rows back.
        if id.is_none() {
            return Err(Untold::Traceless);
        }
        let has_changed = added.iter().any(|add| add.data_change) || removed.iter().any(|remove| remove.data_change);
        let removed: HashSet<&str> = removed.iter().map(|remove| remove.path.as_str()).collect();
        let is_upsert = operation.as_deref() == Some(UPSERT) && {
            // An upsert takes rows out of files, and no file out of the table.
            let named: HashSet<&str> = added.iter().map(|add| add.path.as_str()).collect();
            removed.is_subset(&named)
        };
        if has_changed && !is_upsert {
            return Err(Untold::Traceless);
        }
        for add in added {
            // With other dead rows than before.
            if removed.contains(add.path.as_str()) {
                continue;
            }
            if !has_changed {
                self.moved_names.insert(add.path);
                continue;
            }
            let file = DataFile::new(add);
            // Each row is of another key.
            if file.rows().is_some_and(|rows| rows > limits.keys as u64) {
                return Err(Untold::ManyKeys);
            }
            self.changed_names.insert(file.name().to_owned());
            self.changed.push(Arc::new(file));
        }
        Ok(())
    }

    /// Those with the rows or tombstones of keys that changed.
    pub(super) fn changed(&self) -> &[Arc<DataFile>] {
        &self.changed
    }

    /// Whether a file is one of them.
    pub(super) fn has(&self, name: &str) -> bool {
        self.has_changed(name) || self.moved_names.contains(name)
    }

    /// Whether a file is one of those with keys that changed.
    pub(super) fn has_changed(&self, name: &str) -> bool {
        self.changed_names.contains(name)
    }
}
