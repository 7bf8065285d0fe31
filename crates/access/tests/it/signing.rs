//! Keys that sign tokens.

use freshet_access::{SigningKey, SigningKeyError};
use rstest::rstest;
use secrecy::ExposeSecret;

use crate::support::secret;

/// Made by `openssl genpkey -algorithm ed25519`; used nowhere else.
const OPENSSL: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIMjkOkoAmSXdOGuXeVeZK9mjkVlLzr9+X5yb+a6N+WCk
-----END PRIVATE KEY-----
";

#[test]
fn a_key_is_written_and_read_again() {
    let key = SigningKey::generate().unwrap();
    let again = SigningKey::from_pem(&key.to_pem()).unwrap();
    assert_eq!(again.to_pem().expose_secret(), key.to_pem().expose_secret());
    assert_eq!(format!("{again:?}"), format!("{key:?}"));
    assert_ne!(format!("{:?}", SigningKey::generate().unwrap()), format!("{key:?}"));
}

#[test]
fn a_key_of_openssl_is_read() {
    let key = SigningKey::from_pem(&secret(OPENSSL)).unwrap();
    assert_eq!(key.to_pem().expose_secret(), OPENSSL);
}

#[rstest]
#[case::nothing("", SigningKeyError::NotPem)]
#[case::text("hunter2", SigningKeyError::NotPem)]
#[case::not_base64("-----BEGIN PRIVATE KEY-----\n%%%\n-----END PRIVATE KEY-----", SigningKeyError::NotPem)]
#[case::public(
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----",
    SigningKeyError::NotPem
)]
#[case::cut_off(
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp\n-----END PRIVATE KEY-----",
    SigningKeyError::NotEd25519
)]
fn other_texts_are_refused(#[case] text: &str, #[case] expected: SigningKeyError) {
    assert_eq!(SigningKey::from_pem(&secret(text)).unwrap_err(), expected);
}
