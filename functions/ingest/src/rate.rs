//! Limits of records a second, a token bucket a stream.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use freshet_model::{StreamId, TenantId};
use jiff::Timestamp;

use crate::limits::MAX_RECORDS;

/// How much an idle stream may save up: what it may take at once, in terms of its rate.
const BURST: Duration = Duration::from_secs(1);
/// From so many buckets on, full ones are dropped now and then: a full bucket is as good as none.
const KEPT_BUCKETS: usize = 4_096;

/// The limits of records a second of the streams, in this process.
///
/// A stream's bucket holds one second's records. A request is admitted while there is anything in the bucket, and then takes
/// all its records, into debt if need be: a request of any size passes at some time, and over any while the stream gets no
/// more than its rate, a second's records and one request.
#[derive(Debug, Default)]
pub(crate) struct RateLimits {
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    /// When each stream's bucket will be full again; all that there is to know of it (the generic cell rate algorithm).
    full_at: HashMap<(TenantId, StreamId), Timestamp>,
    /// At how many buckets the next full ones are dropped.
    next_sweep: usize,
}

impl RateLimits {
    /// Takes `records` of a stream limited to `rate` records a second. With 0 it only looks whether a request would pass.
    ///
    /// # Errors
    /// How long until a request passes.
    pub(crate) fn take(
        &self,
        tenant: &TenantId,
        stream: &StreamId,
        rate: u32,
        records: usize,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.sweep(now);
        let full_at = buckets.full_at.entry((tenant.clone(), stream.clone())).or_insert(now);
        let missing = Duration::try_from(full_at.duration_since(now)).unwrap_or_default();
        // More can't be missing, unless the clock went back; that must not shut a stream out.
        let owed = missing.min(BURST + time_of(MAX_RECORDS, rate));
        let refused = owed.checked_sub(BURST).map(|wait| wait + Duration::from_nanos(1));
        let taken = if refused.is_none() { time_of(records, rate) } else { Duration::ZERO };
        *full_at = now.saturating_add(owed + taken).unwrap_or(Timestamp::MAX);
        refused.map_or(Ok(()), Err)
    }
}

impl Buckets {
    fn sweep(&mut self, now: Timestamp) {
        if self.full_at.len() >= self.next_sweep.max(KEPT_BUCKETS) {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.next_sweep = self.full_at.len().saturating_mul(2);
        }
    }
}

/// How long a stream of `rate` records a second needs for these records.
fn time_of(records: usize, rate: u32) -> Duration {
    let nanoseconds = u64::try_from(records).unwrap_or(u64::MAX).saturating_mul(1_000_000_000) / u64::from(rate.max(1));
    Duration::from_nanos(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stream(RateLimits);

    impl Stream {
        fn take(&self, records: usize, milliseconds: i64) -> Result<(), Duration> {
            let tenant = TenantId::parse("acme").unwrap();
            let stream = StreamId::parse("is-2hzqsgX1E").unwrap();
            self.0.take(&tenant, &stream, 100, records, Timestamp::from_millisecond(milliseconds).unwrap())
        }
    }

    fn stream() -> Stream {
        Stream(RateLimits::default())
    }

    #[test]
    fn a_request_larger_than_the_rate_passes_and_is_paid_off_afterwards() {
        let stream = stream();
        assert_eq!(stream.take(1_000, 0), Ok(()));
        let wait = stream.take(1, 0).unwrap_err();
        assert_eq!(wait.as_millis(), 9_000, "900 of 1,000 at 100 a second are owed");
        assert!(stream.take(1, 9_000).is_err());
        assert_eq!(stream.take(1, 9_001), Ok(()));
    }

    #[test]
    fn an_idle_stream_saves_no_more_than_a_second() {
        let stream = stream();
        assert_eq!(stream.take(100, 0), Ok(()));
        assert_eq!(stream.take(100, 60_000), Ok(()));
        assert!(stream.take(1, 60_000).is_err());
    }

    #[test]
    fn over_a_while_a_stream_gets_its_rate() {
        let stream = stream();
        let passed = (0..10_000).filter(|millisecond| stream.take(10, *millisecond).is_ok()).count();
        assert!((109..=111).contains(&passed), "10 s and a full bucket are 1,100 records: {passed} times 10");
    }

    #[test]
    fn looking_takes_nothing() {
        let stream = stream();
        for _ in 0..1_000 {
            assert_eq!(stream.take(0, 0), Ok(()));
        }
        assert_eq!(stream.take(100, 0), Ok(()));
        assert!(stream.take(0, 0).is_err());
    }

    #[test]
    fn a_clock_that_goes_back_a_little_gives_nothing() {
        let stream = stream();
        assert_eq!(stream.take(100, 10_000), Ok(()));
        assert!(stream.take(1, 9_000).is_err());
        assert!(stream.take(1, 10_000).is_err());
        assert_eq!(stream.take(1, 10_001), Ok(()));
    }

    #[test]
    fn a_clock_that_was_years_ahead_shuts_a_stream_out_no_longer_than_the_largest_request() {
        let stream = stream();
        assert_eq!(stream.take(100, 1_000_000_000_000), Ok(()));
        assert_eq!(stream.take(1, 0).unwrap_err().as_secs(), 100);
        assert!(stream.take(1, 100_000).is_err());
        assert_eq!(stream.take(1, 100_001), Ok(()));
    }

    #[test]
    fn streams_that_rest_are_forgotten_and_debts_are_not() {
        let limits = RateLimits::default();
        let tenant = TenantId::parse("acme").unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        for bits in 0..u128::try_from(KEPT_BUCKETS).unwrap() {
            let records = if bits == 7 { MAX_RECORDS } else { 1 };
            limits.take(&tenant, &StreamId::from_random_bits(bits), 100, records, at(0)).unwrap();
        }
        limits.take(&tenant, &StreamId::from_random_bits(u128::MAX), 100, 1, at(60)).unwrap();
        assert_eq!(limits.buckets.lock().unwrap().full_at.len(), 2);
        assert!(limits.take(&tenant, &StreamId::from_random_bits(7), 100, 1, at(60)).is_err());
    }
}
