//! Going through one partition in the order of its sort keys.

use std::collections::VecDeque;

use freshet_store::{Direction, Item, Query, Store, StoreError};

/// Least and most items read at once.
const LEAST_ITEMS: usize = 16;
const MOST_ITEMS: usize = 1_000;

/// A place in a partition, and some items from there on.
#[derive(Debug)]
pub(crate) struct Cursor {
    partition: String,
    items: VecDeque<Item>,
    rest: Rest,
    /// Items to read next: more where those before were all wanted, fewer where they were skipped.
    limit: usize,
}

/// What lies beyond the items that were read.
#[derive(Debug)]
enum Rest {
    From(String),
    After(String),
    Nothing,
}

impl Cursor {
    /// A cursor behind a sort key, which reads `limit` items first.
    pub(crate) fn new(partition: String, after: Option<&str>, limit: usize) -> Self {
        let rest = after.map_or_else(|| Rest::From(String::new()), |after| Rest::After(after.to_owned()));
        Self { partition, items: VecDeque::new(), rest, limit: limit.clamp(LEAST_ITEMS, MOST_ITEMS) }
    }

    /// The sort key of the next item that has been read.
    pub(crate) fn peek(&self) -> Option<&str> {
        self.items.front().map(|item| item.key.sort.as_str())
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// Whether more must be read before it is known what comes next.
    pub(crate) fn is_unread(&self) -> bool {
        self.items.is_empty() && !matches!(self.rest, Rest::Nothing)
    }

    /// How many items have been read and not yet taken.
    pub(crate) fn read_ahead(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_read_to_the_end(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// Skips what lies before a sort key. Reads nothing.
    pub(crate) fn seek(&mut self, sort: &str) {
        let skipped = self.items.partition_point(|item| item.key.sort.as_str() < sort);
        self.items.drain(..skipped);
        if !self.is_unread() {
            return;
        }
        match &self.rest {
            Rest::From(from) if from.as_str() >= sort => {}
            Rest::After(after) if after.as_str() >= sort => {}
            _ => {
                self.rest = Rest::From(sort.to_owned());
                self.limit = (self.limit / 4).max(LEAST_ITEMS);
            }
        }
    }

    /// Reads on, and says how many items came.
    pub(crate) async fn read(&mut self, store: &dyn Store) -> Result<usize, StoreError> {
        let before = self.items.len();
        loop {
            let (from, after) = match &self.rest {
                Rest::From(from) => (from.clone(), None),
                Rest::After(after) => (String::new(), Some(after.clone())),
                Rest::Nothing => return Ok(0),
            };
            let query = Query {
                partition: self.partition.clone(),
                from,
                until: None,
                direction: Direction::Forward,
                limit: self.limit,
                after,
            };
            let page = store.query(&query).await?;
            self.rest = page.next.map_or(Rest::Nothing, Rest::After);
            self.items.extend(page.items);
            // A page may be empty and not the last.
            if self.items.len() > before || self.is_read_to_the_end() {
                self.limit = (self.limit * 4).min(MOST_ITEMS);
                return Ok(self.items.len() - before);
            }
        }
    }
}
