//! Texts that leave the deployment and come back: no one else can read them, make one, or change one.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{Access, AccessError};

/// Seals values for one purpose with a key of the deployment: AES-256-GCM-SIV, whose key is derived from the signing key and the purpose
/// (HKDF with SHA-256), so that what one purpose sealed means nothing to another.
pub struct Sealer {
    key: RandomizedNonceKey,
}

/// A text that was not sealed here, for this purpose and in this context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was not sealed here for this")]
pub struct NotSealed;

impl Access {
    /// What seals and opens for a purpose. Every process of the deployment opens what another sealed.
    ///
    /// # Errors
    /// [`AccessError::Cryptography`].
    pub fn sealer(&self, purpose: &'static str) -> Result<Sealer, AccessError> {
        let failed = AccessError::Cryptography { action: "deriving a key" };
        let Ok(bytes) = self.signing_key.derive(purpose) else { return Err(failed) };
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| failed)?;
        Ok(Sealer { key })
    }
}

impl Sealer {
    /// A value as text (base64url) that [`Sealer::open`] gives back in the same context only: what the value holds for, as a tenant and a name.
    ///
    /// # Errors
    /// [`AccessError::Cryptography`].
    pub fn seal(&self, value: &[u8], context: &[&str]) -> Result<String, AccessError> {
        let mut sealed = value.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(joined(context)), &mut sealed)
            .map_err(|_| AccessError::Cryptography { action: "sealing a value" })?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut sealed);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The value of a text. It is compared in constant time.
    ///
    /// # Errors
    /// [`NotSealed`]: it was forged, changed or cut, or sealed elsewhere, for another purpose or in another context.
    pub fn open(&self, text: &str, context: &[&str]) -> Result<Vec<u8>, NotSealed> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotSealed)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or(NotSealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotSealed)?;
        let mut sealed = sealed.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(joined(context)), &mut sealed).map_err(|_| NotSealed)?;
        Ok(opened.to_vec())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// The parts with their lengths, so that no two lists of parts are the same bytes.
fn joined(context: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(context.iter().map(|part| part.len() + 8).sum());
    for part in context {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}
