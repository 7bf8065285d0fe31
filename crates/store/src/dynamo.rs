//! The store on AWS: one DynamoDB table.

mod batch;
mod calls;
mod items;
mod table;
mod transact;

use std::collections::HashMap;
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use bytes::Bytes;

use self::calls::{ATTEMPT_TIMEOUT, Failed, call};
use self::items::{Attributes, ConditionExpression};
use crate::window::Window;
use crate::{BatchWrite, Condition, Direction, Item, Key, Page, Query, Store, StoreError, Version, Write, limits};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a [`DynamoStore`] keeps its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamoSettings {
    /// The table: partition key `pk` and sort key `sk`, both strings. [`DynamoStore::create_table`] makes it.
    pub table: String,
    /// Address of another server than AWS's, such as `http://127.0.0.1:4566`.
    pub endpoint: Option<String>,
}

/// A [`Store`] in a DynamoDB table.
///
/// Reads are strongly consistent. A call is tried again for up to 15 seconds where that may help, with pauses of random
/// length. The version of an item is 64 random bits, chosen here: never the same twice, whoever writes and whatever
/// was deleted, and known before the write, so that a write that was repeated because its answer was lost recognises
/// itself and is no conflict.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
}

impl DynamoStore {
    /// A store in the table of the settings, with region and credentials of the SDK's configuration. Does no I/O.
    pub fn new(config: &SdkConfig, settings: DynamoSettings) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        // Tried again by `call`, which remembers whether an attempt before may have been carried out.
        let mut client_config = aws_sdk_dynamodb::config::Builder::from(config)
            // The client panics without one.
            .behavior_version(config.behavior_version().unwrap_or_else(BehaviorVersion::latest))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(endpoint) = settings.endpoint {
            client_config = client_config.endpoint_url(endpoint);
        }
        Self { client: Client::from_conf(client_config.build()), table: settings.table }
    }

    fn context(&self, what: &str) -> String {
        format!("could not {what} DynamoDB table {}", self.table)
    }
}

#[async_trait]
impl Store for DynamoStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        limits::check_key(key)?;
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(items::key_attributes(key)))
            .consistent_read(true);
        let output = call(|| request.clone().send())
            .await
            .map_err(|failed| failed.into_error(self.context("get an item of")))?;
        output.item.map(items::item).transpose()
    }

    async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        limits::check_put(key, &value)?;
        let version = items::new_version();
        let expression = ConditionExpression::of(condition);
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(items::item_attributes(key, value, version)))
            .set_condition_expression(expression.text)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(failed) = call(|| request.clone().send()).await else {
            return Ok(version);
        };
        let is_ours = match failed.error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                refusal.item().is_some_and(|stored| items::has_version(stored, version))
            }
            _ => return Err(failed.into_error(self.context("put an item into"))),
        };
        if is_ours {
            return Ok(version);
        }
        Err(conflict(key, failed, self.context("know what became of a put into")))
    }

    async fn delete(&self, key: &Key, condition: Condition) -> Result<(), StoreError> {
        limits::check_key(key)?;
        let expression = ConditionExpression::of(condition);
        let request = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(items::key_attributes(key)))
            .set_condition_expression(expression.text)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values);
        let Err(failed) = call(|| request.clone().send()).await else {
            return Ok(());
        };
        match failed.error.as_service_error() {
            Some(DeleteItemError::ConditionalCheckFailedException(_)) => {
                Err(conflict(key, failed, self.context("know what became of a delete from")))
            }
            _ => Err(failed.into_error(self.context("delete an item from"))),
        }
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        limits::check_query(query)?;
        let Some(window) = Window::of(query) else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let range = KeyRange::of(&query.partition, &window, query.direction);
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression(range.expression)
            .set_expression_attribute_values(Some(range.values))
            .set_exclusive_start_key(range.start.map(|sort| items::key_attributes(&Key::new(&query.partition, sort))))
            .scan_index_forward(query.direction == Direction::Forward)
            .limit(i32::try_from(query.limit).unwrap_or(i32::MAX));
        let output =
            call(|| request.clone().send()).await.map_err(|failed| failed.into_error(self.context("query")))?;
        let is_below_upper = |sort: &str| window.upper.is_none_or(|upper| sort < upper);
        let mut page = Page { items: Vec::new(), next: None };
        for attributes in output.items.unwrap_or_default() {
            let item = items::item(attributes)?;
            if is_below_upper(&item.key.sort) {
                page.items.push(item);
            }
        }
        if let Some(last) = output.last_evaluated_key {
            page.next = Some(items::key(&last)?.sort).filter(|sort| is_below_upper(sort));
        }
        Ok(page)
    }

    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        keys.iter().try_for_each(limits::check_key)?;
        self.get_in_batches(keys).await
    }

    async fn batch_write(&self, groups: Vec<Vec<BatchWrite>>) -> Result<(), StoreError> {
        groups.iter().flatten().try_for_each(limits::check_batch_write)?;
        for group in groups {
            self.write_in_batches(group).await?;
        }
        Ok(())
    }

    async fn transact(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        limits::check_transaction(&writes)?;
        self.write_in_transaction(writes).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A read of an item that needn't be there takes no other permission than the store's own work.
        self.get(&Key::new("ping", "ping")).await?;
        Ok(())
    }
}

/// What a condition that didn't hold means: a conflict, unless an attempt before may have been the write that changed
/// the item.
fn conflict<E>(key: &Key, failed: Failed<E>, context: String) -> StoreError
where
    E: std::error::Error + Send + Sync + 'static,
{
    if failed.may_have_happened {
        return StoreError::Unavailable { context, source: Box::new(failed.error) };
    }
    StoreError::Conflict { key: key.clone() }
}

/// A [`Window`] in DynamoDB's terms: one condition on the sort key, and the key to begin after, which needn't exist but
/// must satisfy the condition.
struct KeyRange<'a> {
    expression: &'static str,
    values: Attributes,
    start: Option<&'a str>,
}

impl<'a> KeyRange<'a> {
    fn of(partition: &str, window: &Window<'a>, direction: Direction) -> Self {
        let mut values = HashMap::from([(":partition".to_owned(), AttributeValue::S(partition.to_owned()))]);
        let least = window.least();
        if !least.is_empty() {
            values.insert(":least".to_owned(), AttributeValue::S(least.to_owned()));
        }
        if direction == Direction::Backward {
            // Beginning after the upper bound excludes it.
            let expression = if least.is_empty() { "pk = :partition" } else { "pk = :partition AND sk >= :least" };
            return Self { expression, values, start: window.upper };
        }
        if let Some(upper) = window.upper {
            values.insert(":upper".to_owned(), AttributeValue::S(upper.to_owned()));
        }
        let expression = match (least.is_empty(), window.upper.is_some()) {
            (true, false) => "pk = :partition",
            (true, true) => "pk = :partition AND sk < :upper",
            (false, false) => "pk = :partition AND sk >= :least",
            // There is no condition with one bound included and one excluded; the caller leaves out what lies at the upper.
            (false, true) => "pk = :partition AND sk BETWEEN :least AND :upper",
        };
        let start = match window.lower {
            Bound::Excluded(after) => Some(after),
            Bound::Included(_) | Bound::Unbounded => None,
        };
        Self { expression, values, start }
    }
}
