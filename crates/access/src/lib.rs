//! Who may do what: API keys, their secrets, the tokens issued for them, and whether a token still holds.
//!
//! An API key is a resource of the catalog ([`freshet_model::ApiKeyDefinition`]: scopes, streams, databases, indexes) and, kept
//! apart from it, a secret of 256 random bits, of which only the SHA-256 is stored. A token is a JWT signed with
//! Ed25519 that names its tenant, its key and its scopes, and expires.
//!
//! Promises:
//! * [`Access::verify`] does no I/O but for the tenant's definitions, which the catalog keeps in memory for 2 s: a
//!   revoked or deleted key's tokens are refused everywhere within [`freshet_catalog::SNAPSHOT_MAX_AGE`], and while the
//!   store can't be reached within [`REVOKED_WITHIN`], after which every token is undecided:
//!   [`AccessError::Unavailable`]. A token's signature is checked when it is first seen and the claims are kept, bounded;
//!   its time and its key are looked at each time.
//! * A token allows at most what it was issued for *and* what its key allows now: narrowing a key narrows its tokens.
//! * Who issues tokens for others gains nothing by it ([`Access::issue_to`]): `tokens:issue` alone gives no token that
//!   may administer or issue, nor one for streams, databases or indexes beyond the issuer's own.
//! * A token that fell into wrong hands does not become one for longer: refreshed, it gives tokens for at most its own
//!   lifetime, and none beyond [`MAX_TOKEN_LIFETIME`] after the first of them was issued.
//! * What is sealed ([`Sealer`]) can be read and made by this deployment alone, and holds for what it was sealed for.
//! * Secrets and tokens are [`secrecy::SecretString`]s: no log, error or `Debug` shows one. A secret is known once,
//!   when it is made.
//!
//! Data goes: bearer token → [`Access::verify`] → [`Principal`], which handlers ask what it may. And: client id and
//! secret → [`Access::authenticate`] → [`Access::issue`] → token. And: principal and key → [`Access::issue_to`] → token.

mod claims;
mod error;
mod keys;
mod principal;
mod sealed;
mod secret;
mod signing;
mod tokens;
mod verified;

use std::sync::Arc;

use freshet_catalog::Catalog;
use freshet_store::Store;

use verified::VerifiedTokens;

pub use error::AccessError;
pub use keys::{KeySecrets, KnownKey, NewSecret};
pub use principal::Principal;
pub use sealed::{NotSealed, Sealer};
pub use secret::PREVIOUS_SECRET_LIFETIME;
pub use signing::{SigningKey, SigningKeyError};
pub use tokens::{IssuedToken, MAX_TOKEN_BYTES, MAX_TOKEN_LIFETIME, REVOKED_WITHIN};

/// API keys and tokens of all tenants.
#[derive(Debug)]
pub struct Access {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    signing_key: SigningKey,
    verified: VerifiedTokens,
}

impl Access {
    /// Over the store that holds the secrets, the catalog that holds the definitions, and the key that signs tokens.
    pub fn new(store: Arc<dyn Store>, catalog: Arc<Catalog>, signing_key: SigningKey) -> Self {
        Self { store, catalog, signing_key, verified: VerifiedTokens::default() }
    }
}
