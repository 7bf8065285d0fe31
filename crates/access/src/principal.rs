//! Who calls.

use freshet_catalog::ApiKey;
use freshet_model::{ApiKeyId, ResourceName, Scope, TenantId};

use crate::AccessError;
use crate::claims::Claims;

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
    /// The databases that it may query and whose indexes it may read, by name; none: every database of the tenant.
    pub databases: Option<Vec<ResourceName>>,
    /// The profile indexes that it may read, by name; none: every index of those databases.
    pub indexes: Option<Vec<ResourceName>>,
    /// For how many seconds its token was issued.
    pub(crate) token_lifetime: i64,
    /// Seconds since 1970: no token that comes from refreshing its token expires later.
    pub(crate) refresh_end: i64,
}

impl Principal {
    /// The holder of a token with these claims, of a key as it is now.
    pub(crate) fn new(claims: &Claims, key: &ApiKey) -> Self {
        let scopes = claims.scopes.iter().copied().filter(|scope| key.definition.scopes.contains(scope)).collect();
        Self {
            tenant: claims.tenant.clone(),
            token_lifetime: claims.exp.saturating_sub(claims.iat),
            refresh_end: claims.refresh_end,
            key_id: key.id.clone(),
            key_name: key.name.clone(),
            scopes,
            streams: key.definition.streams.clone(),
            databases: key.definition.databases.clone(),
            indexes: key.definition.indexes.clone(),
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

    /// Whether it may read the profiles of the index of a name over the database of a name.
    #[must_use]
    pub fn may_read_index(&self, index: &str, database: &str) -> bool {
        self.has(Scope::ProfilesRead)
            && allows(self.indexes.as_deref(), index)
            && allows(self.databases.as_deref(), database)
    }

    /// Whether it may have tokens of another key of its tenant: such that it can't do more with them than was meant for
    /// an issuer. An admin could give itself any right, so nothing is kept from it here.
    pub(crate) fn check_may_issue_for(&self, key: &ApiKey) -> Result<(), AccessError> {
        let refused = |reason| Err(AccessError::MayNotIssue { reason });
        let wanted = &key.definition;
        if !self.has(Scope::TokensIssue) {
            return refused("the token lacks the scope tokens:issue, and the API key is not its own");
        }
        if self.has(Scope::Admin) {
            return Ok(());
        }
        if wanted.scopes.iter().any(|scope| matches!(scope, Scope::Admin | Scope::TokensIssue)) {
            return refused(
                "the API key has the scope admin or tokens:issue; issuing for such a key, unless it is the token's own, takes admin besides tokens:issue",
            );
        }
        if wanted.scopes.contains(&Scope::StreamsWrite) && !covers(self.streams.as_deref(), wanted.streams.as_deref()) {
            return refused("the API key may write to streams that the token's own key is not allowed");
        }
        let reads = [Scope::TablesQuery, Scope::ProfilesRead].iter().any(|scope| wanted.scopes.contains(scope));
        if reads && !covers(self.databases.as_deref(), wanted.databases.as_deref()) {
            return refused("the API key may query databases that the token's own key is not allowed");
        }
        if wanted.scopes.contains(&Scope::ProfilesRead) && !covers(self.indexes.as_deref(), wanted.indexes.as_deref()) {
            return refused("the API key may read indexes that the token's own key is not allowed");
        }
        Ok(())
    }
}

fn allows(names: Option<&[ResourceName]>, asked: &str) -> bool {
    names.is_none_or(|names| names.iter().any(|name| name.as_str() == asked))
}

/// Whether a grant holds all of another; none is everything.
fn covers(grant: Option<&[ResourceName]>, wanted: Option<&[ResourceName]>) -> bool {
    match (grant, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(grant), Some(wanted)) => wanted.iter().all(|name| grant.contains(name)),
    }
}
