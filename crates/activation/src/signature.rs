//! Signatures of webhooks, as Standard Webhooks has them: what a receiver checks with any of its libraries, or a few lines.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freshet_model::SecretName;
use secrecy::{ExposeSecret as _, SecretString};

use crate::ActivationError;

/// Fewest bytes of a secret.
const LEAST_BYTES: usize = 16;
/// What a secret in base64 begins with.
const PREFIX: &str = "whsec_";

/// The keys that sign: one, or two while a secret is being changed.
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// Of a secret's text: `whsec_` and base64, or bytes as they are; two of these separated by blanks sign both.
    pub(crate) fn of(name: &SecretName, secret: &SecretString) -> Result<Self, ActivationError> {
        let wrong = |why| ActivationError::Secret { name: name.to_string(), why };
        let mut keys = Vec::new();
        for text in secret.expose_secret().split_ascii_whitespace() {
            let bytes = match text.strip_prefix(PREFIX) {
                Some(encoded) => STANDARD.decode(encoded).map_err(|_| wrong("what follows whsec_ is not base64"))?,
                None => text.as_bytes().to_vec(),
            };
            if bytes.len() < LEAST_BYTES {
                return Err(wrong("it is shorter than 16 bytes"));
            }
            keys.push(Key::new(HMAC_SHA256, &bytes));
        }
        match keys.len() {
            1 | 2 => Ok(Self(keys)),
            0 => Err(wrong("it is empty")),
            _ => Err(wrong("it holds more than two, separated by blanks")),
        }
    }

    /// The value of the header `webhook-signature`: of each key `v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`.
    pub(crate) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signatures: Vec<String> = self
            .0
            .iter()
            .map(|key| {
                let mut context = Context::with_key(key);
                context.update(format!("{id}.{timestamp}.").as_bytes());
                context.update(body);
                format!("v1,{}", STANDARD.encode(context.sign()))
            })
            .collect();
        signatures.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str) -> Result<Keys, ActivationError> {
        Keys::of(&SecretName::parse("S").unwrap(), &SecretString::from(secret))
    }

    #[test]
    fn the_example_of_standard_webhooks_has_its_signature() {
        let keys = keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_both_and_what_is_wrong_shows_nothing_of_them() {
        let both = keys("0123456789abcdef\nfedcba9876543210\n").unwrap().sign("a", 1, b"x");
        let first = keys("0123456789abcdef").unwrap().sign("a", 1, b"x");
        let second = keys("fedcba9876543210").unwrap().sign("a", 1, b"x");
        assert_eq!(both, format!("{first} {second}"));
        for (secret, says) in [("hunter2", "shorter"), (" \n", "empty"), ("whsec_%%", "base64")] {
            let Err(error) = keys(secret) else { panic!("{says}") };
            let error = error.to_string();
            assert!(error.contains(says) && !error.contains("hunter2") && !error.contains("%%"), "{error}");
        }
    }
}
