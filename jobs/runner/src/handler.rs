//! Looking for work, and doing it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_activation::{ActivationError, remove_deleted};
use freshet_catalog::TenantCatalog;
use freshet_database::{DatabaseTables, TableVersions};
use freshet_profile::IndexRef;
use freshet_refresh::RefreshFailure;
use freshet_runs::{Claim, Run, RunError, RunKind, RunState, Subject};
use jiff::SignedDuration;
use metrics::{counter, gauge, histogram};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::due::{Due, Look};
use crate::housekeeping::{clean, note_built};
use crate::{RunnerContext, RunnerError};

/// How long a run is a runner's without a sign of it: who starts a killed process again waits no longer.
const LEASE: SignedDuration = SignedDuration::from_secs(20);
/// How often a runner gives that sign: several may fail before the lease is lost.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often a runner that has nothing to do looks for what was asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it looks for what is due, which reads the logs of tables.
const SCHEDULE_EVERY: Duration = Duration::from_secs(1);
/// How often it removes what no reader is on any more.
const CLEAN_EVERY: Duration = Duration::from_mins(1);
/// Pause after something was not available.
const PAUSE: Duration = Duration::from_secs(2);

/// What a round of work came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Worked {
    /// Runs that were started because they were due.
    pub started: usize,
    /// Runs that succeeded.
    pub succeeded: usize,
    /// Runs that failed.
    pub failed: usize,
}

/// Works until `stop` is cancelled: starts what is due, does what is queued, and removes what is not read any more. A run in hand when
/// `stop` comes is left to the next runner.
pub async fn run_loop(context: Arc<RunnerContext>, stop: CancellationToken) {
    let (mut scheduled, mut cleaned): (Option<Instant>, Option<Instant>) = (None, None);
    let is_past = |last: &Option<Instant>, every| last.is_none_or(|last| last.elapsed() >= every);
    while !stop.is_cancelled() {
        let round = async {
            if is_past(&scheduled, SCHEDULE_EVERY) {
                scheduled = Some(Instant::now());
                schedule(&context).await?;
            }
            if is_past(&cleaned, CLEAN_EVERY) {
                cleaned = Some(Instant::now());
                clean_all(&context).await?;
            }
            Ok::<_, RunnerError>(do_next(&context).await?.is_some())
        };
        let did = tokio::select! {
            did = round => did,
            () = stop.cancelled() => return,
        };
        let pause = match did {
            Ok(true) => continue,
            Ok(false) => LOOK_EVERY,
            Err(failure) => {
                error!(error = &failure as &dyn std::error::Error, "the runner could not go on and tries again");
                PAUSE
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Works until nothing is due or queued, or `give_up` comes: a run that has begun by then goes on to its end.
///
/// # Errors
/// The definitions or runs can't be read or recorded.
pub async fn work(context: &RunnerContext, give_up: Instant) -> Result<Worked, RunnerError> {
    let mut worked = Worked::default();
    loop {
        worked.started += schedule(context).await?;
        let mut is_idle = true;
        while Instant::now() < give_up {
            let Some(run) = do_next(context).await? else { break };
            is_idle = false;
            match run.state {
                RunState::Succeeded => worked.succeeded += 1,
                _ => worked.failed += 1,
            }
        }
        if is_idle || Instant::now() >= give_up {
            clean_all(context).await?;
            return Ok(worked);
        }
    }
}

/// Starts runs of the indexes that are due, and says how many.
async fn schedule(context: &RunnerContext) -> Result<usize, RunnerError> {
    let mut started = 0;
    for tenant in context.catalog.tenants().await? {
        let catalog = context.catalog.snapshot(&tenant).await?;
        for index in catalog.indexes() {
            let of = Subject { tenant: tenant.clone(), kind: RunKind::Indexes, name: index.name.clone() };
            let (last, now) = (context.runs.last(&of).await?, context.clock.now());
            if let Some(last) = &last
                && last.state == RunState::Succeeded
            {
                let age = now.duration_since(last.ended_at).as_secs_f64();
                gauge!("freshet_index_age_seconds", "tenant" => tenant.to_string(), "index" => index.name.to_string())
                    .set(age);
            }
            let definition = &index.definition;
            let look = Look { definition, last: last.as_ref(), created_at: index.created_at, now };
            let trigger = match look.due() {
                Due::Now(trigger) => trigger,
                Due::IfChanged if has_changed(context, &catalog, &of, last.as_ref()).await => {
                    freshet_runs::Trigger::Commit
                }
                Due::IfChanged | Due::No => continue,
            };
            if !context.runs.is_open(&of).await? {
                context.runs.start(&of, trigger, now).await?;
                started += 1;
            }
        }
    }
    Ok(started)
}

/// Whether a table that an index reads is at another version than at its last refresh, or can't be read any more, which the next one then
/// says. Where that can't be told at the moment, it is not.
async fn has_changed(
    context: &RunnerContext,
    catalog: &TenantCatalog,
    of: &Subject,
    last: Option<&freshet_runs::LastRun>,
) -> bool {
    let Some((index, last)) = catalog.index(of.name.as_str()).zip(last) else { return false };
    let Some(tables) = DatabaseTables::of(catalog, index.definition.database.as_str()) else { return false };
    match context.refresher.versions(&tables, &index.definition.query).await {
        Ok(versions) => versions.iter().any(|(table, version)| last.inputs.get(table) != Some(version)),
        Err(failure) if failure.is_temporary() => {
            warn!(tenant = %of.tenant, index = %of.name, error = &failure as &dyn std::error::Error, "the tables of an index can't be looked at at the moment");
            false
        }
        Err(_) => true,
    }
}

async fn clean_all(context: &RunnerContext) -> Result<(), RunnerError> {
    for tenant in context.catalog.tenants().await? {
        let catalog = context.catalog.snapshot(&tenant).await?;
        clean(&*context.store, &catalog, context.clock.now()).await?;
        remove_deleted(&*context.store, &context.files, &catalog).await?;
    }
    Ok(())
}

/// Does the run that has waited the longest; none: there is none.
async fn do_next(context: &RunnerContext) -> Result<Option<Run>, RunnerError> {
    let Some(claim) = context.runs.claim(&context.holder, LEASE, context.clock.now()).await? else { return Ok(None) };
    let started = Instant::now();
    let outcome = tokio::select! {
        outcome = run(context, &claim) => outcome,
        lost = keep(context, &claim) => Err(lost.into()),
    };
    let (of, id) = (claim.subject().clone(), claim.run().id);
    let result = match outcome {
        Ok(Some(versions)) => Ok(versions),
        // Its steps say why.
        Ok(None) => Err(None),
        Err(RefreshFailure::Record(lost)) => {
            warn!(tenant = %of.tenant, kind = %of.kind, name = %of.name, run = %id, error = &lost as &dyn std::error::Error, "a run was given up");
            counter!("freshet_runs_total", "kind" => of.kind.as_str(), "state" => "given_up").increment(1);
            return if matches!(lost, RunError::LeaseLost) { Ok(None) } else { Err(lost.into()) };
        }
        Err(failure) => Err(Some(failure.to_string())),
    };
    let run = match claim.finish(result, context.clock.now()).await {
        Ok(run) => run,
        Err(RunError::LeaseLost) => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    let state = if run.state == RunState::Succeeded { "succeeded" } else { "failed" };
    counter!("freshet_runs_total", "kind" => of.kind.as_str(), "state" => state).increment(1);
    histogram!("freshet_run_seconds", "kind" => of.kind.as_str()).record(started.elapsed());
    info!(tenant = %of.tenant, kind = %of.kind, name = %of.name, run = %id, state, attempts = run.attempts, steps = run.steps.len(), elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX), "a run has ended");
    Ok(Some(run))
}

/// What a run that is claimed is about.
async fn run(context: &RunnerContext, claim: &Claim) -> Result<Option<TableVersions>, RefreshFailure> {
    let Subject { tenant, kind, name } = claim.subject();
    let catalog = context.catalog.snapshot(tenant).await?;
    match kind {
        RunKind::Databases => context.refresher.run_database(&catalog, name, claim).await,
        RunKind::Activations => {
            let activation = catalog.activation(name.as_str()).cloned();
            let activation = activation.ok_or_else(|| RefreshFailure::Gone { what: format!("activation {name}") })?;
            match context.activator.run_activation(&catalog, &activation, claim).await {
                Ok(is_delivered) => Ok(is_delivered.then(TableVersions::new)),
                Err(ActivationError::Record(lost)) => Err(lost.into()),
                // Its step says why.
                Err(_) => Ok(None),
            }
        }
        RunKind::Indexes => {
            let index = catalog.index(name.as_str()).cloned();
            let index = index.ok_or_else(|| RefreshFailure::Gone { what: format!("index {name}") })?;
            let of = IndexRef { tenant: tenant.clone(), id: index.id.clone() };
            note_built(&*context.store, &of).await.map_err(RunError::from)?;
            context.refresher.run_index(&catalog, &index, claim).await
        }
    }
}

/// Renews the lease until that fails for good, and says why.
async fn keep(context: &RunnerContext, claim: &Claim) -> RunError {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match claim.renew(context.clock.now()).await {
            Ok(()) => {}
            Err(failure) if failure.is_temporary() => {
                warn!(error = &failure as &dyn std::error::Error, "a lease can't be renewed at the moment");
            }
            Err(failure) => return failure,
        }
    }
}
