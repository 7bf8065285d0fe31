//! Who calls.

use freshet_catalog::ApiKey;
use freshet_model::{ApiKeyId, ResourceName, Scope, TenantId};

/// Who calls, and what they may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The tenant; everything that a call does happens within it.
    pub tenant: TenantId,
    /// The API key of the token.
    pub key_id: ApiKeyId,
    /// The key's name.
    pub key_name: ResourceName,
    /// What the token allows: its own scopes that its key still has.
    pub scopes: Vec<Scope>,
    /// The streams that it may write to, by name; none: every stream of the tenant.
    pub streams: Option<Vec<ResourceName>>,
    /// The databases that it may query, by name; none: every database of the tenant.
    pub databases: Option<Vec<ResourceName>>,
}

impl Principal {
    /// The holder of a token with these scopes, of a key as it is now.
    pub(crate) fn new(tenant: TenantId, key: &ApiKey, token_scopes: &[Scope]) -> Self {
        let scopes = token_scopes.iter().copied().filter(|scope| key.definition.scopes.contains(scope)).collect();
        Self {
            tenant,
            key_id: key.id.clone(),
            key_name: key.name.clone(),
            scopes,
            streams: key.definition.streams.clone(),
            databases: key.definition.databases.clone(),
        }
    }

    /// Whether it has a scope.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may post records to the stream of a name.
    #[must_use]
    pub fn may_write(&self, stream: &str) -> bool {
        self.has(Scope::StreamsWrite) && allows(self.streams.as_deref(), stream)
    }

    /// Whether it may query the database of a name.
    #[must_use]
    pub fn may_query(&self, database: &str) -> bool {
        self.has(Scope::TablesQuery) && allows(self.databases.as_deref(), database)
    }
}

fn allows(names: Option<&[ResourceName]>, asked: &str) -> bool {
    names.is_none_or(|names| names.iter().any(|name| name.as_str() == asked))
}
