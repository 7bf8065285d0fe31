//! Which sort keys a query's next page may hold, the same for both stores.

use std::ops::Bound;

use crate::{Direction, Query};

/// The sort keys that are left of a query's range.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Window<'a> {
    /// Included, or excluded where a page before ended.
    pub(crate) lower: Bound<&'a str>,
    /// Sort keys below this one only.
    pub(crate) upper: Option<&'a str>,
}

impl<'a> Window<'a> {
    /// What a query's next page is of, with [`Query::after`] taken in; none: nothing can be there.
    pub(crate) fn of(query: &'a Query) -> Option<Self> {
        let from = query.from.as_str();
        let until = query.until.as_deref();
        let after = query.after.as_deref();
        let window = match (query.direction, after) {
            (Direction::Forward, Some(after)) if after >= from => Self { lower: Bound::Excluded(after), upper: until },
            (Direction::Backward, Some(after)) if until.is_none_or(|until| after < until) => {
                Self { lower: Bound::Included(from), upper: Some(after) }
            }
            _ => Self { lower: Bound::Included(from), upper: until },
        };
        let is_empty = window.upper.is_some_and(|upper| upper <= window.least());
        (!is_empty).then_some(window)
    }

    /// The lower bound, whether included or not; empty: there is none.
    pub(crate) fn least(&self) -> &'a str {
        match self.lower {
            Bound::Included(lower) | Bound::Excluded(lower) => lower,
            Bound::Unbounded => "",
        }
    }
}

/// The least text above every text that begins with `prefix`; none: there is no such text.
pub(crate) fn least_above_prefix(prefix: &str) -> Option<String> {
    let mut above = prefix.to_owned();
    // The last character that has a successor is replaced by it; what follows it is dropped.
    while let Some(last) = above.pop() {
        if let Some(successor) = (last..=char::MAX).nth(1) {
            above.push(successor);
            return Some(above);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing("", None)]
    #[case::letter("ab", Some("ac"))]
    #[case::more_bytes("a\u{7f}", Some("a\u{80}"))]
    #[case::over_the_surrogates("\u{d7ff}", Some("\u{e000}"))]
    #[case::greatest_last("a\u{10ffff}\u{10ffff}", Some("b"))]
    #[case::greatest_only("\u{10ffff}", None)]
    fn least_text_above_a_prefix(#[case] prefix: &str, #[case] above: Option<&str>) {
        assert_eq!(least_above_prefix(prefix).as_deref(), above);
    }

    proptest! {
        #[test]
        fn prefix_bounds_hold_exactly_what_begins_with_it(prefix in "[a\u{7f}\u{10ffff}]{0,3}", key in "[a\u{7f}\u{10ffff}]{0,4}") {
            let is_within = key >= prefix && least_above_prefix(&prefix).is_none_or(|above| key < above);
            prop_assert_eq!(is_within, key.starts_with(&prefix));
        }
    }

    fn query(from: &str, until: Option<&str>, direction: Direction, after: Option<&str>) -> Query {
        Query {
            partition: "p".to_owned(),
            from: from.to_owned(),
            until: until.map(str::to_owned),
            direction,
            limit: 1,
            after: after.map(str::to_owned),
        }
    }

    #[rstest]
    #[case::whole("", None, Direction::Forward, None, Some((Bound::Included(""), None)))]
    #[case::both_bounds("b", Some("d"), Direction::Forward, None, Some((Bound::Included("b"), Some("d"))))]
    #[case::next_page("b", Some("d"), Direction::Forward, Some("c"), Some((Bound::Excluded("c"), Some("d"))))]
    #[case::after_before_the_range("b", Some("d"), Direction::Forward, Some("a"), Some((Bound::Included("b"), Some("d"))))]
    #[case::after_at_the_end("b", Some("d"), Direction::Forward, Some("d"), None)]
    #[case::backward_next_page("b", Some("d"), Direction::Backward, Some("c"), Some((Bound::Included("b"), Some("c"))))]
    #[case::backward_after_above("b", Some("d"), Direction::Backward, Some("e"), Some((Bound::Included("b"), Some("d"))))]
    #[case::backward_after_at_the_end("b", Some("d"), Direction::Backward, Some("b"), None)]
    #[case::reversed_bounds("d", Some("b"), Direction::Forward, None, None)]
    #[case::equal_bounds("b", Some("b"), Direction::Backward, None, None)]
    #[case::nothing_is_below_the_empty_text("", Some(""), Direction::Forward, None, None)]
    fn windows(
        #[case] from: &str,
        #[case] until: Option<&str>,
        #[case] direction: Direction,
        #[case] after: Option<&str>,
        #[case] expected: Option<(Bound<&str>, Option<&str>)>,
    ) {
        let query = query(from, until, direction, after);
        assert_eq!(Window::of(&query), expected.map(|(lower, upper)| Window { lower, upper }));
    }
}
