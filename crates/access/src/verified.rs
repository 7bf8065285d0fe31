//! Tokens whose signature was checked, so that a token that comes a thousand times a second is checked once.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

use crate::claims::Claims;

/// Most tokens of one generation; two are kept, each token of some 500 bytes.
const MAX_TOKENS: usize = 2_048;

/// What names a token: its SHA-256, since nothing that is kept should be usable as a token.
#[derive(Clone)]
pub(crate) struct TokenHash(Digest);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(digest(&SHA256, token.as_bytes()))
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

impl Eq for TokenHash {}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_ref());
    }
}

/// The claims of tokens that this deployment signed. Nothing else about a token is remembered: whether it has expired, and what its key
/// allows now, is asked each time.
///
/// Bounded: tokens come into the newer of two generations, which becomes the older one when it is full; a token that
/// is used again stays, one that isn't goes within two generations.
#[derive(Debug, Default)]
pub(crate) struct VerifiedTokens(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    newer: HashMap<TokenHash, Arc<Claims>>,
    older: HashMap<TokenHash, Arc<Claims>>,
}

impl std::fmt::Debug for Generations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generations").field("newer", &self.newer.len()).field("older", &self.older.len()).finish()
    }
}

impl VerifiedTokens {
    pub(crate) fn get(&self, hash: &TokenHash) -> Option<Arc<Claims>> {
        let mut generations = self.generations();
        if let Some(claims) = generations.newer.get(hash) {
            return Some(Arc::clone(claims));
        }
        let claims = generations.older.remove(hash)?;
        generations.insert(hash.clone(), Arc::clone(&claims));
        Some(claims)
    }

    pub(crate) fn insert(&self, hash: TokenHash, claims: Arc<Claims>) {
        self.generations().insert(hash, claims);
    }

    fn generations(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn insert(&mut self, hash: TokenHash, claims: Arc<Claims>) {
        if self.newer.len() >= MAX_TOKENS {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(hash, claims);
    }
}

#[cfg(test)]
mod tests {
    use freshet_model::{ApiKeyId, ResourceName, TenantId};

    use super::*;

    fn claims(jti: &str) -> Arc<Claims> {
        Arc::new(Claims {
            iss: String::new(),
            aud: String::new(),
            sub: ApiKeyId::parse("ak-000000000000").unwrap(),
            tenant: TenantId::parse("acme").unwrap(),
            name: ResourceName::parse("shop").unwrap(),
            scopes: Vec::new(),
            iat: 0,
            exp: 0,
            refresh_end: 0,
            jti: jti.to_owned(),
        })
    }

    #[test]
    fn a_token_has_its_own_claims_and_another_none() {
        let tokens = VerifiedTokens::default();
        for token in ["a", "b"] {
            tokens.insert(TokenHash::of(token), claims(token));
        }
        assert_eq!(tokens.get(&TokenHash::of("a")), Some(claims("a")));
        assert_eq!(tokens.get(&TokenHash::of("b")), Some(claims("b")));
        assert_eq!(tokens.get(&TokenHash::of("A")), None);
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let tokens = VerifiedTokens::default();
        for token in ["used", "unused"] {
            tokens.insert(TokenHash::of(token), claims(token));
        }
        for number in 0..3 * MAX_TOKENS {
            assert!(tokens.get(&TokenHash::of("used")).is_some(), "after {number} others");
            tokens.insert(TokenHash::of(&number.to_string()), claims("other"));
        }
        assert!(tokens.get(&TokenHash::of("unused")).is_none());
        let generations = tokens.generations();
        assert!(generations.newer.len() <= MAX_TOKENS && generations.older.len() <= MAX_TOKENS);
    }
}
