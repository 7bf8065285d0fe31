//! Writes: those that wait together are committed together, in one durable transaction.

use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, Durability, ReadableTable, Table};
use tokio::sync::oneshot;

use super::file::DatabaseFile;
use super::{COUNTERS, ITEMS, LAST_VERSION, ended};
use crate::{Condition, Key, StoreError, Version, Write};

/// What one caller wants written, all or nothing, and who wants to know.
struct Request {
    writes: Vec<Write>,
    answer: oneshot::Sender<Result<Version, StoreError>>,
}

/// The writer of a file: one transaction at a time, each with all that was waiting for the one before to end.
#[derive(Default)]
pub(super) struct Committer {
    waiting: Mutex<Vec<Request>>,
    committing: Arc<tokio::sync::Mutex<()>>,
}

impl Committer {
    /// Does all the writes or none, and returns the version of the last item put. All conditions are looked at before
    /// any write is done.
    pub(super) async fn write(&self, file: &Arc<DatabaseFile>, writes: Vec<Write>) -> Result<Version, StoreError> {
        let (answer, mut outcome) = oneshot::channel();
        self.waiting().push(Request { writes, answer });
        let turn = Arc::clone(&self.committing).lock_owned().await;
        // The transaction that we waited for may have taken our writes with it.
        if let Ok(done) = outcome.try_recv() {
            return done;
        }
        let group = std::mem::take(&mut *self.waiting());
        let group_file = Arc::clone(file);
        let committed = tokio::task::spawn_blocking(move || {
            commit_and_answer(&group_file, group);
            // Held until here, so that a caller who gives up doesn't let the next group in beside this one.
            drop(turn);
        });
        committed.await.map_err(ended)?;
        outcome.await.map_err(|error| {
            let context = "a write ended without an answer".to_owned();
            StoreError::Unavailable { context, source: Box::new(error) }
        })?
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Committer").finish_non_exhaustive()
    }
}

fn commit_and_answer(file: &DatabaseFile, mut group: Vec<Request>) {
    // Who gave up while waiting doesn't want the write any more, and may have done it over since.
    group.retain(|request| !request.answer.is_closed());
    let outcomes = file.with("write to", |database| commit(database, &group));
    match outcomes {
        Ok(outcomes) => {
            for (request, outcome) in group.into_iter().zip(outcomes) {
                // Who gave up meanwhile doesn't hear it.
                let _ = request.answer.send(outcome.map_err(|key| StoreError::Conflict { key }));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for request in group {
                let _ = request.answer.send(Err(share(&error)));
            }
        }
    }
}

/// One error, told to every caller of a group.
fn share(error: &Arc<StoreError>) -> StoreError {
    let source = Box::new(Arc::clone(error));
    let context = "the transaction that the write was part of failed".to_owned();
    if error.is_temporary() {
        return StoreError::Unavailable { context, source };
    }
    match error.as_ref() {
        StoreError::Refused { context, .. } => StoreError::Refused { context: context.clone(), source: Some(source) },
        _ => StoreError::Corrupt { context, source: Some(source) },
    }
}

/// The version of each request's last put, or the key whose condition didn't hold.
fn commit(database: &Database, group: &[Request]) -> Result<Vec<Result<Version, Key>>, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let mut outcomes = Vec::with_capacity(group.len());
    {
        let mut items = transaction.open_table(ITEMS)?;
        let mut counters = transaction.open_table(COUNTERS)?;
        let mut last_version = counters.get(LAST_VERSION)?.map_or(0, |version| version.value());
        for request in group {
            if let Some(key) = first_conflict(&items, &request.writes)? {
                outcomes.push(Err(key));
                continue;
            }
            for write in &request.writes {
                apply(&mut items, write, &mut last_version)?;
            }
            outcomes.push(Ok(Version(last_version)));
        }
        counters.insert(LAST_VERSION, last_version)?;
    }
    if outcomes.iter().all(Result::is_err) {
        transaction.abort()?;
    } else {
        transaction.commit()?;
    }
    Ok(outcomes)
}

type Items<'transaction> = Table<'transaction, (&'static str, &'static str), (u64, &'static [u8])>;

fn first_conflict(items: &Items<'_>, writes: &[Write]) -> Result<Option<Key>, redb::Error> {
    for write in writes {
        if write.condition() == Condition::Any {
            continue;
        }
        let key = write.key();
        let stored = items.get((key.partition.as_str(), key.sort.as_str()))?.map(|entry| Version(entry.value().0));
        let holds = match write.condition() {
            Condition::Any => true,
            Condition::Absent => stored.is_none(),
            Condition::Is(version) => stored == Some(version),
        };
        if !holds {
            return Ok(Some(key.clone()));
        }
    }
    Ok(None)
}

fn apply(items: &mut Items<'_>, write: &Write, last_version: &mut u64) -> Result<(), redb::Error> {
    let key = write.key();
    let place = (key.partition.as_str(), key.sort.as_str());
    match write {
        Write::Put { value, .. } => {
            // Counted for the whole store and never back, so a version outlives the item that had it.
            *last_version += 1;
            items.insert(place, (*last_version, value.as_ref()))?;
        }
        Write::Delete { .. } => {
            items.remove(place)?;
        }
        Write::Check { .. } => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn put(sort: &str) -> Vec<Write> {
        vec![Write::Put { key: Key::new("p", sort), value: "x".into(), condition: Condition::Absent }]
    }

    #[tokio::test]
    async fn who_gave_up_while_waiting_has_nothing_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let file = Arc::new(DatabaseFile::open(&directory.path().join("test.redb")).unwrap());
        let committer = Committer::default();
        let turn = committer.committing.lock().await;
        tokio::time::timeout(Duration::ZERO, committer.write(&file, put("given up"))).await.unwrap_err();
        drop(turn);
        committer.write(&file, put("other")).await.unwrap();
        committer.write(&file, put("given up")).await.unwrap();
    }

    #[tokio::test]
    async fn writes_that_wait_together_see_each_other_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let file = Arc::new(DatabaseFile::open(&directory.path().join("test.redb")).unwrap());
        let committer = Committer::default();
        let delete = vec![Write::Delete { key: Key::new("p", "a"), condition: Condition::Any }];
        let turn = committer.committing.lock().await;
        let writes = futures::future::join_all(
            [put("a"), put("a"), put("b"), delete, put("a")].map(|writes| committer.write(&file, writes)),
        );
        let release = async {
            while committer.waiting().len() < 5 {
                tokio::task::yield_now().await;
            }
            drop(turn);
        };
        let (outcomes, ()) = tokio::join!(writes, release);
        let happened: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(happened, [true, false, true, true, true], "{outcomes:?}");
        assert!(matches!(&outcomes[1], Err(StoreError::Conflict { key }) if *key == Key::new("p", "a")));
    }
}
