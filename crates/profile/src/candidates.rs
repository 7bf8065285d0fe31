//! Which profiles may have the values that are asked for, in the order of their ids.

use freshet_store::{Store, StoreError};
use futures::future::try_join_all;

use crate::cursor::Cursor;
use crate::entries::Entries;
use crate::keys::{Places, Posting};

/// What a read of the store counts for at least, in items.
const LEAST_COST: usize = 16;

/// Profiles that are on all of some lists, or all that there are.
#[derive(Debug)]
pub(crate) struct Candidates {
    source: Source,
    /// Items that may still be read.
    budget: usize,
    /// No candidate that has not been taken is at or before this one.
    passed: Option<String>,
}

#[derive(Debug)]
enum Source {
    All(Entries),
    Lists(Vec<Cursor>),
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A candidate, which [`Candidates::take`] takes.
    Candidate,
    /// Nothing: all have been taken.
    End,
    /// What comes next isn't known, for as much has been read as may be.
    OutOfBudget,
}

impl Candidates {
    /// The candidates after an id, of which some `limit` will be taken, for at most about `budget` items read.
    pub(crate) fn of(places: &Places, postings: &[Posting], after: Option<&str>, limit: usize, budget: usize) -> Self {
        let source = if postings.is_empty() {
            Source::All(Entries::after(places, after, limit))
        } else {
            let list = |posting| Cursor::new(places.posting_list(posting), after, limit);
            Source::Lists(postings.iter().map(list).collect())
        };
        Self { source, budget, passed: after.map(str::to_owned) }
    }

    /// Finds what comes next.
    pub(crate) async fn find(&mut self, store: &dyn Store) -> Result<Next, StoreError> {
        loop {
            let is_unread = match &self.source {
                Source::All(entries) => entries.is_unread(),
                Source::Lists(lists) => lists.iter().any(Cursor::is_unread),
            };
            if is_unread {
                if self.budget == 0 {
                    return Ok(Next::OutOfBudget);
                }
                self.read(store).await?;
            }
            match &mut self.source {
                Source::All(entries) => {
                    return Ok(if entries.peek().is_some() { Next::Candidate } else { Next::End });
                }
                Source::Lists(lists) => {
                    if let Some(next) = leap(lists, &mut self.passed) {
                        return Ok(next);
                    }
                }
            }
        }
    }

    /// Takes the candidate that [`Self::find`] found.
    pub(crate) fn take(&mut self) -> Option<String> {
        let id = match &mut self.source {
            Source::All(entries) => entries.pop()?.key.sort,
            Source::Lists(lists) => lists.iter_mut().filter_map(Cursor::pop).last()?.key.sort,
        };
        self.passed = Some(id.clone());
        Some(id)
    }

    /// The id after which whoever goes on later misses nothing.
    pub(crate) fn passed(self) -> Option<String> {
        self.passed
    }

    async fn read(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let cost = match &mut self.source {
            Source::All(entries) => entries.read(store).await?.max(LEAST_COST),
            Source::Lists(lists) => {
                // All at once: together they cost the time of one.
                let reads = lists.iter_mut().filter(|list| list.is_unread()).map(|list| list.read(store));
                try_join_all(reads).await?.into_iter().map(|items| items.max(LEAST_COST)).sum()
            }
        };
        self.budget = self.budget.saturating_sub(cost);
        Ok(())
    }
}

/// Brings every list to where the one that is furthest stands. Says what comes next once all stand at one id, or one is at its end.
/// None: a list must be read on, or stands further still.
fn leap(lists: &mut [Cursor], passed: &mut Option<String>) -> Option<Next> {
    if lists.iter().any(Cursor::is_unread) {
        return None;
    }
    let heads: Option<Vec<&str>> = lists.iter().map(Cursor::peek).collect();
    let Some(furthest) = heads.and_then(|heads| heads.into_iter().max()).map(str::to_owned) else {
        return Some(Next::End);
    };
    if lists.iter().all(|list| list.peek() == Some(&furthest)) {
        return Some(Next::Candidate);
    }
    let behind = lists.iter().filter_map(Cursor::peek).filter(|id| *id < furthest.as_str()).max();
    if let Some(behind) = behind {
        *passed = Some(behind.to_owned());
    }
    for list in lists {
        list.seek(&furthest);
    }
    None
}
