//! Schedules, as cron writes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

/// Longest line, in bytes.
const MAX_BYTES: usize = 256;

/// A line of cron's five fields (minute, hour, day of the month, month, day of the week), in UTC: `30 2 * * *`. Its times
/// come: a line that none fits, as `0 0 31 2 *`, is no [`CronLine`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CronLine {
    text: Arc<str>,
    cron: Arc<Cron>,
}

impl CronLine {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first time after another, which is a whole minute; none: the line's times lie before it.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        next(&self.cron, time)
    }
}

fn next(cron: &Cron, time: Timestamp) -> Option<Timestamp> {
    cron.find_next_occurrence(&time.to_zoned(TimeZone::UTC), false).ok().map(|found| found.timestamp())
}

impl FromStr for CronLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| {
            format!(
                "{why}; a cron line has five fields in UTC: minute, hour, day of the month, month, day of the week, as 30 2 * * *"
            )
        };
        if text.len() > MAX_BYTES {
            return Err(wrong("longer than 256 bytes"));
        }
        let fields = text.split_whitespace().count();
        if fields != 5 {
            return Err(wrong(&format!("{text:?} has {fields} fields")));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|refusal| {
            let reason = refusal.to_string();
            wrong(&format!("{text:?} can't be read ({})", reason.trim_end_matches('.')))
        })?;
        if next(&cron, Timestamp::UNIX_EPOCH).is_none() {
            return Err(wrong(&format!("{text:?} names a time that never comes")));
        }
        Ok(Self { text: Arc::from(text), cron: Arc::new(cron) })
    }
}

impl fmt::Display for CronLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CronLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

impl Serialize for CronLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("30 2 * * *", "2026-06-14T02:29:59.5Z", "2026-06-14T02:30:00Z")]
    #[case("30 2 * * *", "2026-06-14T02:30:00Z", "2026-06-15T02:30:00Z")]
    #[case("*/15 * * * *", "2026-06-14T23:50:00Z", "2026-06-15T00:00:00Z")]
    #[case("0 0 29 2 *", "2026-06-14T00:00:00Z", "2028-02-29T00:00:00Z")]
    #[case("0 6 * * MON", "2026-06-14T00:00:00Z", "2026-06-15T06:00:00Z")]
    fn the_next_time_is_told(#[case] line: &str, #[case] after: &str, #[case] expected: &str) {
        let line: CronLine = line.parse().unwrap();
        assert_eq!(line.next_after(after.parse().unwrap()), Some(expected.parse().unwrap()));
    }

    #[rstest]
    #[case("", "has 0 fields")]
    #[case("@daily", "has 1 fields")]
    #[case("0 30 2 * * *", "has 6 fields")]
    #[case("60 2 * * *", "can't be read")]
    #[case("a b c d e", "can't be read")]
    #[case("0 0 31 2 *", "never comes")]
    fn a_line_that_is_none_is_refused(#[case] text: &str, #[case] says: &str) {
        let refusal = text.parse::<CronLine>().unwrap_err();
        assert!(refusal.contains(says) && refusal.contains("five fields"), "{refusal}");
        assert!(("* ".repeat(200)).parse::<CronLine>().is_err());
    }
}
