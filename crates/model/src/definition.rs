//! What all resources have in common.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ActivationDefinition, ApiKeyDefinition, DatabaseDefinition, IndexDefinition, Problems, QueryDefinition,
    StreamDefinition, TableDefinition, did_you_mean,
};

/// The kinds of resources, in the order in which one may refer to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// Endpoints that records are posted to.
    Streams,
    /// Named sets of tables that queries run in.
    Databases,
    /// Delta tables fed by a stream.
    Tables,
    /// SELECTs over a database, kept under a name.
    Queries,
    /// Profiles by key, kept from a SELECT over a database.
    Indexes,
    /// Results of saved queries that are sent somewhere.
    Activations,
    /// Named identities with scopes.
    ApiKeys,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Streams, Self::Databases, Self::Tables, Self::Queries, Self::Indexes, Self::Activations, Self::ApiKeys];

    /// As in a resource file and in a URL: `streams`, `databases`, `tables`, `queries`, `indexes`, `activations`, `api-keys`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Databases => "databases",
            Self::Tables => "tables",
            Self::Queries => "queries",
            Self::Indexes => "indexes",
            Self::Activations => "activations",
            Self::ApiKeys => "api-keys",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ResourceKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str);
            format!(
                "unknown kind of resource {text:?}; the kinds are {}{}",
                names.join(", "),
                did_you_mean(text, names)
            )
        })
    }
}

/// The definition of one resource, of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Definition {
    /// Of a stream.
    Stream(StreamDefinition),
    /// Of a database.
    Database(DatabaseDefinition),
    /// Of a table.
    Table(TableDefinition),
    /// Of a saved query.
    Query(QueryDefinition),
    /// Of a profile index.
    Index(IndexDefinition),
    /// Of an activation.
    Activation(ActivationDefinition),
    /// Of an API key.
    ApiKey(ApiKeyDefinition),
}

impl Definition {
    /// Reads a definition of a kind from what stands at `path` of a document: the body of a `PUT`, what stands under
    /// `[tables.orders]` in a resource file, or what [`Serialize`] wrote.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its path.
    pub fn read(kind: ResourceKind, path: &str, value: &Value) -> Result<Self, Problems> {
        match kind {
            ResourceKind::Streams => StreamDefinition::read(path, value).map(Self::Stream),
            ResourceKind::Databases => DatabaseDefinition::read(path, value).map(Self::Database),
            ResourceKind::Tables => TableDefinition::read(path, value).map(Self::Table),
            ResourceKind::Queries => QueryDefinition::read(path, value).map(Self::Query),
            ResourceKind::Indexes => IndexDefinition::read(path, value).map(Self::Index),
            ResourceKind::Activations => ActivationDefinition::read(path, value).map(Self::Activation),
            ResourceKind::ApiKeys => ApiKeyDefinition::read(path, value).map(Self::ApiKey),
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::Stream(_) => ResourceKind::Streams,
            Self::Database(_) => ResourceKind::Databases,
            Self::Table(_) => ResourceKind::Tables,
            Self::Query(_) => ResourceKind::Queries,
            Self::Index(_) => ResourceKind::Indexes,
            Self::Activation(_) => ResourceKind::Activations,
            Self::ApiKey(_) => ResourceKind::ApiKeys,
        }
    }
}
