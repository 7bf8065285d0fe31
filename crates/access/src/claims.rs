//! What a token says.

use freshet_model::{ApiKeyId, ResourceName, Scope, TenantId};
use serde::{Deserialize, Serialize};

/// Who issues tokens, and for whom they are: a token of another system that happens to share the key is none of ours.
pub(crate) const ISSUER: &str = "freshet";
pub(crate) const AUDIENCE: &str = "freshet";

/// The claims of a token. The streams and databases that its key may touch are not among them: they are the key's as it
/// is now, so that a token stays short however many there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    /// The API key.
    pub(crate) sub: ApiKeyId,
    pub(crate) tenant: TenantId,
    /// The key's name, for logs of whoever decodes a token.
    pub(crate) name: ResourceName,
    pub(crate) scopes: Vec<Scope>,
    /// Seconds since 1970.
    pub(crate) iat: i64,
    /// Seconds since 1970.
    pub(crate) exp: i64,
    /// Seconds since 1970: no token that comes from refreshing this one, over however many refreshes, expires later.
    pub(crate) refresh_end: i64,
    /// 128 random bits, so that no two tokens are the same.
    pub(crate) jti: String,
}
