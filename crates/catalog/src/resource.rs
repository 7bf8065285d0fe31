//! One resource as the catalog keeps it.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use freshet_model::{ApiKeyId, Definition, Problems, ResourceKind, ResourceName, TableName};
use freshet_store::Item;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::CatalogError;

/// The version of a resource, as HTTP's `ETag` and `If-Match` carry it: `"17"`, quotes included. It is the tenant's
/// revision at which the resource was last written, so it is never used again, not even after the resource was deleted
/// and made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag(pub(crate) u64);

/// A text that is no [`ETag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an ETag of a resource; write it as it was received, quotes included, as \"17\"")]
pub struct InvalidETag;

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl FromStr for ETag {
    type Err = InvalidETag;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(InvalidETag)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidETag);
        }
        digits.parse().map(Self).map_err(|_| InvalidETag)
    }
}

/// One resource as the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name, as it was first written.
    pub name: String,
    /// What it is. The id of a stream or an index is always there.
    pub definition: Definition,
    /// Its version.
    pub etag: ETag,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Of a table: it takes only records received at this time or later; none: from the first that the queue still has.
    /// Resolved from [`freshet_model::Start`] when the table is made and each time it goes from inactive to active.
    pub start_at: Option<Timestamp>,
    /// Of an API key: its identity, given when it is made. A key deleted and made anew under its name is another.
    pub key_id: Option<ApiKeyId>,
}

impl Resource {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        self.definition.kind()
    }
}

/// What must hold for a resource to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// It is there, at this version.
    IfMatch(ETag),
    /// It is not there.
    IfAbsent,
}

/// What a [`crate::Catalog::put`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there before.
    Created,
    /// It was there and is different now.
    Changed,
    /// It was there as it is; nothing was written.
    Unchanged,
}

/// What a [`crate::Catalog::put`] did, and the resource as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutOutcome {
    /// The resource as it is now.
    pub resource: Resource,
    /// What happened to it.
    pub change: Change,
}

/// The identity of a resource within its tenant. Names of one kind differ by more than case, so the name is kept in
/// lower case: a second spelling meets the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) kind: ResourceKind,
    lower_name: String,
}

impl Identity {
    pub(crate) fn new(kind: ResourceKind, name: &str) -> Self {
        Self { kind, lower_name: name.to_ascii_lowercase() }
    }

    /// The sort key of its item.
    pub(crate) fn sort_key(&self) -> String {
        format!("{}/{}", self.kind, self.lower_name)
    }
}

/// Whether a name is allowed for a kind.
pub(crate) fn check_name(kind: ResourceKind, path: &str, name: &str) -> Result<(), Problems> {
    let checked = match kind {
        ResourceKind::Tables => TableName::parse(name).map(drop),
        // Calls name a key by its name or by its id, so no name may be an id.
        ResourceKind::ApiKeys if ApiKeyId::parse(name).is_ok() => {
            return Err(Problems::one(path, format!("{name:?} has the form of a key's id; use another name")));
        }
        ResourceKind::Streams
        | ResourceKind::Databases
        | ResourceKind::Queries
        | ResourceKind::Indexes
        | ResourceKind::Activations
        | ResourceKind::ApiKeys => ResourceName::parse(name).map(drop),
    };
    checked.map_err(|refusal| Problems::one(path, refusal.to_string()))
}

/// One resource of a kind, in words.
pub(crate) fn singular(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Streams => "stream",
        ResourceKind::Databases => "database",
        ResourceKind::Tables => "table",
        ResourceKind::Queries => "saved query",
        ResourceKind::Indexes => "profile index",
        ResourceKind::Activations => "activation",
        ResourceKind::ApiKeys => "API key",
    }
}

/// What an item of the store holds.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    name: String,
    revision: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<ApiKeyId>,
    /// Of a table: it was deleted, and its rows are still there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    definition: Value,
}

/// A resource as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is there.
    Live(Resource),
    /// It is a table that was deleted. Its rows are still there, so a table made later under its name continues it.
    Deleted(Resource),
}

impl Kept {
    /// The resource if it is there.
    pub(crate) fn live(self) -> Option<Resource> {
        match self {
            Self::Live(resource) => Some(resource),
            Self::Deleted(_) => None,
        }
    }

    /// The bytes of its item.
    pub(crate) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let (Self::Live(resource) | Self::Deleted(resource)) = self;
        let stored = Stored {
            name: resource.name.clone(),
            revision: resource.etag.0,
            created_at: resource.created_at,
            updated_at: resource.updated_at,
            start_at: resource.start_at,
            key_id: resource.key_id.clone(),
            deleted: matches!(self, Self::Deleted(_)),
            definition: serde_json::to_value(&resource.definition)?,
        };
        serde_json::to_vec(&stored).map(Bytes::from)
    }
}

/// A resource of its item.
pub(crate) fn decode(kind: ResourceKind, item: &Item) -> Result<Kept, CatalogError> {
    let corrupt =
        |reason: String| CatalogError::Corrupt { key: format!("{}/{}", item.key.partition, item.key.sort), reason };
    let stored: Stored = serde_json::from_slice(&item.value).map_err(|error| corrupt(error.to_string()))?;
    let definition =
        Definition::read(kind, "", &stored.definition).map_err(|problems| corrupt(problems.to_string()))?;
    let resource = Resource {
        name: stored.name,
        definition,
        etag: ETag(stored.revision),
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        start_at: stored.start_at,
        key_id: stored.key_id,
    };
    Ok(if stored.deleted { Kept::Deleted(resource) } else { Kept::Live(resource) })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("\"17\"", Ok(ETag(17)))]
    #[case("17", Err(InvalidETag))]
    #[case("\"\"", Err(InvalidETag))]
    #[case("\"+17\"", Err(InvalidETag))]
    #[case("W/\"17\"", Err(InvalidETag))]
    #[case("\"99999999999999999999999\"", Err(InvalidETag))]
    fn etags(#[case] text: &str, #[case] expected: Result<ETag, InvalidETag>) {
        assert_eq!(text.parse(), expected);
        if let Ok(etag) = expected {
            assert_eq!(etag.to_string(), text);
        }
    }
}
