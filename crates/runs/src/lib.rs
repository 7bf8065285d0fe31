//! Runs: work on a resource that takes longer than a request, recorded, and done by one runner at a time.
//!
//! Whoever wants a database, a profile index or an activation to be run [starts](Runs::start) a run, which is then queued. A runner [claims](Runs::claim)
//! it with a lease, [renews](Claim::renew) the lease while it works, records its steps, and [finishes](Claim::finish) it.
//!
//! What it promises:
//! - Of one resource at most one run is under way, and at most one more is queued: who asks for another while one is queued gets that
//!   one, which begins after the request and so sees all that came before it.
//! - A run whose runner dies is claimed again once its lease has expired, [`MAX_ATTEMPTS`] times; then it has failed, and says so.
//! - A runner that has lost its lease learns of it ([`RunError::LeaseLost`]) with its next write, and changes nothing any more.
//! - What is kept is bounded: the newest [`KEPT_RUNS`] runs of a resource, of each at most [`MAX_STEPS`] steps.
//!
//! Data goes: a request → one item a run, and one item a resource that says which run is queued and who holds the lease of which,
//! written in one transaction → claims compare and swap that item → at the end it goes, and how the last run ended stays.
//!
//! A crash leaves, after a start: a queued run. After a claim: a lease that expires. Between two steps: the steps that were recorded,
//! which the next attempt begins anew. A finish is one transaction.

mod claim;
mod error;
mod keys;
mod run;
mod runs;

pub use claim::Claim;
pub use error::RunError;
pub use run::{Counts, LastRun, Outcome, Run, RunId, RunKind, RunState, Step, StepState, Subject, Trigger};
pub use runs::{RunPage, Runs};

/// How often a run is claimed until it has failed.
pub const MAX_ATTEMPTS: u32 = 5;
/// Runs of a resource that are kept.
pub const KEPT_RUNS: usize = 50;
/// Most steps of a run.
pub const MAX_STEPS: usize = 200;
/// Most bytes of a message.
pub const MAX_MESSAGE_BYTES: usize = 1_000;
