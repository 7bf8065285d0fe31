//! Issuing tokens and telling whether one still holds.

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
use crate::{Access, AccessError, Principal};

/// Longest text that is looked at as a token.
pub const MAX_TOKEN_BYTES: usize = 8_192;
/// How far ahead a token may expire.
pub const MAX_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(366 * 24);
/// How young a token of a key that the snapshot does not know makes the store be asked: its key may have been made
/// after the snapshot. Above the snapshot's age, with room for clocks that differ.
const YOUNG_TOKEN: SignedDuration = SignedDuration::from_secs(10);

impl Access {
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
        if expires_at.as_second() <= now.as_second() {
            return Err(AccessError::Expiry { reason: "is past; name a time ahead, as 2026-06-14T00:24:16Z" });
        }
        if expires_at.duration_since(now) > MAX_TOKEN_LIFETIME {
            return Err(AccessError::Expiry {
                reason: "is more than 366 days ahead; a token is valid for at most that",
            });
        }
        let mut unique = [0_u8; 16];
        rand::fill(&mut unique).map_err(|_| AccessError::Cryptography { action: "making a token's id" })?;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: key.id.clone(),
            tenant: tenant.clone(),
            name: key.name.clone(),
            scopes: scopes.iter().copied().filter(|scope| key.definition.scopes.contains(scope)).collect(),
            iat: now.as_second(),
            exp: expires_at.as_second(),
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
    /// [`AccessError::Unavailable`] where the tenant's keys have not been seen for too long to tell.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, AccessError> {
        let claims = self.claims(token)?;
        if now.as_second() >= claims.exp {
            return Err(AccessError::Expired);
        }
        let snapshot = self.catalog.snapshot(&claims.tenant).await?;
        if let Some(key) = snapshot.api_key_by_id(&claims.sub) {
            return Ok(Principal::new(claims.tenant, key, &claims.scopes));
        }
        let issued_at = Timestamp::from_second(claims.iat).map_err(|_| AccessError::Malformed)?;
        if now.duration_since(issued_at) > YOUNG_TOKEN {
            return Err(AccessError::Revoked);
        }
        let resource = self.catalog.get(&claims.tenant, ResourceKind::ApiKeys, claims.name.as_str()).await?;
        let key = resource.as_ref().and_then(api_key).filter(|key| key.id == claims.sub);
        key.map(|key| Principal::new(claims.tenant, &key, &claims.scopes)).ok_or(AccessError::Revoked)
    }

    /// The claims of a token that was signed here. Time is not looked at: the library would take it from the system's
    /// clock.
    fn claims(&self, token: &str) -> Result<Claims, AccessError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AccessError::Malformed);
        }
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
