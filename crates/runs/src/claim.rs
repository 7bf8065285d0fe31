//! A run that a runner works on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use freshet_store::{Condition, StoreError, Write};
use jiff::{SignedDuration, Timestamp};

use crate::run::capped;
use crate::runs::{Held, Open, encode, is};
use crate::{LastRun, Outcome, Run, RunError, RunState, Runs, Subject, keys};

/// A run that is claimed. Dropped without [`Claim::finish`], it is claimed by another runner once its lease has expired.
#[derive(Debug)]
pub struct Claim {
    runs: Runs,
    of: Subject,
    run: Mutex<Run>,
    holder: String,
    lease: SignedDuration,
}

impl Claim {
    pub(crate) fn new(runs: Runs, of: Subject, run: Run, holder: String, lease: SignedDuration) -> Self {
        Self { runs, of, run: Mutex::new(run), holder, lease }
    }

    /// What is run.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.of
    }

    /// What is recorded of the run.
    #[must_use]
    pub fn run(&self) -> Run {
        self.recorded().clone()
    }

    /// Holds the run for another lease from `now` on.
    ///
    /// # Errors
    /// [`RunError::LeaseLost`], or the store can't be read or written.
    pub async fn renew(&self, now: Timestamp) -> Result<(), RunError> {
        self.write(now, |_| Ok(Vec::new())).await
    }

    /// Records that a step has begun, and renews the lease.
    ///
    /// # Errors
    /// As [`Self::renew`].
    pub async fn begin_step(&self, name: &str, now: Timestamp) -> Result<(), RunError> {
        self.recorded().begin_step(name, now);
        self.record(now).await
    }

    /// Records how a step ended, and renews the lease.
    ///
    /// # Errors
    /// As [`Self::renew`].
    pub async fn end_step(&self, name: &str, outcome: Outcome, now: Timestamp) -> Result<(), RunError> {
        self.recorded().end_step(name, outcome, now);
        self.record(now).await
    }

    /// Ends the run: with what it read, or with what made it fail besides its steps.
    ///
    /// # Errors
    /// As [`Self::renew`].
    pub async fn finish(
        self,
        outcome: Result<BTreeMap<String, String>, Option<String>>,
        now: Timestamp,
    ) -> Result<Run, RunError> {
        let (inputs, error) = match outcome {
            Ok(inputs) => (Some(inputs), None),
            Err(error) => (None, error.map(|error| capped(&error))),
        };
        {
            let mut run = self.recorded();
            run.state = if inputs.is_some() { RunState::Succeeded } else { RunState::Failed };
            (run.ended_at, run.error) = (Some(now), error);
        }
        let last = ended(&self.runs, &self.of, &self.run(), inputs, now).await?;
        self.write(now, |open| {
            open.held = None;
            Ok(vec![self.put()?, last.clone()])
        })
        .await?;
        Ok(self.run())
    }

    fn recorded(&self) -> MutexGuard<'_, Run> {
        // A panic elsewhere leaves the record whole: it is changed by single steps.
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn record(&self, now: Timestamp) -> Result<(), RunError> {
        self.write(now, |_| Ok(vec![self.put()?])).await
    }

    fn put(&self) -> Result<Write, RunError> {
        let run = self.recorded();
        let (key, value) = (keys::run(&self.of, run.id), encode(&*run)?);
        Ok(Write::Put { key, value, condition: Condition::Any })
    }

    /// Writes, together with the renewed lease, if it is still held.
    async fn write(
        &self,
        now: Timestamp,
        writes: impl Fn(&mut Open) -> Result<Vec<Write>, RunError>,
    ) -> Result<(), RunError> {
        let (id, attempts) = {
            let run = self.recorded();
            (run.id, run.attempts)
        };
        loop {
            let (mut open, version) = self.runs.open(&self.of).await?;
            let is_mine = |held: &Held| held.run == id && held.holder == self.holder && held.attempts == attempts;
            let Some(held) = open.held.as_mut().filter(|held| is_mine(held)) else {
                return Err(RunError::LeaseLost);
            };
            held.until = now.checked_add(self.lease).unwrap_or(Timestamp::MAX);
            let mut all = writes(&mut open)?;
            all.push(open.write(&self.of, is(version))?);
            match self.runs.store.transact(all).await {
                Ok(()) => return Ok(()),
                // Another run was queued meanwhile, or the lease is lost: the next round tells.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The write that keeps how a resource's last run ended. What an earlier run read stays where this one failed.
pub(crate) async fn ended(
    runs: &Runs,
    of: &Subject,
    run: &Run,
    inputs: Option<BTreeMap<String, String>>,
    now: Timestamp,
) -> Result<Write, RunError> {
    let before = runs.last(of).await?;
    let failures = if inputs.is_some() { 0 } else { before.as_ref().map_or(0, |last| last.failures).saturating_add(1) };
    let last = LastRun {
        id: run.id,
        state: run.state,
        started_at: run.started_at.unwrap_or(now),
        ended_at: now,
        failures,
        inputs: inputs.or_else(|| before.map(|last| last.inputs)).unwrap_or_default(),
    };
    Ok(Write::Put { key: keys::last(of), value: encode(&last)?, condition: Condition::Any })
}
