//! Where everything of an index lies in the store.
//!
//! | What | Partition | Sort key |
//! |---|---|---|
//! | state of an index | `p/TENANT` | index id |
//! | list of all profiles | `p/TENANT/INDEX/GENERATION/a0` to `…/af`, by a hash of the profile id | profile id |
//! | profiles with a value | `p/TENANT/INDEX/GENERATION/fFIELD=VALUE`, or `…/fFIELD#HASH` of a long one | profile id |
//! | a profile | `p/TENANT/INDEX/GENERATION/i/PROFILE` | `head`, `part/HASH/NUMBER` |
//!
//! The names are short because a profile has some five items, each with its whole key.

use freshet_store::Key;

use crate::hash::Hash;
use crate::{IndexRef, MAX_FILTER_VALUE_BYTES};

/// Parts of the list of all profiles: enough that none of their partitions in `DynamoDB` is hot, few enough to merge.
pub(crate) const SHARDS: u8 = 16;
/// Longest filter value that stands in a key as it is.
const READABLE_VALUE_BYTES: usize = 200;

/// Where the state of an index lies.
pub(crate) fn state(index: &IndexRef) -> Key {
    Key::new(format!("p/{}", index.tenant), index.id.as_str())
}

/// The partitions of one generation of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    prefix: String,
}

impl Places {
    pub(crate) fn of(index: &IndexRef, generation: u64) -> Self {
        Self { prefix: format!("p/{}/{}/{generation}/", index.tenant, index.id) }
    }

    /// The partition of a part of the list of all profiles.
    pub(crate) fn shard(&self, shard: u8) -> String {
        format!("{}a{shard:x}", self.prefix)
    }

    /// The entry of a profile in the list of all.
    pub(crate) fn entry(&self, id: &str) -> Key {
        let [first, ..] = Hash::of(id.as_bytes()).0;
        Key::new(self.shard(first % SHARDS), id)
    }

    /// The partition of the profiles that have a value.
    pub(crate) fn posting_list(&self, posting: &Posting) -> String {
        format!("{}f{}{}", self.prefix, posting.field, posting.value)
    }

    /// That a profile has a value.
    pub(crate) fn posting(&self, posting: &Posting, id: &str) -> Key {
        Key::new(self.posting_list(posting), id)
    }

    /// The one item of a profile that says what it is.
    pub(crate) fn head(&self, id: &str) -> Key {
        Key::new(self.profile(id), "head")
    }

    /// A part of a profile that doesn't fit one item.
    pub(crate) fn part(&self, id: &str, hash: Hash, number: u32) -> Key {
        Key::new(self.profile(id), format!("part/{hash}/{number:04}"))
    }

    fn profile(&self, id: &str) -> String {
        format!("{}i/{id}", self.prefix)
    }
}

/// A value of a filter field, as it stands in a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Posting {
    /// Which of the generation's filters.
    pub(crate) field: u8,
    /// `=` and the value, or `#` and its hash: values of one hash share a list, and readers look at the profile.
    pub(crate) value: String,
}

impl Posting {
    /// None: the value is longer than any that can be asked for.
    pub(crate) fn of(field: u8, value: &str) -> Option<Self> {
        let value = match value.len() {
            0..=READABLE_VALUE_BYTES => format!("={value}"),
            length if length <= MAX_FILTER_VALUE_BYTES => format!("#{}", Hash::of(value.as_bytes())),
            _ => return None,
        };
        Some(Self { field, value })
    }
}

#[cfg(test)]
mod tests {
    use freshet_model::{IndexId, TenantId};
    use freshet_store::MAX_KEY_BYTES;

    use super::*;
    use crate::{MAX_FILTERS, MAX_ID_BYTES};

    #[test]
    fn the_longest_names_fit_a_key() {
        let index = IndexRef {
            tenant: TenantId::parse(&"t".repeat(63)).unwrap(),
            id: IndexId::parse(&"i".repeat(64)).unwrap(),
        };
        let places = Places::of(&index, u64::MAX);
        let id = "x".repeat(MAX_ID_BYTES);
        let field = u8::try_from(MAX_FILTERS).unwrap();
        let postings = [READABLE_VALUE_BYTES, READABLE_VALUE_BYTES + 1, MAX_FILTER_VALUE_BYTES]
            .map(|length| places.posting(&Posting::of(field, &"v".repeat(length)).unwrap(), &id));
        let part = places.part(&id, Hash::of(b"x"), u32::MAX);
        for key in [state(&index), places.entry(&id), places.head(&id), part].into_iter().chain(postings) {
            assert!(key.partition.len() <= MAX_KEY_BYTES && key.sort.len() <= MAX_KEY_BYTES, "{key:?}");
        }
        assert_eq!(Posting::of(0, &"v".repeat(MAX_FILTER_VALUE_BYTES + 1)), None);
    }

    #[test]
    fn no_value_stands_for_another_field_or_for_a_hash() {
        let index = IndexRef { tenant: TenantId::parse("t").unwrap(), id: IndexId::parse("i").unwrap() };
        let places = Places::of(&index, 1);
        let long = "v".repeat(READABLE_VALUE_BYTES + 1);
        let hash = format!("#{}", Hash::of(long.as_bytes()));
        let values = [(1, ""), (11, ""), (1, "1="), (0, hash.as_str()), (0, long.as_str()), (1, "=")];
        let mut lists: Vec<_> =
            values.map(|(field, value)| places.posting_list(&Posting::of(field, value).unwrap())).into();
        lists.sort();
        lists.dedup();
        assert_eq!(lists.len(), values.len(), "{lists:?}");
    }
}
