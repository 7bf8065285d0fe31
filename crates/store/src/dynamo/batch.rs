//! Many items at once, in requests of as many as DynamoDB takes.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{DeleteRequest, KeysAndAttributes, PutRequest, WriteRequest};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::DynamoStore;
use super::calls::{call, pause_after};
use super::items;
use crate::{BatchWrite, Item, Key, StoreError};

/// Most keys of a `BatchGetItem`.
const GET_KEYS: usize = 100;
/// Most items of a `BatchWriteItem`.
const WRITE_ITEMS: usize = 25;
/// Requests of one batch that are under way together.
const CONCURRENCY: usize = 8;
/// Most requests in a row that brought a batch nothing further.
const MAX_IDLE_REQUESTS: u32 = 8;

impl DynamoStore {
    pub(super) async fn get_in_batches(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        // DynamoDB refuses a request that names a key twice.
        let mut found: HashMap<&Key, Option<Item>> = keys.iter().map(|key| (key, None)).collect();
        let distinct_keys: Vec<Key> = found.keys().map(|key| (*key).clone()).collect();
        let chunks: Vec<Vec<Key>> = distinct_keys.chunks(GET_KEYS).map(<[Key]>::to_vec).collect();
        let items: Vec<Vec<Item>> =
            stream::iter(chunks).map(|chunk| self.get_batch(chunk)).buffer_unordered(CONCURRENCY).try_collect().await?;
        for item in items.into_iter().flatten() {
            let key = item.key.clone();
            if let Some(place) = found.get_mut(&key) {
                *place = Some(item);
            }
        }
        Ok(keys.iter().map(|key| found.get(key).cloned().flatten()).collect())
    }

    async fn get_batch(&self, keys: Vec<Key>) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        let mut left = keys.iter().map(items::key_attributes).collect::<Vec<_>>();
        let mut idle_requests = 0;
        while !left.is_empty() {
            let asked = left.len();
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(left))
                .consistent_read(true)
                .build()
                .map_err(|error| self.malformed(error))?;
            let request = self.client.batch_get_item().request_items(&self.table, wanted);
            let output = call(|| request.clone().send())
                .await
                .map_err(|failed| failed.into_error(self.context("get a batch of items of")))?;
            let answers = output.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
            for attributes in answers {
                found.push(items::item(attributes)?);
            }
            let unprocessed = output.unprocessed_keys.unwrap_or_default().remove(&self.table);
            left = unprocessed.map(|keys| keys.keys).unwrap_or_default();
            self.pause_for_the_rest(asked, left.len(), &mut idle_requests).await?;
        }
        Ok(found)
    }

    pub(super) async fn write_in_batches(&self, group: Vec<BatchWrite>) -> Result<(), StoreError> {
        // DynamoDB refuses a request that names a key twice; the later of two stands. The order that a map gives is one of
        // chance, which spreads neighbours, who share a partition, over the requests.
        let last_of_each_key: HashMap<Key, Option<Bytes>> = group
            .into_iter()
            .map(|write| match write {
                BatchWrite::Put(key, value) => (key, Some(value)),
                BatchWrite::Delete(key) => (key, None),
            })
            .collect();
        let mut requests = Vec::with_capacity(last_of_each_key.len());
        for (key, value) in last_of_each_key {
            requests.push(self.write_request(&key, value)?);
        }
        let chunks: Vec<Vec<WriteRequest>> = requests.chunks(WRITE_ITEMS).map(<[WriteRequest]>::to_vec).collect();
        stream::iter(chunks)
            .map(|chunk| self.write_batch(chunk))
            .buffer_unordered(CONCURRENCY)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    /// A put of a value, or a delete.
    fn write_request(&self, key: &Key, value: Option<Bytes>) -> Result<WriteRequest, StoreError> {
        let request = WriteRequest::builder();
        let request = match value {
            Some(value) => request.put_request(
                PutRequest::builder()
                    .set_item(Some(items::item_attributes(key, value, items::new_version())))
                    .build()
                    .map_err(|error| self.malformed(error))?,
            ),
            None => request.delete_request(
                DeleteRequest::builder()
                    .set_key(Some(items::key_attributes(key)))
                    .build()
                    .map_err(|error| self.malformed(error))?,
            ),
        };
        Ok(request.build())
    }

    async fn write_batch(&self, writes: Vec<WriteRequest>) -> Result<(), StoreError> {
        let mut left = writes;
        let mut idle_requests = 0;
        while !left.is_empty() {
            let asked = left.len();
            let request = self.client.batch_write_item().request_items(&self.table, left);
            let output = call(|| request.clone().send())
                .await
                .map_err(|failed| failed.into_error(self.context("write a batch of items to")))?;
            left = output.unprocessed_items.unwrap_or_default().remove(&self.table).unwrap_or_default();
            self.pause_for_the_rest(asked, left.len(), &mut idle_requests).await?;
        }
        Ok(())
    }

    /// Waits before what a request left unprocessed is asked for again: that it did is a sign of load. Gives up when
    /// several in a row did nothing at all.
    async fn pause_for_the_rest(&self, asked: usize, left: usize, idle_requests: &mut u32) -> Result<(), StoreError> {
        if left == 0 {
            return Ok(());
        }
        *idle_requests = if left < asked { 0 } else { *idle_requests + 1 };
        if *idle_requests == MAX_IDLE_REQUESTS {
            let source =
                format!("{left} items of a batch were left unprocessed {MAX_IDLE_REQUESTS} times in a row").into();
            return Err(StoreError::Unavailable { context: self.context("finish a batch on"), source });
        }
        tokio::time::sleep(pause_after(*idle_requests + 1)).await;
        Ok(())
    }
}
