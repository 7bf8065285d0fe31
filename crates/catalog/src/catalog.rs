//! The catalog itself: reading, changing, and applying sets of resources.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_model::{Definition, Problem, Problems, ResourceKind, TenantId};
use freshet_store::{MAX_TRANSACTION, Store, StoreError, Write};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use crate::cache::{Cache, SNAPSHOT_MAX_STALE};
use crate::change::{Outcome, Wish, Wishes, evaluate};
use crate::resource::{Identity, Kept, check_name, decode};
use crate::state::{Revision, State, key, list, tenants};
use crate::{
    Action, CatalogError, Change, Plan, PlanEntry, Precondition, PutOutcome, Resource, ResourceFile, TenantCatalog,
};

/// Most resources that one [`Catalog::apply`] creates, changes and deletes: what one transaction of the store holds
/// beside the tenant's revision and its entry among the tenants.
pub const MAX_CHANGES: usize = MAX_TRANSACTION - 2;
/// Most bytes of definitions that one [`Catalog::apply`] writes: DynamoDB's 4 MB a transaction, with room for keys.
const MAX_CHANGE_BYTES: usize = 3_500_000;
/// How often a change is decided anew because something else of the tenant changed meanwhile.
const WRITE_ATTEMPTS: usize = 8;

/// The definitions of tenants' resources.
#[derive(Debug)]
pub struct Catalog {
    store: Arc<dyn Store>,
    cache: Cache,
    /// Changes made through this process go one after the other, so that they race only with other processes'.
    writing: tokio::sync::Mutex<()>,
}

impl Catalog {
    /// The catalog in a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, cache: Cache::default(), writing: tokio::sync::Mutex::default() }
    }

    /// One resource.
    pub async fn get(
        &self,
        tenant: &TenantId,
        kind: ResourceKind,
        name: &str,
    ) -> Result<Option<Resource>, CatalogError> {
        if check_name(kind, "", name).is_err() {
            // No resource has it, and the store may not take it as a key.
            return Ok(None);
        }
        let item = self.store.get(&key(tenant, &Identity::new(kind, name))).await.map_err(CatalogError::reading)?;
        let kept = item.map(|item| decode(kind, &item)).transpose()?;
        Ok(kept.and_then(Kept::live).filter(|resource| resource.name == name))
    }

    /// Every resource of a kind, by name.
    pub async fn list(&self, tenant: &TenantId, kind: ResourceKind) -> Result<Vec<Resource>, CatalogError> {
        list(self.store.as_ref(), tenant, kind).await
    }

    /// Makes or changes a resource. Idempotent: a definition that is there as it is stays untouched.
    ///
    /// # Errors
    /// [`CatalogError::Refused`] with everything that is wrong, paths within the definition;
    /// [`CatalogError::PreconditionFailed`];
    /// [`CatalogError::Conflict`] where other writers keep changing the tenant.
    pub async fn put(
        &self,
        tenant: &TenantId,
        kind: ResourceKind,
        name: &str,
        definition: Definition,
        precondition: Precondition,
        now: Timestamp,
    ) -> Result<PutOutcome, CatalogError> {
        if definition.kind() != kind {
            let message = format!("is the definition of one of {}, not of {kind}", definition.kind());
            return Err(CatalogError::Refused(Problems::one("", message)));
        }
        let identity = Identity::new(kind, name);
        let outcome = self.change_one(tenant, identity, name, Wish::Put(definition), precondition, now).await?;
        let change = match outcome.action {
            Action::Create => Change::Created,
            Action::Change => Change::Changed,
            Action::Unchanged | Action::Delete | Action::Refuse => Change::Unchanged,
        };
        match outcome.resource {
            Some(resource) => Ok(PutOutcome { resource, change }),
            None => Err(CatalogError::Refused(outcome.problems)),
        }
    }

    /// Deletes a resource. What it held (records of a stream, rows of a table) stays: a table made later under its name
    /// continues it, and may differ from it only as a change may.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::InUse`], [`CatalogError::PreconditionFailed`],
    /// [`CatalogError::Conflict`].
    pub async fn delete(
        &self,
        tenant: &TenantId,
        kind: ResourceKind,
        name: &str,
        precondition: Precondition,
    ) -> Result<(), CatalogError> {
        let identity = Identity::new(kind, name);
        // A deletion writes no time.
        self.change_one(tenant, identity, name, Wish::Delete, precondition, Timestamp::UNIX_EPOCH).await?;
        Ok(())
    }

    /// All definitions of a tenant, as they were at most [`crate::SNAPSHOT_MAX_AGE`] ago; while the store can't be
    /// reached, at most [`SNAPSHOT_MAX_STALE`] ago. What this catalog itself wrote is in it at once. A tenant without
    /// resources is empty.
    pub async fn snapshot(&self, tenant: &TenantId) -> Result<Arc<TenantCatalog>, CatalogError> {
        self.snapshot_within(tenant, SNAPSHOT_MAX_STALE).await
    }

    /// As [`Catalog::snapshot`], but while the store can't be reached, as they were less than `max_age` ago.
    ///
    /// # Errors
    /// The store's, and [`CatalogError::Unavailable`], where that can't be had.
    pub async fn snapshot_within(
        &self,
        tenant: &TenantId,
        max_age: Duration,
    ) -> Result<Arc<TenantCatalog>, CatalogError> {
        self.cache.get(self.store.as_ref(), tenant, max_age).await
    }

    /// Every tenant that has or had a resource, by name.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, CatalogError> {
        tenants(self.store.as_ref()).await
    }

    /// What applying a file would do. With `prune`, what is there and not in the file is deleted, API keys only where
    /// the file names API keys at all: a file without them says nothing about who may call.
    ///
    /// # Errors
    /// The store's. A file that can't be applied is a plan that [`Plan::is_refused`].
    pub async fn plan(
        &self,
        tenant: &TenantId,
        file: &ResourceFile,
        prune: bool,
        now: Timestamp,
    ) -> Result<Plan, CatalogError> {
        let state = State::load(self.store.as_ref(), tenant).await?;
        let mut plan = Plan {
            tenant: tenant.clone(),
            resources: Vec::new(),
            problems: Vec::new(),
            revision: state.revision,
            writes: Vec::new(),
        };
        let wishes = Arc::new(wishes(file, &state, prune));
        if let Some(other) = file.tenant.as_ref().filter(|other| *other != tenant) {
            let message = format!("the file is for tenant {other}, and this call for {tenant}");
            plan.problems.push(Problem { path: "tenant".to_owned(), message });
        }
        for outcome in decide(tenant, state, wishes, now).await? {
            let (entry, write) = planned(outcome);
            plan.resources.push(entry);
            plan.writes.extend(write);
        }
        if let Some(message) = too_much(&plan.writes) {
            plan.problems.push(Problem { path: String::new(), message });
        }
        Ok(plan)
    }

    /// Does what a plan says, all or nothing.
    ///
    /// # Errors
    /// [`CatalogError::Refused`] with everything that is wrong with the plan; [`CatalogError::Conflict`] where the
    /// tenant's resources changed since it was made: plan again.
    pub async fn apply(&self, plan: &Plan) -> Result<(), CatalogError> {
        if plan.is_refused() {
            return Err(CatalogError::Refused(Problems(plan.all_problems())));
        }
        let _one_at_a_time = self.writing.lock().await;
        self.commit(&plan.tenant, plan.revision, plan.writes.clone()).await
    }

    async fn change_one(
        &self,
        tenant: &TenantId,
        identity: Identity,
        name: &str,
        wish: Wish,
        precondition: Precondition,
        now: Timestamp,
    ) -> Result<Outcome, CatalogError> {
        let deletes = matches!(wish, Wish::Delete);
        let wishes = Arc::new(Wishes::from([(identity.clone(), (name.to_owned(), wish))]));
        let _one_at_a_time = self.writing.lock().await;
        for _ in 0..WRITE_ATTEMPTS {
            let state = State::load(self.store.as_ref(), tenant).await?;
            let existing = state.resources.get(&identity).filter(|resource| resource.name == name);
            if deletes && existing.is_none() {
                return Err(CatalogError::NotFound { kind: identity.kind, name: name.to_owned() });
            }
            check(precondition, identity.kind, name, existing)?;
            let revision = state.revision;
            // One wish has one outcome.
            let Some(mut outcome) = decide(tenant, state, Arc::clone(&wishes), now).await?.pop() else { break };
            if outcome.action == Action::Refuse {
                return Err(refusal(outcome));
            }
            let Some(write) = outcome.write.take() else { return Ok(outcome) };
            match self.commit(tenant, revision, vec![write]).await {
                Err(CatalogError::Conflict) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(outcome),
            }
        }
        Err(CatalogError::Conflict)
    }

    /// Writes if nothing of the tenant changed since the revision.
    async fn commit(&self, tenant: &TenantId, revision: Revision, mut writes: Vec<Write>) -> Result<(), CatalogError> {
        if writes.is_empty() {
            return Ok(());
        }
        writes.push(revision.advance(tenant));
        writes.extend(revision.registration(tenant));
        let written = self.store.transact(writes).await;
        // Also after an error: the write may have happened.
        self.cache.forget(tenant);
        written.map_err(|error| match error {
            StoreError::Conflict { .. } => CatalogError::Conflict,
            other => CatalogError::writing(other),
        })
    }
}

/// What the wishes do to the state, decided on a thread that may be busy: the texts of queries take milliseconds each.
async fn decide(
    tenant: &TenantId,
    state: State,
    wishes: Arc<Wishes>,
    now: Timestamp,
) -> Result<Vec<Outcome>, CatalogError> {
    let tenant = tenant.clone();
    let decided = spawn_blocking(move || evaluate(&tenant, &state, &wishes, now)).await;
    decided.map_err(|source| CatalogError::Undecided { source })
}

fn check(
    precondition: Precondition,
    kind: ResourceKind,
    name: &str,
    existing: Option<&Resource>,
) -> Result<(), CatalogError> {
    let state = match (precondition, existing) {
        (Precondition::IfAbsent, Some(_)) => "exists already",
        (Precondition::IfMatch(_), None) => "is not there",
        (Precondition::IfMatch(etag), Some(existing)) if existing.etag != etag => "has changed since it was read",
        _ => return Ok(()),
    };
    Err(CatalogError::PreconditionFailed { kind, name: name.to_owned(), state })
}

fn refusal(outcome: Outcome) -> CatalogError {
    let Outcome { kind, name, referrers, problems, .. } = outcome;
    if referrers.is_empty() { CatalogError::Refused(problems) } else { CatalogError::InUse { kind, name, referrers } }
}

/// What a file asks for.
fn wishes(file: &ResourceFile, state: &State, prune: bool) -> Wishes {
    let mut wishes: Wishes = BTreeMap::new();
    if prune {
        let prunes_keys = file.resources.keys().any(|(kind, _)| *kind == ResourceKind::ApiKeys);
        let pruned =
            state.resources.iter().filter(|(identity, _)| identity.kind != ResourceKind::ApiKeys || prunes_keys);
        wishes.extend(pruned.map(|(identity, resource)| (identity.clone(), (resource.name.clone(), Wish::Delete))));
    }
    for ((kind, name), definition) in &file.resources {
        wishes.insert(Identity::new(*kind, name), (name.clone(), Wish::Put(definition.clone())));
    }
    wishes
}

/// An outcome as a line of a plan, its problems with the paths of a resource file.
fn planned(outcome: Outcome) -> (PlanEntry, Option<Write>) {
    let at = format!("{}.{}", outcome.kind, outcome.name);
    let problems = outcome.problems.0.into_iter().map(|Problem { path, message }| {
        let path = if path.is_empty() { at.clone() } else { format!("{at}.{path}") };
        Problem { path, message }
    });
    let entry = PlanEntry {
        kind: outcome.kind,
        name: outcome.name,
        action: outcome.action,
        details: outcome.details,
        problems: problems.collect(),
    };
    (entry, outcome.write)
}

fn too_much(writes: &[Write]) -> Option<String> {
    if writes.len() > MAX_CHANGES {
        let changes = writes.len();
        return Some(format!(
            "at most {MAX_CHANGES} resources are created, changed and deleted at once, and these are {changes}; apply them in several files"
        ));
    }
    let bytes: usize =
        writes.iter().map(|write| if let Write::Put { value, .. } = write { value.len() } else { 0 }).sum();
    (bytes > MAX_CHANGE_BYTES).then(|| {
        format!(
            "at most {MAX_CHANGE_BYTES} bytes of definitions are written at once, and these take {bytes}; apply them in several files"
        )
    })
}
