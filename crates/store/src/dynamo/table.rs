//! The table of a [`DynamoStore`].

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
};

use super::DynamoStore;
use super::calls::{call, call_unless, pause_after};
use super::items::{PARTITION, SORT};
use crate::StoreError;

/// Longest wait for a new table; AWS takes some seconds.
const ACTIVE_TIMEOUT: Duration = Duration::from_mins(1);

impl DynamoStore {
    /// Makes the table, paid by request, and waits until it can be used. A table that is there already is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is such a table with other keys, or it may not be made;
    /// [`StoreError::Unavailable`] where it isn't active within a minute.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let request = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(vec![self.string_attribute(PARTITION)?, self.string_attribute(SORT)?]))
            .set_key_schema(Some(vec![
                self.key_element(PARTITION, KeyType::Hash)?,
                self.key_element(SORT, KeyType::Range)?,
            ]));
        if let Err(failed) = call(|| request.clone().send()).await {
            let Some(CreateTableError::ResourceInUseException(_)) = failed.error.as_service_error() else {
                return Err(failed.into_error(self.context("create")));
            };
        }
        self.wait_until_active().await
    }

    async fn wait_until_active(&self) -> Result<(), StoreError> {
        let request = self.client.describe_table().table_name(&self.table);
        let started = Instant::now();
        let mut attempts = 0;
        loop {
            // Reads of what tables there are lag behind their creation.
            let is_not_seen_yet = |error: &DescribeTableError| error.is_resource_not_found_exception();
            let output = call_unless(|| request.clone().send(), is_not_seen_yet)
                .await
                .map_err(|failed| failed.into_error(self.context("describe")))?;
            if let Some(table) = output.table {
                if !has_our_keys(&table) {
                    let context = format!(
                        "{}: it has other keys than a partition key pk and a sort key sk, both strings; give another name",
                        self.context("use"),
                    );
                    return Err(StoreError::Refused { context, source: None });
                }
                if table.table_status == Some(TableStatus::Active) {
                    return Ok(());
                }
            }
            if started.elapsed() > ACTIVE_TIMEOUT {
                let seconds = ACTIVE_TIMEOUT.as_secs();
                let source = format!("it was not active within {seconds} seconds").into();
                return Err(StoreError::Unavailable { context: self.context("use"), source });
            }
            attempts += 1;
            tokio::time::sleep(pause_after(attempts)).await;
        }
    }

    fn string_attribute(&self, name: &str) -> Result<AttributeDefinition, StoreError> {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(|error| self.malformed(error))
    }

    fn key_element(&self, name: &str, key_type: KeyType) -> Result<KeySchemaElement, StoreError> {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(key_type)
            .build()
            .map_err(|error| self.malformed(error))
    }

    /// A request that the SDK wouldn't build.
    pub(super) fn malformed(&self, error: aws_sdk_dynamodb::error::BuildError) -> StoreError {
        StoreError::Refused { context: self.context("make a request to"), source: Some(Box::new(error)) }
    }
}

fn has_our_keys(table: &TableDescription) -> bool {
    let is_key = |name: &str, key_type: &KeyType| {
        let in_schema =
            table.key_schema().iter().any(|element| element.attribute_name() == name && element.key_type() == key_type);
        let is_string = table.attribute_definitions().iter().any(|definition| {
            definition.attribute_name() == name && *definition.attribute_type() == ScalarAttributeType::S
        });
        in_schema && is_string
    };
    is_key(PARTITION, &KeyType::Hash) && is_key(SORT, &KeyType::Range)
}
