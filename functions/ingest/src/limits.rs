//! What a request may be, and how much all requests together may hold in memory.

use std::sync::Arc;
use std::time::Duration;

use freshet_http::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    /// Most bytes that the bodies of all requests may hold in memory together.
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

/// A unit of accounting: semaphores count to 2^32 only.
const KIBIBYTE: usize = 1_024;

/// The memory that requests' bodies may hold together. A request that finds none is refused at once: waiting would hold what it has.
#[derive(Debug, Clone)]
pub(crate) struct Memory(Arc<Semaphore>);

/// Memory that a request holds until it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved(OwnedSemaphorePermit);

impl Reserved {
    /// Both together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.merge(other.0);
        self
    }
}

impl Memory {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / KIBIBYTE).min(Semaphore::MAX_PERMITS))))
    }

    /// Reserves memory for so many bytes, and a little for the request itself.
    ///
    /// # Errors
    /// 503 with `Retry-After` where too much is held already.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Reserved, Problem> {
        let kibibytes = u32::try_from(bytes / KIBIBYTE + 1).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(kibibytes).map(Reserved).map_err(|_none_left| {
            Problem::unavailable("too many requests are being taken in at the moment; nothing was queued", RETRY_AFTER)
        })
    }
}
