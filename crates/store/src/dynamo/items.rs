//! Items, keys and conditions as DynamoDB's attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;

use crate::{Condition, Item, Key, StoreError, Version};

pub(super) type Attributes = HashMap<String, AttributeValue>;

/// Names of the attributes; condition expressions spell the first two out.
pub(super) const PARTITION: &str = "pk";
pub(super) const SORT: &str = "sk";
const VALUE: &str = "value";
const VERSION: &str = "version";

/// A version that no write of any item has had: 64 random bits. Not from a seed, which two processes might share.
pub(super) fn new_version() -> Version {
    Version(rand::random())
}

pub(super) fn key_attributes(key: &Key) -> Attributes {
    HashMap::from([
        (PARTITION.to_owned(), AttributeValue::S(key.partition.clone())),
        (SORT.to_owned(), AttributeValue::S(key.sort.clone())),
    ])
}

pub(super) fn item_attributes(key: &Key, value: Bytes, version: Version) -> Attributes {
    let mut attributes = key_attributes(key);
    attributes.insert(VALUE.to_owned(), AttributeValue::B(Blob::new(value)));
    attributes.insert(VERSION.to_owned(), AttributeValue::N(version.0.to_string()));
    attributes
}

pub(super) fn key(attributes: &Attributes) -> Result<Key, StoreError> {
    let text = |name: &str| attributes.get(name).and_then(|attribute| attribute.as_s().ok()).cloned();
    match (text(PARTITION), text(SORT)) {
        (Some(partition), Some(sort)) => Ok(Key { partition, sort }),
        _ => Err(corrupt("an item has no key of two strings, pk and sk".to_owned())),
    }
}

pub(super) fn item(mut attributes: Attributes) -> Result<Item, StoreError> {
    let key = key(&attributes)?;
    let version = version(&attributes);
    let value = attributes.remove(VALUE);
    if let (Some(version), Some(AttributeValue::B(value))) = (version, value) {
        return Ok(Item { key, value: value.into_inner().into(), version });
    }
    let Key { partition, sort } = key;
    Err(corrupt(format!("the item {partition}/{sort} has no binary value with a version, something else wrote it")))
}

pub(super) fn has_version(attributes: &Attributes, expected: Version) -> bool {
    version(attributes) == Some(expected)
}

fn version(attributes: &Attributes) -> Option<Version> {
    attributes.get(VERSION)?.as_n().ok()?.parse().ok().map(Version)
}

fn corrupt(context: String) -> StoreError {
    StoreError::Corrupt { context, source: None }
}

/// A [`Condition`] as the three parameters of a request.
#[derive(Default)]
pub(super) struct ConditionExpression {
    /// None: there is no condition.
    pub(super) text: Option<String>,
    pub(super) names: Option<HashMap<String, String>>,
    pub(super) values: Option<Attributes>,
}

impl ConditionExpression {
    pub(super) fn of(condition: Condition) -> Self {
        match condition {
            Condition::Any => Self::default(),
            Condition::Absent => Self { text: Some("attribute_not_exists(pk)".to_owned()), ..Self::default() },
            Condition::Is(version) => Self {
                text: Some("#version = :expected".to_owned()),
                names: Some(HashMap::from([("#version".to_owned(), VERSION.to_owned())])),
                values: Some(HashMap::from([(":expected".to_owned(), AttributeValue::N(version.0.to_string()))])),
            },
        }
    }
}
