//! The key that signs tokens.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use secrecy::{ExposeSecret, SecretString};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// What keys that are derived from a signing key are of.
const DERIVATION: &[u8] = b"freshet";
/// Characters of base64 a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// An Ed25519 key that signs tokens, and checks them. Every process of a deployment has the same one.
#[derive(Clone)]
pub struct SigningKey {
    pub(crate) encoding: EncodingKey,
    pub(crate) decoding: DecodingKey,
    pub(crate) id: String,
    pem: SecretString,
    /// Where keys for other purposes come from.
    derivation: Prk,
}

/// Why a text is no signing key. It repeats nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// It is not PEM.
    #[error("the signing key is not PEM: expected base64 between {BEGIN} and {END}")]
    NotPem,
    /// It is not an Ed25519 key.
    #[error("the signing key is not an Ed25519 key in PKCS#8; one is made by: openssl genpkey -algorithm ed25519")]
    NotEd25519,
    /// A key could not be made.
    #[error("making a signing key failed")]
    Generation,
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<Self, SigningKeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| SigningKeyError::Generation)?;
        Self::of(&pair)
    }

    /// A key of its PEM: PKCS#8, as [`SigningKey::to_pem`] and `openssl genpkey -algorithm ed25519` write it.
    pub fn from_pem(pem: &SecretString) -> Result<Self, SigningKeyError> {
        let text = pem.expose_secret().trim();
        let body = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(SigningKeyError::NotPem)?;
        let base64: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_| SigningKeyError::NotPem)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| SigningKeyError::NotEd25519)?;
        Self::of(&pair)
    }

    /// The key as PEM (PKCS#8): keep it where only the deployment can read it.
    #[must_use]
    pub fn to_pem(&self) -> SecretString {
        self.pem.clone()
    }

    /// 256 bits for another purpose than signing, the same in every process that has this key.
    pub(crate) fn derive(&self, purpose: &'static str) -> Result<[u8; 32], Unspecified> {
        let mut bits = [0_u8; 32];
        self.derivation.expand(&[purpose.as_bytes()], HKDF_SHA256)?.fill(&mut bits)?;
        Ok(bits)
    }

    fn of(pair: &Ed25519KeyPair) -> Result<Self, SigningKeyError> {
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(pair).map_err(|_| SigningKeyError::Generation)?;
        let public = pair.public_key().as_ref();
        let fingerprint = digest(&SHA256, public);
        let short = fingerprint.as_ref().get(..12).unwrap_or_default();
        let seed = pair.seed().map_err(|_| SigningKeyError::Generation)?;
        let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| SigningKeyError::Generation)?;
        Ok(Self {
            encoding: EncodingKey::from_ed_der(der.as_ref()),
            decoding: DecodingKey::from_ed_der(public),
            id: URL_SAFE_NO_PAD.encode(short),
            pem: SecretString::from(pem(der.as_ref())),
            derivation: Salt::new(HKDF_SHA256, DERIVATION).extract(seed.as_ref()),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn pem(der: &[u8]) -> String {
    let mut lines = String::new();
    for (at, character) in STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % PEM_LINE == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    format!("{BEGIN}\n{lines}\n{END}\n")
}
