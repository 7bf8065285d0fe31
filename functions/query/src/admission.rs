//! How many queries run at once.

use std::time::Duration;

use freshet_http::Problem;
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};
use tokio::time::timeout;

/// Longest wait for a running query to end, before a caller had better try again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Lets so many queries run, so many more wait for a short while, and refuses the rest.
#[derive(Debug)]
pub(crate) struct Admission {
    running: Semaphore,
    /// Those that run and those that wait.
    present: Semaphore,
}

/// Permission to run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    _running: SemaphorePermit<'a>,
    _present: SemaphorePermit<'a>,
}

impl Admission {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        Self { running: Semaphore::new(running), present: Semaphore::new(running.saturating_add(waiting)) }
    }

    /// Waits for its turn, at most so long.
    pub(crate) async fn admit(&self, at_most: Duration) -> Result<Admitted<'_>, Problem> {
        let present = match self.present.try_acquire() {
            Ok(present) => present,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return Err(busy()),
        };
        match timeout(at_most.min(LONGEST_WAIT), self.running.acquire()).await {
            Ok(Ok(running)) => Ok(Admitted { _running: running, _present: present }),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }
}

fn busy() -> Problem {
    Problem::unavailable("as many queries are running as may at once; try again", LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn some_run_some_wait_and_the_rest_is_refused() {
        let admission = Admission::new(1, 1);
        let first = admission.admit(Duration::from_mins(1)).await.unwrap();
        // The second waits, and so the third is refused at once; the second is, after its wait.
        let (second, third) =
            tokio::join!(admission.admit(Duration::from_millis(20)), admission.admit(Duration::from_mins(1)));
        let refusal = second.unwrap_err();
        assert_eq!(refusal.status(), 503);
        assert_eq!(refusal.retry_after(), Some(LONGEST_WAIT));
        assert_eq!(third.unwrap_err().detail(), refusal.detail());
        drop(first);
        admission.admit(Duration::ZERO).await.unwrap();
    }
}
