//! The store in one process: a redb file.

mod commit;
mod file;

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};
use tokio::task::{JoinError, coop};

use self::commit::Committer;
use self::file::DatabaseFile;
use crate::window::Window;
use crate::{BatchWrite, Condition, Direction, Item, Key, Page, Query, Store, StoreError, Version, Write, limits};

/// (partition, sort) → (version, value). redb orders text by its bytes.
const ITEMS: TableDefinition<(&str, &str), (u64, &[u8])> = TableDefinition::new("items");
/// The last version given to any item, under [`LAST_VERSION`].
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
const LAST_VERSION: &str = "last_version";
/// What a read does with the file, in the words of an error.
const READ: &str = "read from";

/// A page ends once it holds this many bytes of values, as DynamoDB's does.
const PAGE_BYTES: usize = 1 << 20;
/// A page of at most so many items, and so many keys at most, are read by the thread that asks: some ten microseconds from memory, where
/// handing the work to another thread and back costs twenty. A page's items lie side by side; keys don't, and each may have to wait for the
/// disk, which others of the thread then wait for, too. What is more goes to a thread that may block.
const PAGE_IN_PLACE: usize = 128;
const KEYS_IN_PLACE: usize = 16;
/// Writes of [`Store::batch_write`] in one transaction, and bytes of their values: a sync of the disk is worth many writes, and other
/// writers get their turn between.
const BATCH_WRITES: usize = 100_000;
const BATCH_BYTES: usize = 64 << 20;

/// A [`Store`] in a file that one process has open.
///
/// Every write is synced to the disk before it returns; writes that wait for the disk together share a sync.
/// After a failure of the disk the file is opened again by the next call.
#[derive(Debug)]
pub struct RedbStore {
    file: Arc<DatabaseFile>,
    committer: Committer,
}

impl RedbStore {
    /// Opens the file, or makes it, readable by its owner alone; missing folders above it are made the same way.
    /// Blocks, for as long as it takes to repair a large file after a crash.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where another process has the file open or it may not be opened,
    /// [`StoreError::Corrupt`] where it is no file of a store, [`StoreError::Unavailable`] where the disk fails.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { file: Arc::new(DatabaseFile::open(path)?), committer: Committer::default() })
    }

    /// Reads a little, on this thread. `work` is made anew for a thread that may block where the file has to be opened first.
    async fn read_in_place<T: Send + 'static, W>(&self, work: impl FnOnce() -> W) -> Result<T, StoreError>
    where
        W: FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    {
        // Reads that never wait would keep others from the thread.
        coop::consume_budget().await;
        let Some(database) = self.file.opened() else {
            return self.read(work()).await;
        };
        let read = || self.file.with_opened(&database, READ, work());
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_panic| Err(damaged(None)))
    }

    /// Reads much, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || file.with(READ, work)).await.map_err(ended)?
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Version, StoreError> {
        self.committer.write(&self.file, writes).await
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        limits::check_key(key)?;
        self.read_in_place(|| {
            let key = key.clone();
            move |database: &Database| item_at(&open_items(database)?, &key)
        })
        .await
    }

    async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        limits::check_put(key, &value)?;
        self.write(vec![Write::Put { key: key.clone(), value, condition }]).await
    }

    async fn delete(&self, key: &Key, condition: Condition) -> Result<(), StoreError> {
        limits::check_key(key)?;
        self.write(vec![Write::Delete { key: key.clone(), condition }]).await?;
        Ok(())
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        limits::check_query(query)?;
        let work = || {
            let query = query.clone();
            move |database: &Database| page(database, &query)
        };
        if query.limit <= PAGE_IN_PLACE { self.read_in_place(work).await } else { self.read(work()).await }
    }

    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        keys.iter().try_for_each(limits::check_key)?;
        let work = || {
            let keys = keys.to_vec();
            move |database: &Database| {
                let items = open_items(database)?;
                keys.iter().map(|key| item_at(&items, key)).collect()
            }
        };
        if keys.len() <= KEYS_IN_PLACE { self.read_in_place(work).await } else { self.read(work()).await }
    }

    async fn batch_write(&self, groups: Vec<Vec<BatchWrite>>) -> Result<(), StoreError> {
        groups.iter().flatten().try_for_each(limits::check_batch_write)?;
        // One transaction does several groups at once, which is as good as one after the other.
        let mut writes = groups.into_iter().flatten().peekable();
        while writes.peek().is_some() {
            self.write(next_transaction(&mut writes)).await?;
        }
        Ok(())
    }

    async fn transact(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        limits::check_transaction(&writes)?;
        self.write(writes).await?;
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|database| open_items(database).map(|_| ())).await
    }
}

/// As many writes as one transaction is to do, in the order of their keys: neighbours in the tree are written together.
fn next_transaction(writes: &mut impl Iterator<Item = BatchWrite>) -> Vec<Write> {
    let mut transaction = Vec::new();
    let mut bytes = 0;
    while transaction.len() < BATCH_WRITES && bytes < BATCH_BYTES {
        let Some(write) = writes.next() else { break };
        transaction.push(match write {
            BatchWrite::Put(key, value) => {
                bytes += value.len();
                Write::Put { key, value, condition: Condition::Any }
            }
            BatchWrite::Delete(key) => Write::Delete { key, condition: Condition::Any },
        });
    }
    // Stable: of two writes of one key the later stands.
    transaction.sort_by(|left, right| left.key().cmp(right.key()));
    transaction
}

type Items = ReadOnlyTable<(&'static str, &'static str), (u64, &'static [u8])>;

/// The items as they were at the last commit.
fn open_items(database: &Database) -> Result<Items, redb::Error> {
    Ok(database.begin_read()?.open_table(ITEMS)?)
}

fn item_at(items: &Items, key: &Key) -> Result<Option<Item>, redb::Error> {
    let stored = items.get((key.partition.as_str(), key.sort.as_str()))?;
    Ok(stored.map(|entry| {
        let (version, value) = entry.value();
        Item { key: key.clone(), value: Bytes::copy_from_slice(value), version: Version(version) }
    }))
}

fn page(database: &Database, query: &Query) -> Result<Page, redb::Error> {
    let mut page = Page { items: Vec::new(), next: None };
    let Some(window) = Window::of(query) else {
        return Ok(page);
    };
    let partition = query.partition.as_str();
    let after_partition = format!("{partition}\0");
    let lower = window.lower.map(|sort| (partition, sort));
    let upper = Bound::Excluded(window.upper.map_or((after_partition.as_str(), ""), |sort| (partition, sort)));
    let items = open_items(database)?;
    let mut entries = items.range::<(&str, &str)>((lower, upper))?;
    let mut bytes = 0;
    loop {
        let entry = match query.direction {
            Direction::Forward => entries.next(),
            Direction::Backward => entries.next_back(),
        };
        let Some(entry) = entry else {
            return Ok(page);
        };
        if page.items.len() == query.limit || bytes >= PAGE_BYTES {
            page.next = page.items.last().map(|item| item.key.sort.clone());
            return Ok(page);
        }
        let (place, stored) = entry?;
        let (version, value) = stored.value();
        bytes += value.len();
        page.items.push(Item {
            key: Key::new(partition, place.value().1),
            value: Bytes::copy_from_slice(value),
            version: Version(version),
        });
    }
}

/// What a blocking task that didn't end by itself means.
fn ended(error: JoinError) -> StoreError {
    if error.is_panic() {
        return damaged(Some(error));
    }
    StoreError::Unavailable { context: "the process is stopping".to_owned(), source: Box::new(error) }
}

/// What a panic means: redb trusts a file that was closed cleanly, and panics where such a file was damaged.
fn damaged(panic: Option<JoinError>) -> StoreError {
    let context = "the file of the store is damaged, or the code that reads it is wrong".to_owned();
    StoreError::Corrupt { context, source: panic.map(|panic| Box::new(panic) as _) }
}
