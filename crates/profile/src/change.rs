//! What a refresh does to one profile, and to many at once.

use std::collections::BTreeSet;

use bytes::Bytes;
use freshet_store::{BatchWrite, Key};

use crate::content::Content;
use crate::entry::Entry;
use crate::keys::{Places, Posting};

/// Most changes written at once: with three filters each, a full transaction of the embedded store, whose pages are written the fewer times
/// the more of what lies on them comes together.
const CHUNK_CHANGES: usize = 20_000;
/// About the most bytes of attributes written at once.
const CHUNK_BYTES: usize = 16 << 20;

/// What a refresh does to one profile.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) id: String,
    /// What is written before all else: what the rest is about.
    pub(crate) entry: Entry,
    /// What the profile is from now on; none: it is removed.
    pub(crate) content: Option<Content>,
    /// The lists it is put on.
    pub(crate) new_postings: Vec<Posting>,
}

/// Changes that are written together, and up to which profile all is as it should be afterwards.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    changes: Vec<Change>,
    bytes: usize,
    pub(crate) passed: Option<String>,
}

impl Chunk {
    pub(crate) fn extend(&mut self, change: Option<Change>) {
        self.bytes +=
            change.iter().filter_map(|change| change.content.as_ref()).map(Content::stored_bytes).sum::<usize>();
        self.changes.extend(change);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.changes.len() >= CHUNK_CHANGES || self.bytes >= CHUNK_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Its writes, group after group. A reader finds each profile whole at every moment, as it was or as it is: what a head names is
    /// there before the head, a profile is on its new lists before it has their values, and what is stale goes last. Wherever the
    /// writing is cut off, the entries tell what may be there.
    pub(crate) fn writes(&self, places: &Places) -> Vec<Vec<BatchWrite>> {
        let mut intents = Vec::new();
        let mut additions = Vec::new();
        let mut heads = Vec::new();
        let mut removals = Vec::new();
        let mut departures = Vec::new();
        for change in &self.changes {
            let Change { id, entry, content, new_postings } = change;
            intents.push(BatchWrite::Put(places.entry(id), entry.encode()));
            additions
                .extend(new_postings.iter().map(|posting| BatchWrite::Put(places.posting(posting, id), Bytes::new())));
            if let Some(content) = content {
                let parts = (0..).zip(&content.parts);
                additions.extend(
                    parts.map(|(number, part)| BatchWrite::Put(places.part(id, content.hash, number), part.clone())),
                );
                heads.push(BatchWrite::Put(places.head(id), content.head.clone()));
            } else {
                heads.push(BatchWrite::Delete(places.head(id)));
                departures.push(BatchWrite::Delete(places.entry(id)));
            }
            removals.extend(stale(places, id, entry).into_iter().map(BatchWrite::Delete));
        }
        vec![intents, additions, heads, removals, departures]
    }
}

/// What an entry says is to be removed.
fn stale(places: &Places, id: &str, entry: &Entry) -> BTreeSet<Key> {
    let postings = entry.stale_postings.iter().map(|posting| places.posting(posting, id));
    let current: BTreeSet<Key> = part_keys(places, id, entry.parts).collect();
    let parts = entry.stale_parts.iter().flat_map(|parts| part_keys(places, id, Some(*parts)));
    postings.chain(parts.filter(|key| !current.contains(key))).collect()
}

/// Everything that there may be of a profile besides its entry.
pub(crate) fn everything(places: &Places, id: &str, entry: &Entry) -> BTreeSet<Key> {
    let postings = entry.all_postings().map(|posting| places.posting(posting, id));
    let parts = entry.all_parts().flat_map(|parts| part_keys(places, id, Some(parts)));
    postings.chain(parts).chain([places.head(id)]).collect()
}

fn part_keys<'a>(
    places: &'a Places,
    id: &'a str,
    parts: Option<crate::entry::Parts>,
) -> impl Iterator<Item = Key> + use<'a> {
    parts.into_iter().flat_map(move |parts| (0..parts.count).map(move |number| places.part(id, parts.hash, number)))
}
