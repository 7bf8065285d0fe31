//! Where time comes from.

use std::fmt;
use std::sync::Arc;

use jiff::{Timestamp, TimestampRound, Unit};

/// The clock of a context: the system's, or one that a test moves. Times are UTC in whole microseconds, which is what
/// tables hold.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock of one's own.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let exact = (self.0)();
        let round = TimestampRound::new().smallest(Unit::Microsecond).mode(jiff::RoundMode::Floor);
        exact.round(round).unwrap_or(exact)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_whole_microseconds() {
        let clock = Clock::from_fn(|| Timestamp::from_nanosecond(1_999).unwrap());
        assert_eq!(clock.now().as_nanosecond(), 1_000);
    }
}
