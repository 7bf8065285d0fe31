//! Starting, finding and claiming runs.

use std::sync::Arc;

use bytes::Bytes;
use freshet_model::{ResourceName, TenantId};
use freshet_store::{BatchWrite, Condition, Direction, Item, Query, Store, StoreError, Version, Write, query_all};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::claim::{Claim, ended};
use crate::error::corrupt;
use crate::{KEPT_RUNS, LastRun, MAX_ATTEMPTS, Run, RunError, RunId, RunKind, RunState, Subject, Trigger, keys};

/// The runs of all tenants.
#[derive(Debug, Clone)]
pub struct Runs {
    pub(crate) store: Arc<dyn Store>,
}

/// Some runs of a resource.
#[derive(Debug, Clone, Default)]
pub struct RunPage {
    /// The newest first.
    pub runs: Vec<Run>,
    /// The run after which the next page begins; none: this was the last.
    pub next: Option<RunId>,
}

/// Which run of a resource is queued, and who works on which.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Open {
    tenant: TenantId,
    kind: RunKind,
    name: ResourceName,
    pub(crate) queued: Option<RunId>,
    pub(crate) held: Option<Held>,
}

/// A run that a runner works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) run: RunId,
    pub(crate) holder: String,
    pub(crate) until: Timestamp,
    pub(crate) attempts: u32,
}

impl Open {
    fn of(subject: &Subject) -> Self {
        let Subject { tenant, kind, name } = subject.clone();
        Self { tenant, kind, name, queued: None, held: None }
    }

    fn subject(&self) -> Subject {
        Subject { tenant: self.tenant.clone(), kind: self.kind, name: self.name.clone() }
    }

    /// The run that a runner may begin with.
    fn claimable(&self, now: Timestamp) -> Option<RunId> {
        match &self.held {
            Some(held) => (held.until <= now).then_some(held.run),
            None => self.queued,
        }
    }

    /// The write that keeps it, or removes it where nothing is left of it.
    pub(crate) fn write(&self, of: &Subject, condition: Condition) -> Result<Write, RunError> {
        let key = keys::open(of);
        if self.queued.is_none() && self.held.is_none() {
            return Ok(Write::Delete { key, condition });
        }
        Ok(Write::Put { key, value: encode(self)?, condition })
    }
}

pub(crate) fn encode(value: &impl Serialize) -> Result<Bytes, RunError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|source| corrupt("a run that is to be written", source))
}

pub(crate) fn decode<T: DeserializeOwned>(item: &Item) -> Result<T, RunError> {
    serde_json::from_slice(&item.value).map_err(|source| corrupt(&item.key.sort, source))
}

impl Runs {
    /// Over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Queues a run of a resource. Where one is queued already, it is that one.
    ///
    /// # Errors
    /// The store can't be read or written.
    pub async fn start(&self, of: &Subject, trigger: Trigger, now: Timestamp) -> Result<Run, RunError> {
        loop {
            let (mut open, version) = self.open(of).await?;
            if let Some(queued) = open.queued
                && let Some(run) = self.get(of, queued).await?
            {
                return Ok(run);
            }
            let run = Run {
                id: RunId::new(),
                kind: of.kind,
                name: of.name.clone(),
                trigger: trigger.clone(),
                state: RunState::Queued,
                created_at: now,
                started_at: None,
                ended_at: None,
                attempts: 0,
                steps: Vec::new(),
                error: None,
            };
            open.queued = Some(run.id);
            let put = Write::Put { key: keys::run(of, run.id), value: encode(&run)?, condition: Condition::Absent };
            match self.store.transact(vec![put, open.write(of, is(version))?]).await {
                Ok(()) => {
                    self.forget_old(of).await?;
                    return Ok(run);
                }
                // Something else became of the resource meanwhile.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Claims the run that has waited the longest, of those that no runner works on, for `lease` from `now` on. None: there is none.
    ///
    /// # Errors
    /// The store can't be read or written.
    pub async fn claim(&self, holder: &str, lease: SignedDuration, now: Timestamp) -> Result<Option<Claim>, RunError> {
        let mut waiting = Vec::new();
        for item in query_all(&*self.store, Query::prefix(keys::OPEN, "")).await? {
            let open: Open = decode(&item)?;
            if let Some(run) = open.claimable(now) {
                waiting.push((run, open, item.version));
            }
        }
        waiting.sort_by_key(|(run, ..)| *run);
        for (run, open, version) in waiting {
            if let Some(claim) = self.try_claim(run, open, version, holder, lease, now).await? {
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    /// Claims a run, unless another runner was first, or it has been tried often enough.
    async fn try_claim(
        &self,
        id: RunId,
        mut open: Open,
        version: Version,
        holder: &str,
        lease: SignedDuration,
        now: Timestamp,
    ) -> Result<Option<Claim>, RunError> {
        let of = open.subject();
        let attempts = open.held.as_ref().map_or(0, |held| held.attempts) + 1;
        let Some(mut run) = self.get(&of, id).await? else {
            // Nothing tells what to do: its record is gone.
            (open.queued, open.held) = (open.queued.filter(|queued| *queued != id), None);
            return self.swap(vec![open.write(&of, Condition::Is(version))?]).await.map(|_| None);
        };
        let is_tried_enough = attempts > MAX_ATTEMPTS;
        if open.held.is_none() {
            open.queued = None;
        }
        run.steps.clear();
        if is_tried_enough {
            open.held = None;
            run.state = RunState::Failed;
            run.ended_at = Some(now);
            run.error = Some(format!("its runners died {MAX_ATTEMPTS} times; their logs say of what"));
            let last = ended(self, &of, &run, None, now).await?;
            let put = Write::Put { key: keys::run(&of, id), value: encode(&run)?, condition: Condition::Any };
            return self.swap(vec![put, last, open.write(&of, Condition::Is(version))?]).await.map(|_| None);
        }
        let until = now.checked_add(lease).unwrap_or(Timestamp::MAX);
        open.held = Some(Held { run: id, holder: holder.to_owned(), until, attempts });
        run.state = RunState::Running;
        run.attempts = attempts;
        run.started_at = run.started_at.or(Some(now));
        let put = Write::Put { key: keys::run(&of, id), value: encode(&run)?, condition: Condition::Any };
        if !self.swap(vec![put, open.write(&of, Condition::Is(version))?]).await? {
            return Ok(None);
        }
        Ok(Some(Claim::new(self.clone(), of, run, holder.to_owned(), lease)))
    }

    /// Whether the writes were done; not where another was first.
    async fn swap(&self, writes: Vec<Write>) -> Result<bool, RunError> {
        match self.store.transact(writes).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A run of a resource.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn get(&self, of: &Subject, id: RunId) -> Result<Option<Run>, RunError> {
        let item = self.store.get(&keys::run(of, id)).await?;
        item.as_ref().map(decode).transpose()
    }

    /// The newest runs of a resource, at most `limit`, from after a run on.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn list(&self, of: &Subject, limit: usize, after: Option<RunId>) -> Result<RunPage, RunError> {
        let prefix = keys::prefix(of);
        let after = after.map(|id| format!("{prefix}{id}"));
        let query = Query {
            direction: Direction::Backward,
            limit: limit.clamp(1, 100),
            after,
            ..Query::prefix(keys::runs_of(&of.tenant), prefix)
        };
        let mut runs = Vec::new();
        let mut query = query;
        loop {
            let page = self.store.query(&query).await?;
            for item in &page.items {
                runs.push(decode::<Run>(item)?);
            }
            let is_full = runs.len() >= limit;
            runs.truncate(limit);
            match page.next {
                Some(_) if is_full => {
                    let next = runs.last().map(|run| run.id);
                    return Ok(RunPage { runs, next });
                }
                Some(next) => query.after = Some(next),
                None => return Ok(RunPage { runs, next: None }),
            }
        }
    }

    /// The newest runs of all of a tenant's resources, or of those of a kind.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn newest(&self, tenant: &TenantId, kind: Option<RunKind>, limit: usize) -> Result<Vec<Run>, RunError> {
        let prefix = kind.map_or_else(String::new, |kind| format!("{kind}/"));
        let items = query_all(&*self.store, Query::prefix(keys::runs_of(tenant), prefix)).await?;
        let mut runs = items.iter().map(decode::<Run>).collect::<Result<Vec<_>, _>>()?;
        runs.sort_by_key(|run| std::cmp::Reverse(run.id));
        runs.truncate(limit);
        Ok(runs)
    }

    /// How the last run of a resource ended; none: none has.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn last(&self, of: &Subject) -> Result<Option<LastRun>, RunError> {
        let item = self.store.get(&keys::last(of)).await?;
        item.as_ref().map(decode).transpose()
    }

    /// Whether a run of a resource is queued or under way.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn is_open(&self, of: &Subject) -> Result<bool, RunError> {
        Ok(self.store.get(&keys::open(of)).await?.is_some())
    }

    pub(crate) async fn open(&self, of: &Subject) -> Result<(Open, Option<Version>), RunError> {
        match self.store.get(&keys::open(of)).await? {
            Some(item) => Ok((decode(&item)?, Some(item.version))),
            None => Ok((Open::of(of), None)),
        }
    }

    /// Forgets all but the newest runs of a resource.
    async fn forget_old(&self, of: &Subject) -> Result<(), RunError> {
        let items = query_all(&*self.store, Query::prefix(keys::runs_of(&of.tenant), keys::prefix(of))).await?;
        let old = items.len().saturating_sub(KEPT_RUNS);
        if old == 0 {
            return Ok(());
        }
        let deletes = items.into_iter().take(old).map(|item| BatchWrite::Delete(item.key)).collect();
        Ok(self.store.batch_write(vec![deletes]).await?)
    }
}

pub(crate) fn is(version: Option<Version>) -> Condition {
    version.map_or(Condition::Absent, Condition::Is)
}
