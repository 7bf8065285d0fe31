//! How far an activation's deliveries are: one item of the store, which only who has read it last may write.

use bytes::Bytes;
use freshet_catalog::Activation;
use freshet_model::{Destination, TenantId};
use freshet_runs::{Counts, RunId};
use freshet_store::{Condition, Key, Store, StoreError, Version};
use serde::{Deserialize, Serialize};

use crate::ActivationError;

/// What is kept of an activation between runs, and between the steps of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// What of the definition says whether the receiver is the same, and so has what was delivered.
    pub(crate) fingerprint: String,
    /// The folder that holds the hashes of what was delivered last; none: nothing was.
    pub(crate) delivered: Option<String>,
    /// The last delivery that came to its end.
    pub(crate) done: Option<Done>,
    /// The folder in which a delivery is being staged.
    pub(crate) staging: Option<String>,
    /// A delivery that is staged and not yet at its end.
    pub(crate) staged: Option<Staged>,
}

/// A delivery that came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) delivery: RunId,
    pub(crate) counts: Counts,
}

/// A delivery that is staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staged {
    pub(crate) delivery: RunId,
    /// Its folder.
    pub(crate) folder: String,
    /// How many batches it has, and how many of them were taken.
    pub(crate) batches: u64,
    pub(crate) sent: u64,
    /// Whether its folder holds hashes.
    pub(crate) has_hashes: bool,
    pub(crate) counts: Counts,
}

/// The item, as it was read or written last.
pub(crate) struct Ledger<'a> {
    store: &'a dyn Store,
    key: Key,
    version: Option<Version>,
    pub(crate) progress: Progress,
}

/// The partition of a tenant's activations.
pub(crate) fn partition(tenant: &TenantId) -> String {
    format!("activations/{tenant}")
}

/// An activation that is deleted and made anew, or sends to another place, begins anew.
pub(crate) fn fingerprint(activation: &Activation) -> String {
    let definition = &activation.definition;
    let place = match &definition.destination {
        Destination::Files { location, .. } => location.to_string(),
        Destination::Webhook { url, .. } => url.to_string(),
    };
    let key = definition.key.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{}\n{}\n{key}\n{place}", activation.created_at, definition.send)
}

impl<'a> Ledger<'a> {
    pub(crate) async fn load(
        store: &'a dyn Store,
        tenant: &TenantId,
        activation: &Activation,
    ) -> Result<Self, ActivationError> {
        let key = Key::new(partition(tenant), activation.name.as_str());
        let fingerprint = fingerprint(activation);
        let (progress, version) = match store.get(&key).await? {
            Some(item) => {
                let progress: Progress = serde_json::from_slice(&item.value).map_err(|_| ActivationError::Corrupt)?;
                (progress, Some(item.version))
            }
            None => (Progress::default(), None),
        };
        let progress = if progress.fingerprint == fingerprint {
            progress
        } else {
            Progress { fingerprint, ..Progress::default() }
        };
        Ok(Self { store, key, version, progress })
    }

    /// Writes it, unless another has since.
    pub(crate) async fn save(&mut self) -> Result<(), ActivationError> {
        let value = serde_json::to_vec(&self.progress).map_err(|_| ActivationError::Corrupt)?;
        let condition = self.version.map_or(Condition::Absent, Condition::Is);
        match self.store.put(&self.key, Bytes::from(value), condition).await {
            Ok(version) => {
                self.version = Some(version);
                Ok(())
            }
            Err(StoreError::Conflict { .. }) => Err(ActivationError::Superseded),
            Err(error) => Err(error.into()),
        }
    }
}
