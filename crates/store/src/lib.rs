//! Ordered items with conditional writes: where definitions, keys, progress and profiles are kept.
//!
//! One trait, [`Store`], with two implementations that pass one conformance suite: [`RedbStore`] in one process and
//! [`DynamoStore`] on AWS (one table).
//!
//! Promises: a write that returned is durable; a conditional write happens wholly or not at all and two that race never
//! both succeed; a read after a write that returned sees it (reads are strongly consistent); within a partition
//! items come in the byte order of their sort keys.
//!
//! Data goes: a [`Key`] of partition and sort key → an [`Item`] of bytes and a version. What the bytes mean is the caller's.

mod dynamo;
mod error;
mod limits;
mod redb;
mod window;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::dynamo::{DynamoSettings, DynamoStore};
pub use self::error::StoreError;
pub use self::redb::RedbStore;

/// Most bytes of a value: what fits a DynamoDB item of 400 KB with its keys.
pub const MAX_VALUE_BYTES: usize = 380_000;
/// Most bytes of a partition key, and of a sort key: DynamoDB's limit for a sort key.
pub const MAX_KEY_BYTES: usize = 1_024;
/// Most operations of a transaction: DynamoDB's limit.
pub const MAX_TRANSACTION: usize = 100;
/// Most bytes of a transaction's keys and values together: what fits DynamoDB's 4 MB even where its request, with values
/// in base64, is what is measured.
pub const MAX_TRANSACTION_BYTES: usize = 2_800_000;

/// Where an item lies: partition key, then sort key. Both are non-empty UTF-8 text of at most [`MAX_KEY_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Items of one partition are ordered and can be queried together.
    pub partition: String,
    /// The place within the partition.
    pub sort: String,
}

impl Key {
    /// A key of its two parts.
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }
}

/// The version of an item: changes with every write of it, and is never used again for the same key, not even after
/// the item was deleted and made anew. Versions say same or not the same; their order means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

/// An item as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it lies.
    pub key: Key,
    /// What it holds; at most [`MAX_VALUE_BYTES`].
    pub value: Bytes,
    /// The version that this read saw.
    pub version: Version,
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// There is no such item.
    Absent,
    /// The item is there at this version.
    Is(Version),
}

/// Which way a query goes through the sort keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the least sort key.
    Forward,
    /// From the greatest.
    Backward,
}

/// A range of one partition's items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The partition.
    pub partition: String,
    /// Least sort key, included; empty: from the first. At most [`MAX_KEY_BYTES`], as are the other two.
    pub from: String,
    /// Sort keys below this one only; none: to the last.
    pub until: Option<String>,
    /// Which way.
    pub direction: Direction,
    /// Most items of the page, at least 1. A page may hold fewer and still have a successor.
    pub limit: usize,
    /// The sort key after which (in the direction) the page begins: [`Page::next`] of the page before.
    pub after: Option<String>,
}

impl Query {
    /// Every item of a partition whose sort key begins with `prefix`, forward, 100 a page.
    pub fn prefix(partition: impl Into<String>, prefix: impl Into<String>) -> Self {
        let from: String = prefix.into();
        let until = window::least_above_prefix(&from);
        Self { partition: partition.into(), from, until, direction: Direction::Forward, limit: 100, after: None }
    }
}

/// One page of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Items in the query's direction.
    pub items: Vec<Item>,
    /// What to pass as [`Query::after`] for the next page; none: this was the last.
    pub next: Option<String>,
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Puts a value.
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// If.
        condition: Condition,
    },
    /// Removes an item; removing what is not there succeeds unless the condition says otherwise.
    Delete {
        /// Which.
        key: Key,
        /// If.
        condition: Condition,
    },
    /// Changes nothing; the transaction happens only if the condition holds.
    Check {
        /// Of which item.
        key: Key,
        /// What must hold.
        condition: Condition,
    },
}

impl Write {
    /// The item it is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    /// What must hold for it.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::Put { condition, .. } | Self::Delete { condition, .. } | Self::Check { condition, .. } => *condition,
        }
    }
}

/// One write of a batch: done by itself, whatever lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchWrite {
    /// Puts a value.
    Put(Key, Bytes),
    /// Removes an item, if it is there.
    Delete(Key),
}

impl BatchWrite {
    /// The item it is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Ordered items with conditional writes.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// The item at a key.
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError>;

    /// Puts a value and returns its new version. [`StoreError::Conflict`] where the condition doesn't hold.
    async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError>;

    /// Removes an item; removing what is not there succeeds unless the condition says otherwise.
    async fn delete(&self, key: &Key, condition: Condition) -> Result<(), StoreError>;

    /// One page of a range.
    async fn query(&self, query: &Query) -> Result<Page, StoreError>;

    /// The items at many keys, in the order of the keys. Any number of keys; not one snapshot.
    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError>;

    /// Does many writes, each by itself and unconditionally, group after group: no write of a group is done before those of
    /// the groups before it are durable. Any number of writes; of two of one key the later stands. On an error some
    /// may have been done: of one group any, of the groups before it all, of those after it none. Doing all of them again
    /// does no harm.
    async fn batch_write(&self, groups: Vec<Vec<BatchWrite>>) -> Result<(), StoreError>;

    /// Does all of at most [`MAX_TRANSACTION`] writes of different keys, or none. [`StoreError::Conflict`] names the first
    /// key whose condition doesn't hold. No writes at all succeed.
    async fn transact(&self, writes: Vec<Write>) -> Result<(), StoreError>;

    /// Whether the store can be reached.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Every item of a query, page by page. For sets that are known to be small: definitions, keys.
///
/// # Errors
/// As [`Store::query`].
pub async fn query_all(store: &dyn Store, mut query: Query) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::new();
    loop {
        let page = store.query(&query).await?;
        items.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(items),
        }
    }
}
