//! Transactions.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem};

use super::DynamoStore;
use super::calls::call_unless;
use super::items::{self, ConditionExpression};
use crate::{Condition, Key, StoreError, Write};

const CONDITION_FAILED: &str = "ConditionalCheckFailed";
/// Reasons to cancel a transaction that another one, or the load, gave; not its own conditions.
const TEMPORARY_REASONS: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

impl DynamoStore {
    pub(super) async fn write_in_transaction(&self, mut writes: Vec<Write>) -> Result<(), StoreError> {
        // A check of nothing can't be expressed, and needn't be.
        writes.retain(|write| !matches!(write, Write::Check { condition: Condition::Any, .. }));
        if writes.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = writes.iter().map(|write| write.key().clone()).collect();
        let members = writes.into_iter().map(|write| self.member(write)).collect::<Result<Vec<_>, _>>()?;
        // With one token for all attempts, one that follows a success whose answer was lost succeeds without effect.
        let token = format!("{:032x}", rand::random::<u128>());
        let request = self.client.transact_write_items().set_transact_items(Some(members)).client_request_token(token);
        let Err(failed) = call_unless(|| request.clone().send(), is_cancelled_by_others).await else {
            return Ok(());
        };
        if let Some(key) = failed.error.as_service_error().and_then(|error| first_conflict(error, &keys)) {
            return Err(StoreError::Conflict { key: key.clone() });
        }
        Err(failed.into_error(self.context("write a transaction to")))
    }

    fn member(&self, write: Write) -> Result<TransactWriteItem, StoreError> {
        let expression = ConditionExpression::of(write.condition());
        let member = TransactWriteItem::builder();
        let member = match write {
            Write::Put { key, value, .. } => member.put(
                Put::builder()
                    .table_name(&self.table)
                    .set_item(Some(items::item_attributes(&key, value, items::new_version())))
                    .set_condition_expression(expression.text)
                    .set_expression_attribute_names(expression.names)
                    .set_expression_attribute_values(expression.values)
                    .build()
                    .map_err(|error| self.malformed(error))?,
            ),
            Write::Delete { key, .. } => member.delete(
                Delete::builder()
                    .table_name(&self.table)
                    .set_key(Some(items::key_attributes(&key)))
                    .set_condition_expression(expression.text)
                    .set_expression_attribute_names(expression.names)
                    .set_expression_attribute_values(expression.values)
                    .build()
                    .map_err(|error| self.malformed(error))?,
            ),
            Write::Check { key, .. } => member.condition_check(
                ConditionCheck::builder()
                    .table_name(&self.table)
                    .set_key(Some(items::key_attributes(&key)))
                    .set_condition_expression(expression.text)
                    .set_expression_attribute_names(expression.names)
                    .set_expression_attribute_values(expression.values)
                    .build()
                    .map_err(|error| self.malformed(error))?,
            ),
        };
        Ok(member.build())
    }
}

/// The key of the first write whose condition didn't hold: reasons come in the order of the writes.
fn first_conflict<'a>(error: &TransactWriteItemsError, keys: &'a [Key]) -> Option<&'a Key> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
        return None;
    };
    let mut reasons = cancelled.cancellation_reasons().iter().zip(keys);
    reasons.find(|(reason, _)| reason.code() == Some(CONDITION_FAILED)).map(|(_, key)| key)
}

/// Whether a transaction failed only because of other transactions or the load.
fn is_cancelled_by_others(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
        return false;
    };
    let mut codes = cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
    codes.clone().any(|code| TEMPORARY_REASONS.contains(&code))
        && codes.all(|code| code == "None" || TEMPORARY_REASONS.contains(&code))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::CancellationReason;
    use aws_sdk_dynamodb::types::error::TransactionCanceledException;
    use rstest::rstest;

    use super::*;

    /// MiniStack never cancels a transaction because of another one, AWS does.
    #[rstest]
    #[case::other_transaction(&["None", "TransactionConflict"], true, None)]
    #[case::load(&["ThrottlingError", "None"], true, None)]
    #[case::condition(&["None", "ConditionalCheckFailed"], false, Some("1"))]
    #[case::first_condition(&["ConditionalCheckFailed", "ConditionalCheckFailed"], false, Some("0"))]
    #[case::condition_and_other_transaction(&["TransactionConflict", "ConditionalCheckFailed"], false, Some("1"))]
    #[case::malformed(&["ValidationError", "TransactionConflict"], false, None)]
    fn reasons_for_a_cancelled_transaction(
        #[case] codes: &[&str],
        #[case] is_temporary: bool,
        #[case] conflict: Option<&str>,
    ) {
        let reasons = codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect();
        let error = TransactWriteItemsError::TransactionCanceledException(
            TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons)).build(),
        );
        let keys = [Key::new("p", "0"), Key::new("p", "1")];
        assert_eq!(is_cancelled_by_others(&error), is_temporary);
        assert_eq!(first_conflict(&error, &keys).map(|key| key.sort.as_str()), conflict);
    }
}
