//! A queue in memory that can fail, and wait, on demand.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use freshet_model::{Position, QueuedRecord, Record};
use freshet_queue::{Consumer, Queue, QueueError, ReadLimit, Shard, Watermarks};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};

/// What an append does.
#[derive(Debug, Clone)]
pub(crate) enum Appending {
    Works,
    IsUnavailable,
    IsRefused,
    /// Each append waits for a permit.
    Waits(Arc<Semaphore>),
}

/// A queue in memory, of one partition.
#[derive(Debug)]
pub(crate) struct Shelf {
    appending: Appending,
    records: Mutex<Vec<(Shard, Record)>>,
    /// How many appends were begun.
    pub(crate) begun: watch::Sender<usize>,
}

impl Shelf {
    pub(crate) fn new(appending: Appending) -> Arc<Self> {
        Arc::new(Self { appending, records: Mutex::default(), begun: watch::Sender::new(0) })
    }

    /// Everything that was appended.
    pub(crate) fn records(&self) -> Vec<(Shard, Record)> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The payloads of everything that was appended.
    pub(crate) fn payloads(&self) -> Vec<String> {
        let text = |(_, record): (Shard, Record)| String::from_utf8(record.payload.to_vec()).unwrap();
        self.records().into_iter().map(text).collect()
    }
}

#[async_trait]
impl Queue for Shelf {
    fn topic(&self) -> &'static str {
        "shelf"
    }

    fn partitions(&self) -> u32 {
        1
    }

    async fn append(&self, shard: &Shard, records: Vec<Record>) -> Result<Vec<Position>, QueueError> {
        self.begun.send_modify(|begun| *begun += 1);
        match &self.appending {
            Appending::Works => {}
            Appending::IsUnavailable => {
                let source = "broker 10.0.0.7 is down".into();
                return Err(QueueError::Unavailable { context: "appending".to_owned(), source });
            }
            Appending::IsRefused => {
                return Err(QueueError::Refused { context: "no such topic".to_owned(), source: None });
            }
            Appending::Waits(permits) => permits.acquire().await.unwrap().forget(),
        }
        let mut kept = self.records.lock().unwrap();
        let first = kept.len() as u64;
        let positions = (first..).take(records.len()).map(|offset| Position { partition: 0, offset }).collect();
        kept.extend(records.into_iter().map(|record| (shard.clone(), record)));
        Ok(positions)
    }

    async fn read(&self, _: u32, _: u64, _: ReadLimit) -> Result<Vec<QueuedRecord>, QueueError> {
        panic!("ingest reads nothing")
    }

    async fn watermarks(&self, _: u32) -> Result<Watermarks, QueueError> {
        panic!("ingest reads nothing")
    }

    async fn offset_at(&self, _: u32, _: Timestamp) -> Result<u64, QueueError> {
        panic!("ingest reads nothing")
    }

    async fn consumer(self: Arc<Self>, _: &str) -> Result<Box<dyn Consumer>, QueueError> {
        panic!("ingest reads nothing")
    }

    async fn ping(&self) -> Result<(), QueueError> {
        match &self.appending {
            Appending::IsUnavailable => {
                Err(QueueError::Unavailable { context: "asking".to_owned(), source: "broker 10.0.0.7 is down".into() })
            }
            _ => Ok(()),
        }
    }
}
