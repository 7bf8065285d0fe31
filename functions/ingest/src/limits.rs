//! What a request may be, and how much all requests together may hold in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freshet_http::Problem;
use freshet_model::TenantId;

/// Most bytes of a body as it is sent: what fits through a Lambda event in any encoding (6 MB, of which base64 takes a third).
pub const MAX_BODY_BYTES: usize = 4 * 1_024 * 1_024;
/// Most bytes of a body after decompression.
pub const MAX_DECOMPRESSED_BYTES: usize = 16 * 1_024 * 1_024;
/// Most bytes of one record; below what a Kafka broker takes by default (1 MiB), with room for headers.
pub const MAX_RECORD_BYTES: usize = 1_000_000;
/// Most records of one request.
pub const MAX_RECORDS: usize = 10_000;

/// When to try again after the queue, the store or memory was not available.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What one process allows all requests together, and the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestLimits {
    /// Most bytes that the bodies of all requests may hold in memory together; those of one tenant, a quarter of it.
    pub in_flight_bytes: usize,
    /// How long the queue may take to acknowledge.
    pub append_time: Duration,
}

impl Default for IngestLimits {
    /// 256 MiB; and 10 s, well within the 29 s that a gateway gives a request.
    fn default() -> Self {
        Self { in_flight_bytes: 256 * 1_024 * 1_024, append_time: Duration::from_secs(10) }
    }
}

/// How many tenants it takes at least to use up the memory: a tenant gets at most this part of it, so that none keeps the
/// others out. A quarter of the default is room for the largest body (8 MiB as it comes, 32 MiB decompressed).
const SHARES: usize = 4;
/// What a request takes besides its body: its head and the connection's buffers.
const REQUEST_BYTES: usize = 16 * 1_024;

/// The memory that requests' bodies may hold together. A request that finds none is refused at once: waiting would hold
/// what it has.
#[derive(Debug, Clone)]
pub(crate) struct Memory(Arc<Accounts>);

#[derive(Debug)]
struct Accounts {
    most: usize,
    most_of_tenant: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    by_tenant: HashMap<TenantId, usize>,
}

/// Memory that a request holds until it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    memory: Memory,
    tenant: TenantId,
    bytes: usize,
}

impl Memory {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Accounts { most: bytes, most_of_tenant: bytes / SHARES, held: Mutex::default() }))
    }

    /// Reserves what a request of a tenant takes before anything of its body came.
    ///
    /// # Errors
    /// As [`Reserved::grow`].
    pub(crate) fn of_request(&self, tenant: &TenantId) -> Result<Reserved, Problem> {
        let mut reserved = Reserved { memory: self.clone(), tenant: tenant.clone(), bytes: 0 };
        reserved.grow(REQUEST_BYTES)?;
        Ok(reserved)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// Reserves so many bytes more.
    ///
    /// # Errors
    /// 429 where the tenant's requests hold its share already, 503 where all requests together hold too much; both with
    /// `Retry-After`.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let accounts = &self.memory.0;
        let mut held = self.memory.held();
        let of_tenant = held.by_tenant.get(&self.tenant).copied().unwrap_or_default().saturating_add(bytes);
        let of_all = held.bytes.saturating_add(bytes);
        if of_tenant > accounts.most_of_tenant {
            return Err(Problem::too_many_requests(
                format!(
                    "too many requests of tenant {} are being taken in at the moment; nothing was queued",
                    self.tenant
                ),
                RETRY_AFTER,
            ));
        }
        if of_all > accounts.most {
            return Err(Problem::unavailable(
                "too many requests are being taken in at the moment; nothing was queued",
                RETRY_AFTER,
            ));
        }
        held.bytes = of_all;
        held.by_tenant.insert(self.tenant.clone(), of_tenant);
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut held = self.memory.held();
        held.bytes = held.bytes.saturating_sub(self.bytes);
        if let Entry::Occupied(mut of_tenant) = held.by_tenant.entry(self.tenant.clone()) {
            let left = of_tenant.get().saturating_sub(self.bytes);
            if left == 0 {
                of_tenant.remove();
            } else {
                of_tenant.insert(left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use freshet_http::ProblemKind;

    use super::*;

    fn tenant(number: usize) -> TenantId {
        TenantId::parse(&format!("tenant-{number}")).unwrap()
    }

    #[test]
    fn a_tenant_gets_its_share_and_others_go_on_until_all_is_held() {
        let memory = Memory::of(4 * SHARES * REQUEST_BYTES + REQUEST_BYTES);
        let mut held = Vec::new();
        for number in 0..SHARES {
            held.extend((0..4).map(|_| memory.of_request(&tenant(number)).unwrap()));
            let refused = memory.of_request(&tenant(number)).unwrap_err();
            assert_eq!(refused.kind(), ProblemKind::TooManyRequests);
        }
        let mut last = memory.of_request(&tenant(SHARES)).unwrap();
        let refused = memory.of_request(&tenant(SHARES + 1)).unwrap_err();
        assert_eq!(refused.kind(), ProblemKind::Unavailable);
        assert_eq!(last.grow(1).unwrap_err().kind(), ProblemKind::Unavailable);

        held.pop();
        last.grow(REQUEST_BYTES).unwrap();
        held.clear();
        drop(last);
        let left = memory.held();
        assert_eq!((left.bytes, left.by_tenant.len()), (0, 0), "what was refused holds nothing");
    }

    #[test]
    fn what_no_number_can_count_is_refused() {
        let mut reserved = Memory::of(usize::MAX).of_request(&tenant(0)).unwrap();
        assert_eq!(reserved.grow(usize::MAX).unwrap_err().kind(), ProblemKind::TooManyRequests);
    }

    #[test]
    fn the_largest_request_fits_in_the_share_of_a_tenant() {
        let mut reserved = Memory::of(IngestLimits::default().in_flight_bytes).of_request(&tenant(0)).unwrap();
        assert!(reserved.grow(2 * (MAX_BODY_BYTES + MAX_DECOMPRESSED_BYTES)).is_ok());
    }
}
