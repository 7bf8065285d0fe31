//! The rows that a refresh is given, one a profile.

use std::cmp::Ordering;
use std::pin::Pin;

use futures::{Stream, StreamExt};

use crate::{MAX_ATTRIBUTES_BYTES, MAX_ID_BYTES, RefreshError};

/// One row of an index's query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRow {
    /// The key column as text; none where it is null, which makes no profile.
    pub id: Option<String>,
    /// The text of a JSON object: what the profile holds, kept and answered as it is written here.
    pub attributes: String,
}

/// What the rows were, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RowCounts {
    pub(crate) rows: u64,
    pub(crate) null_keys: u64,
    pub(crate) unusable_keys: u64,
    pub(crate) too_large: u64,
    pub(crate) duplicate_keys: u64,
}

/// A row that is a profile.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) attributes: String,
}

/// The rows that are profiles, one of each id.
pub(crate) struct Rows<'a, S> {
    stream: Pin<&'a mut S>,
    is_ended: bool,
    /// The row read last: the next may have its id.
    waiting: Option<Row>,
    pub(crate) counts: RowCounts,
}

impl<'a, S, E> Rows<'a, S>
where
    S: Stream<Item = Result<ProfileRow, E>>,
{
    pub(crate) fn new(stream: Pin<&'a mut S>) -> Self {
        Self { stream, is_ended: false, waiting: None, counts: RowCounts::default() }
    }

    /// The next profile. Of several rows with one id it is the one with the least attributes as text, in whatever order they came.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>, RefreshError<E>> {
        loop {
            let Some(row) = self.next_usable().await? else {
                return Ok(self.waiting.take());
            };
            let Some(waiting) = &mut self.waiting else {
                self.waiting = Some(row);
                continue;
            };
            match row.id.cmp(&waiting.id) {
                Ordering::Greater => return Ok(self.waiting.replace(row)),
                Ordering::Equal => {
                    self.counts.duplicate_keys += 1;
                    if row.attributes < waiting.attributes {
                        *waiting = row;
                    }
                }
                Ordering::Less => {
                    return Err(RefreshError::OutOfOrder { previous: waiting.id.clone(), id: row.id });
                }
            }
        }
    }

    /// The next row that can be a profile.
    async fn next_usable(&mut self) -> Result<Option<Row>, RefreshError<E>> {
        while !self.is_ended {
            let Some(row) = self.stream.next().await else {
                self.is_ended = true;
                break;
            };
            let ProfileRow { id, attributes } = row.map_err(RefreshError::Rows)?;
            self.counts.rows += 1;
            match id {
                None => self.counts.null_keys += 1,
                Some(id) if !is_usable_id(&id) => self.counts.unusable_keys += 1,
                Some(_) if attributes.len() > MAX_ATTRIBUTES_BYTES => self.counts.too_large += 1,
                Some(id) => return Ok(Some(Row { id, attributes })),
            }
        }
        Ok(None)
    }
}

/// Whether there can be a profile with this id.
pub(crate) fn is_usable_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}
