//! Activations: the result of a saved query, or what has changed of it, sent to files with a manifest or to a webhook.
//!
//! What it promises:
//! - **At least once.** A delivery that has begun is kept, row by row, before the first of it is sent. Killed anywhere and run again
//!   under its id, it goes on where it was: no batch is lost, one may be sent twice, and then with the same body and the same id, by
//!   which a receiver tells.
//! - A manifest names whole files alone, and comes after them.
//! - Changes are told from what was delivered last, never from what was only tried: a delivery of changes that fails is finished before
//!   the next begins. So whoever applies all of them holds what the query answers.
//! - Memory is bounded by a batch of rows, a webhook's batch and a few parts of a file on their way. To find changes the result is sorted
//!   by its key, on disk where it doesn't fit, and walked beside the sorted keys and hashes of last time, which lie in the files.
//! - A webhook reaches public addresses alone, and those that the deployment allows: an address is checked after its name is resolved,
//!   and the connection is made to the checked address. Redirects and proxies are not followed.
//! - Secrets are looked up by name when they are needed, and stand in no file, log or error.
//!
//! Data goes: the query → all its rows, or its `changes` → staged as `parts` of files or `batches` of a webhook → noted in the store as
//! staged (`ledger`) → the manifest is put, or the batches are posted (`webhook`), each noted → the new hashes become those of last time.

mod address;
mod batches;
mod changes;
mod deliver;
mod error;
mod hashes;
mod ledger;
mod outputs;
mod parts;
mod signature;
mod webhook;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use freshet_model::{Network, SecretName, TenantId};
use freshet_refresh::Refresher;
use freshet_store::Store;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use object_store::ObjectStore;
use secrecy::SecretString;

pub use address::is_public;
pub use deliver::remove_deleted;
pub use error::ActivationError;
pub use outputs::OutputFiles;

/// Finds a tenant's secret by its name; none: there is none.
pub type FindSecret = Arc<dyn Fn(&TenantId, &SecretName) -> io::Result<Option<SecretString>> + Send + Sync>;
/// Resolves the name of a host.
pub type Resolve = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// What deliveries may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivationLimits {
    /// Most rows of a delivery.
    pub rows: u64,
    /// Most bytes of a delivery, as they are written.
    pub bytes: u64,
    /// Most bytes of a webhook's batch.
    pub batch_bytes: usize,
    /// Bytes after which the next file begins.
    pub part_bytes: u64,
    /// How often a batch is posted until it is given up.
    pub attempts: u32,
    /// The pause after the first of these; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause, also where the receiver asks for a longer one.
    pub longest_pause: Duration,
    /// How long one request may take, its answer included.
    pub request: Duration,
    /// Bytes of an answer that are read.
    pub answer_bytes: usize,
    /// How long the posts of one run may take.
    pub time: Duration,
}

impl Default for ActivationLimits {
    fn default() -> Self {
        Self {
            rows: 100_000_000,
            bytes: 100 << 30,
            batch_bytes: 4 << 20,
            part_bytes: 256 << 20,
            attempts: 8,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(2),
            request: Duration::from_secs(30),
            answer_bytes: 4 << 10,
            time: Duration::from_hours(1),
        }
    }
}

/// What deliveries work with.
pub struct Activator {
    /// Runs the queries.
    pub refresher: Arc<Refresher>,
    /// Keeps how far deliveries are.
    pub store: Arc<dyn Store>,
    /// The deployment's own files, in which deliveries are staged, below `deliveries/`.
    pub files: Arc<dyn ObjectStore>,
    /// Where activations may write files.
    pub outputs: OutputFiles,
    /// Finds secrets.
    pub secrets: FindSecret,
    /// Networks that webhooks may reach though they are not public.
    pub networks: Arc<[Network]>,
    /// Resolves the names of webhooks' hosts.
    pub resolve: Resolve,
    /// What they may take.
    pub limits: ActivationLimits,
    /// The time.
    pub clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl fmt::Debug for Activator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activator").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Resolves names as the system does.
#[must_use]
pub fn system_resolve() -> Resolve {
    Arc::new(|host: String| {
        async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    })
}
