//! When an index is refreshed without anyone asking.

use std::time::Duration;

use freshet_model::{IndexDefinition, Refresh};
use freshet_refresh::fingerprint;
use freshet_runs::{LastRun, Trigger};
use jiff::{SignedDuration, Timestamp};

/// After a refresh that took this share of the time since it began, the next may begin: refreshes take at most a sixth of a runner.
const REST_PER_WORK: i32 = 5;
/// Shortest distance between the end of a refresh and the next.
const LEAST_REST: SignedDuration = SignedDuration::from_secs(2);
/// Distance to the next after one that failed; it doubles with each.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Longest such distance.
const LONGEST_RETRY: Duration = Duration::from_mins(10);

/// What a look at an index found.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    pub(crate) definition: &'a IndexDefinition,
    pub(crate) last: Option<&'a LastRun>,
    pub(crate) created_at: Timestamp,
    pub(crate) now: Timestamp,
}

/// Whether an index is due, as far as that can be said without a look at its tables.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It is, for this reason.
    Now(Trigger),
    /// It is if one of its tables has changed.
    IfChanged,
    /// It is not.
    No,
}

impl Look<'_> {
    pub(crate) fn due(&self) -> Due {
        if self.definition.refresh == Refresh::Manual || self.rests() {
            return Due::No;
        }
        let (name, text) = fingerprint(self.definition);
        if self.last.is_none_or(|last| last.inputs.get(&name) != Some(&text)) {
            return Due::Now(Trigger::Definition);
        }
        match &self.definition.refresh {
            Refresh::Cron(line) => {
                let since = self.last.map_or(self.created_at, |last| last.started_at);
                let is_due = line.next_after(since).is_some_and(|next| next <= self.now);
                if is_due { Due::Now(Trigger::Schedule) } else { Due::No }
            }
            Refresh::Commit => Due::IfChanged,
            Refresh::Manual => Due::No,
        }
    }

    /// Whether the last refresh is too near.
    fn rests(&self) -> bool {
        let Some(last) = self.last else { return false };
        let rest = if last.failures > 0 {
            let retry = FIRST_RETRY.saturating_mul(1 << (last.failures - 1).min(16)).min(LONGEST_RETRY);
            SignedDuration::try_from(retry).unwrap_or(SignedDuration::MAX)
        } else {
            last.duration().saturating_mul(REST_PER_WORK).max(LEAST_REST)
        };
        self.now.duration_since(last.ended_at) < rest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use freshet_runs::{RunId, RunState};
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        // A whole hour.
        Timestamp::from_second(1_780_000_000 / 3_600 * 3_600 + seconds).unwrap()
    }

    fn index(refresh: &str) -> IndexDefinition {
        let document = json!({"database": "d", "query": "SELECT 1 AS id", "key": "id", "refresh": refresh});
        IndexDefinition::read("", &document).unwrap()
    }

    fn last(definition: &IndexDefinition, started: i64, ended: i64, failures: u32) -> LastRun {
        LastRun {
            id: "01900000-0000-7000-8000-000000000000".parse::<RunId>().unwrap(),
            state: if failures == 0 { RunState::Succeeded } else { RunState::Failed },
            started_at: at(started),
            ended_at: at(ended),
            failures,
            inputs: BTreeMap::from([fingerprint(definition)]),
        }
    }

    #[rstest]
    #[case::never_built("commit", None, 0, Due::Now(Trigger::Definition))]
    #[case::never_built_by_cron("0 * * * *", None, 0, Due::Now(Trigger::Definition))]
    #[case::never_by_itself("manual", None, 0, Due::No)]
    #[case::just_refreshed("commit", Some((0, 0, 0)), 1, Due::No)]
    #[case::rested("commit", Some((0, 0, 0)), 2, Due::IfChanged)]
    #[case::a_long_one("commit", Some((0, 10, 0)), 59, Due::No)]
    #[case::a_long_one_rested("commit", Some((0, 10, 0)), 60, Due::IfChanged)]
    #[case::failed_once("commit", Some((0, 1, 1)), 5, Due::No)]
    #[case::tried_again("commit", Some((0, 1, 1)), 6, Due::IfChanged)]
    #[case::failed_often("commit", Some((0, 0, 30)), 599, Due::No)]
    #[case::tried_at_last("commit", Some((0, 0, 30)), 600, Due::IfChanged)]
    #[case::not_yet("0 * * * *", Some((1, 2, 0)), 3_599, Due::No)]
    #[case::on_time("0 * * * *", Some((1, 2, 0)), 3_600, Due::Now(Trigger::Schedule))]
    fn when_it_is_due(#[case] refresh: &str, #[case] ran: Option<(i64, i64, u32)>, #[case] now: i64, #[case] due: Due) {
        let definition = index(refresh);
        let last = ran.map(|(started, ended, failures)| last(&definition, started, ended, failures));
        let look = Look { definition: &definition, last: last.as_ref(), created_at: at(0), now: at(now) };
        assert_eq!(look.due(), due);
    }

    #[test]
    fn a_changed_definition_is_built_at_once() {
        let (before, after) = (index("commit"), IndexDefinition { key: "other".parse_key(), ..index("commit") });
        let last = last(&before, 0, 0, 0);
        let look = Look { definition: &after, last: Some(&last), created_at: at(0), now: at(10) };
        assert_eq!(look.due(), Due::Now(Trigger::Definition));
    }

    trait Key {
        fn parse_key(&self) -> freshet_model::ColumnName;
    }

    impl Key for str {
        fn parse_key(&self) -> freshet_model::ColumnName {
            freshet_model::ColumnName::parse(self).unwrap()
        }
    }
}
