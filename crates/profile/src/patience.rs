//! Trying again what a store could not do now: load slows a refresh down, and ends it only when it lasts.

use std::time::Duration;

use freshet_store::{BatchWrite, Store, StoreError};
use tokio::time::Instant;

/// How long the same is tried.
const LIMIT: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// For how long something has been tried, and how often.
#[derive(Debug)]
pub(crate) struct Patience {
    since: Instant,
    attempts: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { since: Instant::now(), attempts: 0 }
    }
}

impl Patience {
    /// Waits before the next attempt, for a random time that grows.
    ///
    /// # Errors
    /// The one given, where it has been tried for too long.
    pub(crate) async fn wait(&mut self, error: StoreError) -> Result<(), StoreError> {
        if self.since.elapsed() > LIMIT {
            return Err(error);
        }
        let longest = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(16)).min(MAX_PAUSE);
        self.attempts += 1;
        tracing::debug!(
            attempts = self.attempts,
            error = &error as &dyn std::error::Error,
            "what the store could not do is tried again"
        );
        tokio::time::sleep(rand::random_range(Duration::ZERO..=longest)).await;
        Ok(())
    }
}

/// Writes a batch, which `groups` makes anew for each attempt.
pub(crate) async fn write_batch(
    store: &dyn Store,
    groups: impl Fn() -> Vec<Vec<BatchWrite>>,
) -> Result<(), StoreError> {
    let mut patience = Patience::default();
    loop {
        match store.batch_write(groups()).await {
            Err(error) if error.is_temporary() => patience.wait(error).await?,
            outcome => return outcome,
        }
    }
}
