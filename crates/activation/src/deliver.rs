//! One delivery: staged, sent, and noted.

use std::error::Error;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use freshet_catalog::{Activation, TenantCatalog};
use freshet_database::DatabaseTables;
use freshet_model::{ActivationDefinition, Destination, ResourceName, SendMode, TenantId};
use freshet_query::{ResultColumn, Rows};
use freshet_runs::{Claim, Counts, Outcome, RunId};
use freshet_store::{Condition, Query, Store, StoreError, query_all};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::address::Guard;
use crate::batches::{BatchWriter, batch_path, tail};
use crate::changes::{ChangeShape, Changes};
use crate::hashes::{HashReader, HashWriter};
use crate::ledger::{Done, Ledger, Staged, partition};
use crate::parts::{Manifest, PartWriter};
use crate::signature::Keys;
use crate::webhook::Webhook;
use crate::{ActivationError, Activator};

/// What rows are staged with.
pub(crate) enum Sink {
    Files(Box<PartWriter>),
    Webhook(Box<BatchWriter>),
}

impl Sink {
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<(), ActivationError> {
        match self {
            Self::Files(parts) => parts.write(batch).await,
            Self::Webhook(batches) => batches.write(batch).await,
        }
    }
}

/// The activation that is delivered, and where what is staged of it lies.
struct Job<'a> {
    tenant: &'a TenantId,
    activation: &'a Activation,
    delivery: RunId,
    base: Path,
}

/// Where the deliveries of an activation are staged.
fn base(tenant: &TenantId, activation: &ResourceName) -> Path {
    Path::from_iter(["deliveries", tenant.as_str(), activation.as_str()])
}

impl Job<'_> {
    fn definition(&self) -> &ActivationDefinition {
        &self.activation.definition
    }

    fn folder(&self, name: &str) -> Path {
        self.base.clone().join(name)
    }

    fn hashes(&self, folder: &str) -> Path {
        self.folder(folder).join("hashes")
    }

    fn manifest(&self, folder: &str) -> Path {
        self.folder(folder).join("manifest.json")
    }
}

impl Activator {
    /// Delivers an activation, in one step of the run. The answer is whether it succeeded; where not, the step says why.
    ///
    /// # Errors
    /// The run can't be recorded.
    pub async fn run_activation(
        &self,
        catalog: &TenantCatalog,
        activation: &Activation,
        claim: &Claim,
    ) -> Result<bool, ActivationError> {
        let name = activation.name.as_str();
        claim.begin_step(name, self.now()).await?;
        match self.deliver(catalog, activation, claim.run().id).await {
            Ok(counts) => {
                claim.end_step(name, Outcome::Succeeded(counts), self.now()).await?;
                Ok(true)
            }
            Err(failure) => {
                tracing::warn!(tenant = %catalog.tenant(), activation = name, error = &failure as &dyn Error, "an activation was not delivered");
                claim.end_step(name, Outcome::Failed(failure.to_string()), self.now()).await?;
                Ok(false)
            }
        }
    }

    /// Delivers an activation under an id, and says what was sent. Under the id of a delivery that has begun it goes on with that one; one
    /// that has ended is not sent again.
    ///
    /// # Errors
    /// Any of [`ActivationError`]'s variants. What was staged is kept, for the same call again.
    pub async fn deliver(
        &self,
        catalog: &TenantCatalog,
        activation: &Activation,
        delivery: RunId,
    ) -> Result<Counts, ActivationError> {
        let tenant = catalog.tenant();
        let job = Job { tenant, activation, delivery, base: base(tenant, &activation.name) };
        let mut ledger = Ledger::load(&*self.store, tenant, activation).await?;
        if let Some(done) = ledger.progress.done.as_ref().filter(|done| done.delivery == delivery) {
            return Ok(done.counts.clone());
        }
        if let Some(staged) = &ledger.progress.staged {
            let is_same = staged.delivery == delivery;
            // Of changes some may be with the receiver: only the rest of them make what it holds something to compare with.
            if is_same || job.definition().send == SendMode::Changes {
                let counts = self.send(&job, &mut ledger).await?;
                if is_same {
                    return Ok(counts);
                }
            }
        }
        self.stage(catalog, &job, &mut ledger).await?;
        self.send(&job, &mut ledger).await
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Runs the query and keeps what is to be sent.
    async fn stage(
        &self,
        catalog: &TenantCatalog,
        job: &Job<'_>,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), ActivationError> {
        let attempt = format!("{:016x}", rand::random::<u64>());
        let folder = format!("{}-{attempt}", job.delivery);
        ledger.progress.staged = None;
        ledger.progress.staging = Some(folder.clone());
        // From here on no earlier attempt can note what it has staged, so its files can go.
        ledger.save().await?;
        let kept = [Some(folder.clone()), ledger.progress.delivered.clone()];
        self.remove_but(job, &kept).await?;

        let definition = job.definition();
        let gone = |what: String| ActivationError::Gone { what };
        let query = catalog.query(definition.query.as_str());
        let query = query.ok_or_else(|| gone(format!("saved query {}", definition.query)))?;
        let database = &query.definition.database;
        let tables = DatabaseTables::of(catalog, database.as_str());
        let tables = tables.ok_or_else(|| gone(format!("database {database}")))?;
        let key = definition.key.as_ref().map(ToString::to_string);
        let (rows, _) = self.refresher.answer(&tables, &query.definition.sql, key.clone()).await?;

        let mut counts = Counts::new();
        let mut count = |name: &str, value: u64| counts.insert(name.to_owned(), value);
        let sink = match &key {
            None => {
                let mut sink =
                    self.sink(job, &folder, attempt, rows.schema.clone(), rows.columns.clone(), rows.as_of).await?;
                count("rows", self.send_all(rows, &mut sink).await?);
                sink
            }
            Some(key) => {
                let place = rows.column(key)?;
                let ChangeShape { schema, columns } = ChangeShape::of(&rows)?;
                let mut sink = self.sink(job, &folder, attempt, schema.clone(), columns, rows.as_of).await?;
                let before = ledger.progress.delivered.as_ref().map(|folder| job.hashes(folder));
                let before = HashReader::open(&*self.files, before).await?;
                let after = HashWriter::new(&self.files, job.hashes(&folder));
                let found = Changes::new(&rows, place, schema, before, after)?.send(rows, &mut sink).await?;
                for (name, value) in [
                    ("rows", found.rows),
                    ("upserts", found.upserts),
                    ("deletes", found.deletes),
                    ("unchanged", found.unchanged),
                    ("null_keys", found.null_keys),
                    ("duplicate_keys", found.duplicate_keys),
                ] {
                    count(name, value);
                }
                sink
            }
        };
        let batches = match sink {
            Sink::Files(parts) => {
                let manifest = parts.finish().await?;
                count("files", manifest.files.len() as u64);
                count("bytes", manifest.bytes);
                let text = serde_json::to_vec_pretty(&manifest).map_err(|_| ActivationError::Corrupt)?;
                self.files.put(&job.manifest(&folder), PutPayload::from(text)).await?;
                0
            }
            Sink::Webhook(batches) => {
                let (batches, bytes) = batches.finish().await?;
                count("batches", batches);
                count("bytes", bytes);
                batches
            }
        };
        let (delivery, has_hashes) = (job.delivery, key.is_some());
        ledger.progress.staged = Some(Staged { delivery, folder, batches, sent: 0, has_hashes, counts });
        ledger.progress.staging = None;
        ledger.save().await
    }

    async fn send_all(&self, mut rows: Rows, sink: &mut Sink) -> Result<u64, ActivationError> {
        let mut sent = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            sent += batch.num_rows() as u64;
            if sent > self.limits.rows {
                return Err(ActivationError::TooLarge { limit: self.limits.rows, unit: "rows" });
            }
            sink.write(&batch).await?;
        }
        Ok(sent)
    }

    async fn sink(
        &self,
        job: &Job<'_>,
        folder: &str,
        attempt: String,
        schema: SchemaRef,
        columns: Vec<ResultColumn>,
        as_of: Timestamp,
    ) -> Result<Sink, ActivationError> {
        let (activation, definition) = (job.activation.name.to_string(), job.definition());
        match &definition.destination {
            Destination::Files { location, format, compression } => {
                let (files, place) = self.outputs.find(job.tenant, location).await?;
                let place = place.join(job.delivery.to_string());
                // What an attempt of this delivery left that died.
                remove_all(&files, &place).await?;
                let manifest = Manifest {
                    activation,
                    delivery: job.delivery,
                    send: definition.send,
                    as_of,
                    format: *format,
                    compression: *compression,
                    columns,
                    rows: 0,
                    bytes: 0,
                    files: Vec::new(),
                };
                let parts = PartWriter::new(files, place, attempt, schema, manifest, self.limits)?;
                Ok(Sink::Files(Box::new(parts)))
            }
            Destination::Webhook { batch, .. } => {
                let (files, folder) = (Arc::clone(&self.files), job.folder(folder));
                let (delivery, send) = (job.delivery, definition.send);
                let batches =
                    BatchWriter::new(files, folder, activation, delivery, send, &columns, *batch, self.limits)?;
                Ok(Sink::Webhook(Box::new(batches)))
            }
        }
    }

    /// Sends what is staged, from where it was, and notes that it was.
    async fn send(&self, job: &Job<'_>, ledger: &mut Ledger<'_>) -> Result<Counts, ActivationError> {
        let staged = ledger.progress.staged.clone().ok_or(ActivationError::Corrupt)?;
        match &job.definition().destination {
            Destination::Files { location, .. } => {
                let (files, place) = self.outputs.find(job.tenant, location).await?;
                let manifest = self.files.get(&job.manifest(&staged.folder)).await?.bytes().await?;
                let own = place.clone().join(staged.delivery.to_string()).join("manifest.json");
                files.put(&own, PutPayload::from(manifest.clone())).await?;
                files.put(&place.join("latest.json"), PutPayload::from(manifest)).await?;
            }
            Destination::Webhook { url, secret, .. } => {
                let missing = || ActivationError::NoSecret { name: secret.to_string() };
                let text = (self.secrets)(job.tenant, secret).map_err(|source| {
                    tracing::warn!(%secret, error = %source, "a secret can't be read");
                    ActivationError::Secret { name: secret.to_string(), why: "it can't be read" }
                })?;
                let keys = Keys::of(secret, &text.ok_or_else(missing)?)?;
                let guard = Guard { networks: Arc::clone(&self.networks), resolve: Arc::clone(&self.resolve) };
                let webhook = Webhook::new(url, keys, guard, self.limits)?;
                for number in staged.sent..staged.batches {
                    let path = batch_path(&job.folder(&staged.folder), number);
                    let start = self.files.get(&path).await?.bytes().await?;
                    let body = Bytes::from([&start, tail(staged.batches).as_bytes()].concat());
                    let id = format!("{}-{number}", staged.delivery);
                    webhook.post(&id, number, &body, &*self.clock).await?;
                    if let Some(staged) = &mut ledger.progress.staged {
                        staged.sent = number + 1;
                    }
                    ledger.save().await?;
                }
            }
        }
        let Staged { delivery, folder, has_hashes, counts, .. } = staged;
        ledger.progress.staged = None;
        ledger.progress.delivered = has_hashes.then_some(folder);
        ledger.progress.done = Some(Done { delivery, counts: counts.clone() });
        ledger.save().await?;
        if let Err(failure) = self.remove_sent(job, ledger).await {
            // The next delivery removes it too.
            tracing::warn!(activation = %job.activation.name, error = &failure as &dyn Error, "what was sent can't be removed");
        }
        Ok(counts)
    }

    /// Removes all that is staged but the hashes of what was delivered last.
    async fn remove_sent(&self, job: &Job<'_>, ledger: &Ledger<'_>) -> Result<(), ActivationError> {
        let kept = ledger.progress.delivered.as_ref().map(|folder| job.hashes(folder));
        let listed: Vec<_> = self.files.list(Some(&job.base)).map_ok(|file| file.location).try_collect().await?;
        for path in listed.into_iter().filter(|path| Some(path) != kept.as_ref()) {
            self.files.delete(&path).await?;
        }
        Ok(())
    }

    /// Removes all that is staged but some folders.
    async fn remove_but(&self, job: &Job<'_>, kept: &[Option<String>]) -> Result<(), ActivationError> {
        let kept: Vec<Path> = kept.iter().flatten().map(|folder| job.folder(folder)).collect();
        let listed: Vec<_> = self.files.list(Some(&job.base)).map_ok(|file| file.location).try_collect().await?;
        for path in listed.into_iter().filter(|path| !kept.iter().any(|folder| path.prefix_matches(folder))) {
            self.files.delete(&path).await?;
        }
        Ok(())
    }
}

async fn remove_all(files: &Arc<dyn ObjectStore>, folder: &Path) -> Result<(), ActivationError> {
    let listed: Vec<_> = files.list(Some(folder)).map_ok(|file| file.location).try_collect().await?;
    for path in listed {
        files.delete(&path).await?;
    }
    Ok(())
}

/// Removes what is kept of a tenant's activations that are deleted. The files that they have delivered stay: they are their receivers'.
///
/// # Errors
/// The store or the files can't be read or written.
pub async fn remove_deleted(
    store: &dyn Store,
    files: &Arc<dyn ObjectStore>,
    catalog: &TenantCatalog,
) -> Result<(), ActivationError> {
    let tenant = catalog.tenant();
    for item in query_all(store, Query::prefix(partition(tenant), "")).await? {
        let Ok(name) = ResourceName::parse(&item.key.sort) else { continue };
        if catalog.activation(name.as_str()).is_some() {
            continue;
        }
        let folder = base(tenant, &name);
        // Listed before the item goes: what one of the same name stages afterwards is not among it.
        let listed: Vec<_> = files.list(Some(&folder)).map_ok(|file| file.location).try_collect().await?;
        match store.delete(&item.key, Condition::Is(item.version)).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        for path in listed {
            files.delete(&path).await?;
        }
        tracing::info!(%tenant, activation = %name, "what was kept of a deleted activation is removed");
    }
    Ok(())
}
