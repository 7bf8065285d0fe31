//! Secrets of API keys, and how they are kept.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use freshet_model::{ResourceName, TenantId};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::AccessError;

/// How long the previous secret of a key is valid after a new one was made.
pub const PREVIOUS_SECRET_LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What a secret begins with, so that those who scan for leaked secrets know one.
const PREFIX: &str = "fsk_";
/// Longest text that is looked at as a secret.
const MAX_SECRET_BYTES: usize = 256;

/// A new secret: 256 random bits as text.
pub(crate) fn generate() -> Result<SecretString, AccessError> {
    let mut bits = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_| AccessError::Cryptography { action: "making a secret" })?;
    Ok(SecretString::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits))))
}

/// The SHA-256 of a secret. A slow hash would add nothing: 256 random bits can't be guessed however fast one tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretHash(String);

impl SecretHash {
    pub(crate) fn of(secret: &SecretString) -> Self {
        Self(URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.expose_secret().as_bytes())))
    }

    fn matches(&self, secret: &SecretString) -> bool {
        secret.expose_secret().len() <= MAX_SECRET_BYTES
            && verify_slices_are_equal(self.0.as_bytes(), Self::of(secret).0.as_bytes()).is_ok()
    }
}

/// What is stored of a key's secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSecrets {
    pub(crate) tenant: TenantId,
    pub(crate) name: ResourceName,
    /// None once the key is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<CurrentSecret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<PreviousSecret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoked_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CurrentSecret {
    pub(crate) hash: SecretHash,
    pub(crate) created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreviousSecret {
    pub(crate) hash: SecretHash,
    pub(crate) valid_until: Timestamp,
}

impl StoredSecrets {
    /// Whether a secret is valid now.
    pub(crate) fn allow(&self, secret: &SecretString, now: Timestamp) -> bool {
        let current = self.current.as_ref().is_some_and(|current| current.hash.matches(secret));
        let previous =
            self.previous.as_ref().is_some_and(|previous| previous.hash.matches(secret) && now < previous.valid_until);
        self.revoked_at.is_none() && (current || previous)
    }
}
