//! The runner: does the runs of databases, profile indexes and activations that were asked for or are due.
//!
//! Promises: a run goes on with its lease as long as its runner lives, and is another's once it doesn't; an index is refreshed when a
//! table that it reads has changed, by its cron line, or when someone asks, as its definition says; refreshes that keep failing come
//! at growing distances; what no reader can be on any more is removed.
//!
//! Data goes: the catalog and how the last runs ended → which indexes are due (`due`) → runs are started → and claimed, one after
//! the other → [`freshet_refresh`] or [`freshet_activation`] does them → their records.
//!
//! In one process [`run_loop`] does this all the time; on Lambda a schedule invokes [`work`] every minute.

mod context;
mod due;
mod error;
mod handler;
mod housekeeping;

pub use context::{RunnerContext, RunnerLimits};
pub use error::RunnerError;
pub use handler::{Worked, run_loop, work};
