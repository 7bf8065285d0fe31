//! API keys: named identities of a tenant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Problems, ResourceName, did_you_mean, read_object};

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Post records to streams.
    #[serde(rename = "streams:write")]
    StreamsWrite,
    /// Query tables with SQL.
    #[serde(rename = "tables:query")]
    TablesQuery,
    /// Look profiles up.
    #[serde(rename = "profiles:read")]
    ProfilesRead,
    /// Issue tokens for any key of the tenant that has neither this scope nor `admin`, and no streams, databases and
    /// indexes beyond the issuer's own; together with `admin`, for any key.
    #[serde(rename = "tokens:issue")]
    TokensIssue,
    /// Change and see all resources of the tenant.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] =
        [Self::StreamsWrite, Self::TablesQuery, Self::ProfilesRead, Self::TokensIssue, Self::Admin];

    /// As in definitions and tokens: `streams:write`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StreamsWrite => "streams:write",
            Self::TablesQuery => "tables:query",
            Self::ProfilesRead => "profiles:read",
            Self::TokensIssue => "tokens:issue",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str);
            format!("unknown scope {text:?}; the scopes are {}{}", names.join(", "), did_you_mean(text, names))
        })
    }
}

/// A named identity with scopes, and the streams, databases and indexes that it may touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKeyDefinition {
    /// What its tokens allow; at least one.
    pub scopes: Vec<Scope>,
    /// The streams that it may write to, by name; none: every stream of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<Vec<ResourceName>>,
    /// The databases that it may query and whose indexes it may read, by name; none: every database of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<ResourceName>>,
    /// The profile indexes that it may read, by name, as far as it may their databases; none: every index of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexes: Option<Vec<ResourceName>>,
}

impl ApiKeyDefinition {
    /// Reads an API key from what stands at `path` of a document.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &str, value: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let definition = read_object(path, value, &mut problems).map(|mut fields| {
            let mut scopes: Vec<Scope> = fields.list("scopes").unwrap_or_else(|| {
                fields.problem("scopes", "is missing; for example scopes = [\"streams:write\"]");
                Vec::new()
            });
            scopes.sort_unstable();
            scopes.dedup();
            let streams = fields.list("streams");
            let databases = fields.list("databases");
            let indexes = fields.list("indexes");
            fields.finish();
            Self { scopes, streams, databases, indexes }
        });
        match definition {
            Some(definition) => {
                if definition.scopes.is_empty() && problems.is_empty() {
                    problems.add(format!("{path}.scopes").trim_start_matches('.'), "must name at least one scope");
                }
                problems.or(definition)
            }
            None => Err(problems),
        }
    }
}
