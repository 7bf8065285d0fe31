//! Issuing tokens and telling whether one still holds.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use freshet_catalog::ApiKey;
use freshet_model::{ResourceKind, Scope, TenantId};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use secrecy::SecretString;

use crate::claims::{AUDIENCE, Claims, ISSUER};
use crate::keys::api_key;
use crate::verified::TokenHash;
use crate::{Access, AccessError, Principal};

/// Longest text that is looked at as a token.
pub const MAX_TOKEN_BYTES: usize = 8_192;
/// How far ahead a token may expire, and for how long after it was issued it may be refreshed.
pub const MAX_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(366 * 24);
/// Within what time a revoked key's tokens are refused everywhere, also where the store can't be reached.
pub const REVOKED_WITHIN: Duration = Duration::from_mins(1);
/// How young a token of a key that the snapshot does not know makes the store be asked: its key may have been made
/// after the snapshot. Above the snapshot's age, with room for clocks that differ.
const YOUNG_TOKEN: SignedDuration = SignedDuration::from_secs(10);

/// A token, and until when it is valid.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: SecretString,
    /// When it expires, in whole seconds.
    pub expires_at: Timestamp,
}

impl Access {
    /// A token of a key for who calls.
    ///
    /// Of its own key it has the scopes of the token that the caller presented. Without `tokens:issue` that is a
    /// refresh, and the token expires earlier than `expires_at` where it has to: it is valid for at most as long as the
    /// presented one was issued for, and not beyond [`MAX_TOKEN_LIFETIME`] after the one that refreshing began with.
    ///
    /// Of another key of its tenant, which takes `tokens:issue`, it has all the scopes of that key. Without `admin`,
    /// none is given of a key that has `admin` or `tokens:issue`, nor of one that may write to streams or query
    /// databases beyond those that the caller's key is limited to.
    ///
    /// # Errors
    /// [`AccessError::MayNotIssue`]; [`AccessError::Expiry`] as of [`Access::issue`].
    pub fn issue_to(
        &self,
        principal: &Principal,
        key: &ApiKey,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<IssuedToken, AccessError> {
        check_expiry(expires_at, now)?;
        let fresh_end = new_refresh_end(now);
        let asked = expires_at.as_second();
        // By the id: under the name of a key that has ended, there may be another by now.
        let (scopes, exp, refresh_end) = if key.id != principal.key_id {
            principal.check_may_issue_for(key)?;
            (&key.definition.scopes, asked, fresh_end)
        } else if principal.has(Scope::TokensIssue) {
            (&principal.scopes, asked, fresh_end)
        } else {
            let within_lifetime = asked.min(now.as_second().saturating_add(principal.token_lifetime));
            (&principal.scopes, within_lifetime.min(principal.refresh_end), principal.refresh_end)
        };
        let token = self.sign(&principal.tenant, key, scopes, Validity { iat: now.as_second(), exp, refresh_end })?;
        Ok(IssuedToken { token, expires_at: Timestamp::from_second(exp).unwrap_or(expires_at) })
    }

    /// A token of a key with those of the given scopes that the key has, until `expires_at` (in whole seconds, rounded
    /// down).
    ///
    /// # Errors
    /// [`AccessError::Expiry`] where that is past, or more than [`MAX_TOKEN_LIFETIME`] ahead.
    pub fn issue(
        &self,
        tenant: &TenantId,
        key: &ApiKey,
        scopes: &[Scope],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<SecretString, AccessError> {
        check_expiry(expires_at, now)?;
        let validity =
            Validity { iat: now.as_second(), exp: expires_at.as_second(), refresh_end: new_refresh_end(now) };
        self.sign(tenant, key, scopes, validity)
    }

    fn sign(
        &self,
        tenant: &TenantId,
        key: &ApiKey,
        scopes: &[Scope],
        validity: Validity,
    ) -> Result<SecretString, AccessError> {
        let mut unique = [0_u8; 16];
        rand::fill(&mut unique).map_err(|_| AccessError::Cryptography { action: "making a token's id" })?;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: key.id.clone(),
            tenant: tenant.clone(),
            name: key.name.clone(),
            scopes: scopes.iter().copied().filter(|scope| key.definition.scopes.contains(scope)).collect(),
            iat: validity.iat,
            exp: validity.exp,
            refresh_end: validity.refresh_end,
            jti: URL_SAFE_NO_PAD.encode(unique),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.signing_key.id.clone());
        jsonwebtoken::encode(&header, &claims, &self.signing_key.encoding)
            .map(SecretString::from)
            .map_err(|_| AccessError::Cryptography { action: "signing a token" })
    }

    /// Whose token this is, and what it allows now.
    ///
    /// # Errors
    /// [`AccessError::Malformed`], [`AccessError::BadSignature`], [`AccessError::Expired`], [`AccessError::Revoked`];
    /// [`AccessError::Unavailable`] where the tenant's keys have not been seen for [`REVOKED_WITHIN`].
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, AccessError> {
        let claims = self.claims(token)?;
        if now.as_second() >= claims.exp {
            return Err(AccessError::Expired);
        }
        let snapshot = self.catalog.snapshot_within(&claims.tenant, REVOKED_WITHIN).await?;
        if let Some(key) = snapshot.api_key_by_id(&claims.sub) {
            return Ok(Principal::new(&claims, key));
        }
        let issued_at = Timestamp::from_second(claims.iat).map_err(|_| AccessError::Malformed)?;
        if now.duration_since(issued_at) > YOUNG_TOKEN {
            return Err(AccessError::Revoked);
        }
        let resource = self.catalog.get(&claims.tenant, ResourceKind::ApiKeys, claims.name.as_str()).await?;
        let key = resource.as_ref().and_then(api_key).filter(|key| key.id == claims.sub);
        key.map(|key| Principal::new(&claims, &key)).ok_or(AccessError::Revoked)
    }

    /// The claims of a token that was signed here.
    fn claims(&self, token: &str) -> Result<Arc<Claims>, AccessError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AccessError::Malformed);
        }
        let hash = TokenHash::of(token);
        if let Some(claims) = self.verified.get(&hash) {
            return Ok(claims);
        }
        let claims = Arc::new(self.signed_claims(token)?);
        self.verified.insert(hash, Arc::clone(&claims));
        Ok(claims)
    }

    /// The claims under a signature of this deployment. Time is not looked at: the library would take it from the
    /// system's clock.
    fn signed_claims(&self, token: &str) -> Result<Claims, AccessError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.signing_key.decoding, &validation);
        let decoded = decoded.map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidAlgorithm
            | ErrorKind::InvalidIssuer
            | ErrorKind::InvalidAudience => AccessError::BadSignature,
            _ => AccessError::Malformed,
        })?;
        if decoded.header.kid.as_deref() != Some(self.signing_key.id.as_str()) {
            return Err(AccessError::BadSignature);
        }
        Ok(decoded.claims)
    }
}

/// From when until when a token is valid, and until when those that come from refreshing it, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Validity {
    iat: i64,
    exp: i64,
    refresh_end: i64,
}

/// Until when a token that is issued now, not refreshed from another, may be refreshed.
fn new_refresh_end(now: Timestamp) -> i64 {
    now.as_second().saturating_add(MAX_TOKEN_LIFETIME.as_secs())
}

fn check_expiry(expires_at: Timestamp, now: Timestamp) -> Result<(), AccessError> {
    if expires_at.as_second() <= now.as_second() {
        return Err(AccessError::Expiry { reason: "is past; name a time ahead, as 2026-06-14T00:24:16Z" });
    }
    if expires_at.duration_since(now) > MAX_TOKEN_LIFETIME {
        return Err(AccessError::Expiry { reason: "is more than 366 days ahead; a token is valid for at most that" });
    }
    Ok(())
}
