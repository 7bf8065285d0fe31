//! The list of all profiles of a generation, its shards merged in the order of ids.

use freshet_store::{Item, Store, StoreError};
use futures::future::try_join_all;

use crate::cursor::Cursor;
use crate::keys::{Places, SHARDS};
use crate::patience::Patience;

/// A shard with fewer items ahead than this is read on when another has to be.
const READ_AHEAD: usize = 200;

/// A place in the list of all profiles.
#[derive(Debug)]
pub(crate) struct Entries {
    shards: Vec<Cursor>,
    /// It is gone through from end to end, which takes its time: reads are ahead, and tried again.
    is_whole: bool,
}

impl Entries {
    /// All of the list, which will be gone through.
    pub(crate) fn all(places: &Places) -> Self {
        let shards = (0..SHARDS).map(|shard| Cursor::new(places.shard(shard), None, READ_AHEAD)).collect();
        Self { shards, is_whole: true }
    }

    /// What comes after an id, of which some `limit` entries will be taken.
    pub(crate) fn after(places: &Places, after: Option<&str>, limit: usize) -> Self {
        let of_each_shard = limit / usize::from(SHARDS) + 1;
        let shards = (0..SHARDS).map(|shard| Cursor::new(places.shard(shard), after, of_each_shard)).collect();
        Self { shards, is_whole: false }
    }

    /// Whether more must be read before it is known what comes next.
    pub(crate) fn is_unread(&self) -> bool {
        self.shards.iter().any(Cursor::is_unread)
    }

    /// Reads what must be known before [`Self::peek`], and says how many items came.
    pub(crate) async fn read(&mut self, store: &dyn Store) -> Result<usize, StoreError> {
        if !self.is_unread() {
            return Ok(0);
        }
        let ahead = if self.is_whole { READ_AHEAD } else { 1 };
        let mut patience = Patience::default();
        loop {
            let is_short = |shard: &&mut Cursor| !shard.is_read_to_the_end() && shard.read_ahead() < ahead;
            let reads = self.shards.iter_mut().filter(is_short).map(|shard| shard.read(store));
            match try_join_all(reads).await {
                Ok(items) => return Ok(items.into_iter().sum()),
                Err(error) if error.is_temporary() && self.is_whole => patience.wait(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The id of the next entry. Only after [`Self::read`].
    pub(crate) fn peek(&self) -> Option<&str> {
        self.shards.iter().filter_map(Cursor::peek).min()
    }

    /// The next entry. Only after [`Self::read`].
    pub(crate) fn pop(&mut self) -> Option<Item> {
        let next = self.shards.iter_mut().filter(|shard| shard.peek().is_some());
        next.min_by(|left, right| left.peek().cmp(&right.peek()))?.pop()
    }
}
