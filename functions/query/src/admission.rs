//! How many queries run at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freshet_http::Problem;
use freshet_model::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::timeout;

/// Longest wait for a running query to end, before a caller had better try again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Lets so many queries run, so many more wait for a short while, and refuses the rest. A tenant has three quarters of
/// the places at most, so that there is one for the others.
#[derive(Debug)]
pub(crate) struct Admission {
    all: Places,
    running: usize,
    present: usize,
    /// Of the tenants that have a query here.
    tenants: Mutex<HashMap<TenantId, Places>>,
}

#[derive(Debug, Clone)]
struct Places {
    running: Arc<Semaphore>,
    /// Those that run, those that wait, and those whose answer is being sent.
    present: Arc<Semaphore>,
}

/// Permission to be here.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) running: Running,
    pub(crate) present: Present,
}

/// Permission to run, until it is dropped: until the query's work has ended.
#[derive(Debug)]
pub(crate) struct Running(#[expect(dead_code, reason = "held")] [OwnedSemaphorePermit; 2]);

/// Permission to hold an answer, until it is dropped: until the answer was sent. Callers who take theirs slowly leave places
/// to run to others, and don't fill the memory.
#[derive(Debug)]
pub(crate) struct Present(#[expect(dead_code, reason = "held")] [OwnedSemaphorePermit; 2]);

impl Admission {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        let present = running.saturating_add(waiting);
        Self { all: Places::new(running, present), running, present, tenants: Mutex::default() }
    }

    /// Waits for its turn, at most so long.
    pub(crate) async fn admit(&self, tenant: &TenantId, at_most: Duration) -> Result<Admitted, Problem> {
        let of_tenant = self.places_of(tenant);
        let present = [of_tenant.enter()?, self.all.enter()?];
        let turn = async { Ok([of_tenant.turn().await?, self.all.turn().await?]) };
        match timeout(at_most.min(LONGEST_WAIT), turn).await {
            Ok(running) => Ok(Admitted { running: Running(running?), present: Present(present) }),
            Err(_elapsed) => Err(busy()),
        }
    }

    fn places_of(&self, tenant: &TenantId) -> Places {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let (running, present) = (share(self.running), share(self.present));
        // Places that nobody has taken, or is about to, are forgotten.
        tenants
            .retain(|_, places| places.present.available_permits() < present || Arc::strong_count(&places.present) > 1);
        tenants.entry(tenant.clone()).or_insert_with(|| Places::new(running, present)).clone()
    }
}

impl Places {
    fn new(running: usize, present: usize) -> Self {
        Self { running: Arc::new(Semaphore::new(running)), present: Arc::new(Semaphore::new(present)) }
    }

    fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.present).try_acquire_owned().map_err(|refusal| match refusal {
            TryAcquireError::NoPermits | TryAcquireError::Closed => busy(),
        })
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.running).acquire_owned().await.map_err(|_closed| busy())
    }
}

/// Three quarters, rounded up.
fn share(places: usize) -> usize {
    places - places / 4
}

fn busy() -> Problem {
    Problem::unavailable("as many queries are running as may at once; try again", LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn some_run_some_wait_and_the_rest_is_refused() {
        let (admission, shop) = (Admission::new(1, 1), tenant("shop"));
        let first = admission.admit(&shop, Duration::from_mins(1)).await.unwrap();
        // The second waits, and so the third is refused at once; the second is, after its wait.
        let (second, third) = tokio::join!(
            admission.admit(&shop, Duration::from_millis(20)),
            admission.admit(&shop, Duration::from_mins(1))
        );
        let refusal = second.unwrap_err();
        assert_eq!(refusal.status(), 503);
        assert_eq!(refusal.retry_after(), Some(LONGEST_WAIT));
        assert_eq!(third.unwrap_err().detail(), refusal.detail());
        drop(first);
        admission.admit(&shop, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_is_being_sent_takes_the_place_of_one_that_waits() {
        let (admission, shop) = (Admission::new(1, 1), tenant("shop"));
        let Admitted { running, present } = admission.admit(&shop, Duration::ZERO).await.unwrap();
        drop(running);
        let second = admission.admit(&shop, Duration::ZERO).await.unwrap();
        admission.admit(&shop, Duration::ZERO).await.unwrap_err();
        drop(present);
        drop(second.running);
        admission.admit(&shop, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_tenant_leaves_places_to_others() {
        let (admission, greedy, other) = (Admission::new(4, 16), tenant("greedy"), tenant("other"));
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(admission.admit(&greedy, Duration::ZERO).await.unwrap());
        }
        admission.admit(&greedy, Duration::from_millis(1)).await.unwrap_err();
        drop(admission.admit(&other, Duration::ZERO).await.unwrap());
        // Those that wait don't fill the places either.
        let waiting = futures::future::join_all((0..20).map(|_| admission.admit(&greedy, Duration::from_millis(50))));
        let (waited, admitted) = tokio::join!(waiting, admission.admit(&other, Duration::from_millis(20)));
        assert!(waited.iter().all(Result::is_err));
        admitted.unwrap();
        drop(running);
        admission.admit(&greedy, Duration::ZERO).await.unwrap();
        assert_eq!(admission.tenants.lock().unwrap().len(), 1);
    }
}
