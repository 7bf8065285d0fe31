//! Profiles, by id and by filters.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use freshet_model::did_you_mean;
use freshet_store::{Item, Key, Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::attributes::values_of;
use crate::candidates::{Candidates, Next};
use crate::content::Head;
use crate::error::corrupt;
use crate::keys::{Places, Posting};
use crate::rows::is_usable_id;
use crate::serving::{Cache, Serving};
use crate::{IndexRef, MAX_ANSWER_BYTES, MAX_BATCH, MAX_FILTERS, MAX_PAGE, ReadError};

/// Profiles read at once, so that an answer's limit is noticed before much more than it has been read.
const PROFILES_AT_ONCE: usize = 100;
/// Indexes whose states are read side by side: a tenant has up to 1,000.
const INDEXES_AT_ONCE: usize = 32;
/// Items of lists that a page may cost. Filters whose values hardly ever meet are answered by short pages.
const PAGE_BUDGET: usize = 50_000;
/// Items of lists that a total may cost.
const TOTAL_BUDGET: usize = 100_000;
/// How often a profile in parts is read while refreshes replace it.
const MAX_READS: usize = 5;

/// A profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its id: the key column as text.
    pub id: String,
    /// A JSON object, as the refresh was given it.
    pub attributes: Box<RawValue>,
}

/// What was read, and how fresh it is.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The time up to which accepted records are in it.
    pub as_of: Timestamp,
    /// The generation it is from.
    pub generation: u64,
    /// What was read.
    pub value: T,
}

/// Some profiles, in the order of their ids' bytes.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The profiles: fewer than were asked for where they are large, or hard to find; perhaps none.
    pub profiles: Vec<Profile>,
    /// The id after which the next page begins; none: this was the last.
    pub next: Option<String>,
}

/// How many profiles there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// The number counted. While a refresh is under way, profiles that it moves from one value to another may be in it twice.
    pub count: u64,
    /// Whether there are no more: counting ends where it gets long.
    pub is_exact: bool,
}

/// Reads the profiles of all indexes. What an index serves is remembered for a second.
#[derive(Debug)]
pub struct ProfileIndexes {
    store: Arc<dyn Store>,
    cache: Cache,
}

impl ProfileIndexes {
    /// A reader over a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, cache: Cache::default() }
    }

    /// What an index serves; none: it has not been built yet.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn describe(&self, index: &IndexRef) -> Result<Option<Arc<Serving>>, ReadError> {
        Ok(self.cache.get(&*self.store, index).await?)
    }

    /// The time up to which accepted records are in every one of some indexes: the oldest of theirs. No record is in an index that has not
    /// been built; its time is the start of 1970. None: there are no indexes.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn as_of(&self, indexes: Vec<IndexRef>) -> Result<Option<Timestamp>, ReadError> {
        let read = |index: IndexRef| async move { self.describe(&index).await };
        let mut reading = stream::iter(indexes).map(read).buffer_unordered(INDEXES_AT_ONCE);
        let mut oldest = None;
        while let Some(serving) = reading.try_next().await? {
            let as_of = serving.map_or(Timestamp::UNIX_EPOCH, |serving| serving.as_of);
            oldest = Some(oldest.map_or(as_of, |oldest: Timestamp| oldest.min(as_of)));
        }
        Ok(oldest)
    }

    /// One profile.
    ///
    /// # Errors
    /// The index has not been built, or the store can't be read.
    pub async fn get(&self, index: &IndexRef, id: &str) -> Result<Answer<Option<Profile>>, ReadError> {
        let asked_at = SystemTime::now();
        let mut serving = self.serving(index).await?;
        if !is_usable_id(id) {
            return Ok(serving.answer(None));
        }
        loop {
            let item = self.store.get(&serving.places.head(id)).await?;
            if let Some(attributes) = self.attributes(&serving.places, id, item).await? {
                return Ok(serving.answer(Some(profile(id, attributes)?)));
            }
            let current = self.cache.get_since(&*self.store, index, asked_at).await?.ok_or(ReadError::NotBuilt)?;
            if current.generation == serving.generation {
                return Ok(serving.answer(None));
            }
            serving = current;
        }
    }

    /// Many profiles, in the order of the ids: none where there is no such profile.
    ///
    /// # Errors
    /// More than [`MAX_BATCH`] ids, more than [`MAX_ANSWER_BYTES`] of profiles, the index has not been built, or the store can't be
    /// read.
    pub async fn batch_get(&self, index: &IndexRef, ids: &[String]) -> Result<Answer<Vec<Option<Profile>>>, ReadError> {
        if ids.len() > MAX_BATCH {
            return Err(ReadError::TooManyIds { count: ids.len() });
        }
        let asked_at = SystemTime::now();
        let mut serving = self.serving(index).await?;
        loop {
            let profiles = self.all_of(&serving.places, ids).await?;
            if profiles.iter().all(Option::is_some) {
                return Ok(serving.answer(profiles));
            }
            let current = self.cache.get_since(&*self.store, index, asked_at).await?.ok_or(ReadError::NotBuilt)?;
            if current.generation == serving.generation {
                return Ok(serving.answer(profiles));
            }
            serving = current;
        }
    }

    /// The profiles after an id that have all of some values, at most `limit` (and [`MAX_PAGE`]). `filters` are fields and the
    /// texts of their values: a string's characters, any other value's JSON text; null has none.
    ///
    /// Who goes from page to page sees every profile that is there, with these values, from the first page to the last, once,
    /// whatever is refreshed meanwhile.
    ///
    /// # Errors
    /// A filter that the index doesn't have or a value that none can have, the index has not been built, or the store can't be
    /// read.
    pub async fn page(
        &self,
        index: &IndexRef,
        filters: &[(String, String)],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Answer<Page>, ReadError> {
        let serving = self.serving(index).await?;
        let limit = limit.clamp(1, MAX_PAGE);
        let after = after.filter(|after| !after.is_empty());
        let postings = serving.postings(filters)?;
        // One more than is wanted says whether there is a next page.
        let mut candidates = Candidates::of(&serving.places, &postings, after, limit + 1, PAGE_BUDGET);
        let mut filling = Filling { page: Page::default(), bytes: 0 };
        loop {
            let wanted = (limit - filling.page.profiles.len()).min(PROFILES_AT_ONCE);
            let mut ids = Vec::with_capacity(wanted);
            let mut next = candidates.find(&*self.store).await?;
            while next == Next::Candidate && ids.len() < wanted {
                ids.extend(candidates.take());
                next = candidates.find(&*self.store).await?;
            }
            if let Some(left_out) = self.fill(&mut filling, &serving.places, ids, filters).await? {
                filling.page.next = Some(left_out);
                return Ok(serving.answer(filling.page));
            }
            match next {
                Next::Candidate if filling.page.profiles.len() < limit => {}
                Next::Candidate | Next::OutOfBudget => {
                    filling.page.next = candidates.passed();
                    return Ok(serving.answer(filling.page));
                }
                Next::End => return Ok(serving.answer(filling.page)),
            }
        }
    }

    /// How many profiles have all of some values.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub async fn total(&self, index: &IndexRef, filters: &[(String, String)]) -> Result<Answer<Total>, ReadError> {
        let serving = self.serving(index).await?;
        let postings = serving.postings(filters)?;
        if postings.is_empty() && filters.is_empty() {
            return Ok(serving.answer(Total { count: serving.profiles, is_exact: true }));
        }
        let mut candidates = Candidates::of(&serving.places, &postings, None, MAX_PAGE, TOTAL_BUDGET);
        let mut count = 0;
        let is_exact = loop {
            match candidates.find(&*self.store).await? {
                Next::Candidate => count += u64::from(candidates.take().is_some()),
                Next::End => break true,
                Next::OutOfBudget => break false,
            }
        };
        Ok(serving.answer(Total { count, is_exact }))
    }

    async fn serving(&self, index: &IndexRef) -> Result<Arc<Serving>, ReadError> {
        self.cache.get(&*self.store, index).await?.ok_or(ReadError::NotBuilt)
    }

    /// Puts those of the profiles on the page that have the values. Where the page is full of bytes, the answer is the id after which
    /// the next one begins.
    async fn fill(
        &self,
        filling: &mut Filling,
        places: &Places,
        ids: Vec<String>,
        filters: &[(String, String)],
    ) -> Result<Option<String>, ReadError> {
        let heads: Vec<Key> = ids.iter().map(|id| places.head(id)).collect();
        let items = self.store.batch_get(&heads).await?;
        let fields: Vec<&str> = filters.iter().map(|(field, _)| field.as_str()).collect();
        for (id, item) in ids.into_iter().zip(items) {
            let Some(attributes) = self.attributes(places, &id, item).await? else {
                // It left, or has only begun to come.
                continue;
            };
            let values = values_of(&attributes, &fields).map_err(|_error| corrupt("content", &id))?;
            let has_all = values.iter().zip(filters).all(|(value, (_, wanted))| value.as_ref() == Some(wanted));
            if !has_all {
                continue;
            }
            if !filling.page.profiles.is_empty() && filling.bytes + attributes.len() > MAX_ANSWER_BYTES {
                return Ok(filling.page.profiles.last().map(|profile| profile.id.clone()));
            }
            filling.bytes += attributes.len();
            filling.page.profiles.push(profile(&id, attributes)?);
        }
        Ok(None)
    }

    async fn all_of(&self, places: &Places, ids: &[String]) -> Result<Vec<Option<Profile>>, ReadError> {
        let mut profiles = Vec::with_capacity(ids.len());
        let mut bytes = 0;
        for some_ids in ids.chunks(PROFILES_AT_ONCE) {
            // What can't be an id has no key.
            let usable: Vec<Key> = some_ids.iter().filter(|id| is_usable_id(id)).map(|id| places.head(id)).collect();
            let mut items = self.store.batch_get(&usable).await?.into_iter();
            for id in some_ids {
                let item = if is_usable_id(id) { items.next().flatten() } else { None };
                let attributes = self.attributes(places, id, item).await?;
                bytes += attributes.as_ref().map_or(0, String::len);
                if bytes > MAX_ANSWER_BYTES {
                    return Err(ReadError::AnswerTooLarge);
                }
                profiles.push(attributes.map(|attributes| profile(id, attributes)).transpose()?);
            }
        }
        Ok(profiles)
    }

    /// The attributes of a profile whose head is `item`.
    async fn attributes(
        &self,
        places: &Places,
        id: &str,
        mut item: Option<Item>,
    ) -> Result<Option<String>, StoreError> {
        for _ in 0..MAX_READS {
            let Some(stored) = item else { return Ok(None) };
            let head = Head::decode(&stored.value).ok_or_else(|| corrupt("head", id))?;
            let Some(parts) = head.parts() else {
                return head.attributes(&[]).map(Some).ok_or_else(|| corrupt("content", id));
            };
            let keys: Vec<Key> = (0..parts.count).map(|number| places.part(id, parts.hash, number)).collect();
            let parts = self.store.batch_get(&keys).await?;
            let parts: Option<Vec<Bytes>> = parts.into_iter().map(|part| part.map(|part| part.value)).collect();
            if let Some(attributes) = parts.and_then(|parts| head.attributes(&parts)) {
                return Ok(Some(attributes));
            }
            // A refresh has replaced it, and removed the parts.
            item = self.store.get(&places.head(id)).await?;
        }
        Err(corrupt("content", id))
    }
}

/// A page that is being filled.
struct Filling {
    page: Page,
    bytes: usize,
}

fn profile(id: &str, attributes: String) -> Result<Profile, StoreError> {
    let attributes = RawValue::from_string(attributes).map_err(|_error| corrupt("content", id))?;
    Ok(Profile { id: id.to_owned(), attributes })
}

impl Serving {
    fn answer<T>(&self, value: T) -> Answer<T> {
        Answer { as_of: self.as_of, generation: self.generation, value }
    }

    /// The lists of the values that are asked for.
    fn postings(&self, filters: &[(String, String)]) -> Result<Vec<Posting>, ReadError> {
        if filters.len() > MAX_FILTERS {
            return Err(ReadError::TooManyFilters { count: filters.len() });
        }
        let mut postings = Vec::with_capacity(filters.len());
        for (field, value) in filters {
            let number = (0..).zip(&self.filters).find(|(_, known)| *known == field).map(|(number, _)| number);
            let number = number.ok_or_else(|| self.unknown_filter(field))?;
            postings.push(
                Posting::of(number, value)
                    .ok_or_else(|| ReadError::LongFilterValue { field: field.clone(), bytes: value.len() })?,
            );
        }
        Ok(postings)
    }

    fn unknown_filter(&self, field: &str) -> ReadError {
        let names = || self.filters.iter().map(String::as_str);
        let known = match self.filters.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        ReadError::UnknownFilter { field: field.to_owned(), known, hint: did_you_mean(field, names()) }
    }
}
