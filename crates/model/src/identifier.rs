//! Identifiers: text that has been checked once and can't hold anything else afterwards.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the identifier it was meant to be. The message says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not a {what}: {rule}")]
pub struct InvalidIdentifier {
    what: &'static str,
    rule: &'static str,
    shown: String,
}

/// Longest part of a refused text that an error repeats, in characters.
const SHOWN: usize = 64;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text and keeps it.
            ///
            /// # Errors
            /// The text breaks the rule that the type's documentation states.
            pub fn parse(text: &str) -> Result<Self, InvalidIdentifier> {
                let allowed: fn(&str) -> bool = $check;
                if allowed(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(InvalidIdentifier { what: $what, rule: $rule, shown: text.chars().take(SHOWN).collect() })
                }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidIdentifier;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn length_and_characters(text: &str, longest: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(allowed)
}

fn starts_with(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(allowed)
}

identifier!(
    /// A customer of the deployment. It stands in storage paths and catalog keys, so only characters that mean
    /// nothing there are allowed: 1 to 63 of `a-z 0-9 -`, beginning with a letter or digit.
    TenantId,
    "tenant",
    "1 to 63 of a-z, 0-9 and -, beginning with a letter or digit",
    |text| {
        length_and_characters(text, 63, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && starts_with(text, |byte| byte != b'-')
    }
);

identifier!(
    /// A stream's endpoint: `is-` and 9 to 61 letters or digits, e.g. `is-2hzqsgX1E`.
    StreamId,
    "stream id",
    "is- and 9 to 61 letters or digits, as is-2hzqsgX1E",
    |text| {
        text.strip_prefix("is-").is_some_and(|rest| {
            rest.len() >= 9 && length_and_characters(rest, 61, |byte| byte.is_ascii_alphanumeric())
        })
    }
);

impl StreamId {
    /// A new stream's identifier from 128 random bits.
    #[must_use]
    pub fn from_random_bits(bits: u128) -> Self {
        Self(made("is-", bits))
    }
}

/// A prefix and twelve letters or digits: 71 random bits.
fn made(prefix: &str, bits: u128) -> Arc<str> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = bits;
    let mut text = prefix.to_owned();
    for _ in 0..12 {
        let digit = usize::try_from(rest % 62).ok().and_then(|at| DIGITS.get(at)).copied().unwrap_or(b'0');
        text.push(char::from(digit));
        rest /= 62;
    }
    Arc::from(text)
}

identifier!(
    /// The name of a resource in a resource file and in the admin API: 1 to 128 of `A-Z a-z 0-9 _ -`, beginning
    /// with a letter or digit.
    ResourceName,
    "name",
    "1 to 128 of A-Z, a-z, 0-9, _ and -, beginning with a letter or digit",
    |text| {
        length_and_characters(text, 128, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
            && starts_with(text, |byte| byte.is_ascii_alphanumeric())
    }
);

identifier!(
    /// A real-time table: an SQL identifier that needs no quotes but for its case: 1 to 120 of `A-Z a-z 0-9 _`, not
    /// beginning with a digit and not ending in `_failed`, which names the table of the rows that failed.
    TableName,
    "table name",
    "1 to 120 of A-Z, a-z, 0-9 and _, not beginning with a digit and not ending in _failed",
    |text| {
        length_and_characters(text, 120, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && starts_with(text, |byte| !byte.is_ascii_digit())
            && !text.to_ascii_lowercase().ends_with("_failed")
    }
);

impl TableName {
    /// The table in which rows that failed are kept: `<table>_failed`.
    #[must_use]
    pub fn failed(&self) -> String {
        format!("{self}_failed")
    }
}

identifier!(
    /// A column: 1 to 255 letters, digits and `_` (ASCII).
    ColumnName,
    "column name",
    "1 to 255 of A-Z, a-z, 0-9 and _",
    |text| length_and_characters(text, 255, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
);

identifier!(
    /// A request: the caller's, or a UUIDv7 of ours. 1 to 128 of `A-Z a-z 0-9 . _ -`.
    RequestId,
    "request id",
    "1 to 128 of A-Z, a-z, 0-9, ., _ and -",
    |text| length_and_characters(text, 128, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
);

identifier!(
    /// An API key's public identity, also its `client_id`: `ak-` and 9 to 61 letters or digits.
    ApiKeyId,
    "API key id",
    "ak- and 9 to 61 letters or digits",
    |text| {
        text.strip_prefix("ak-").is_some_and(|rest| {
            rest.len() >= 9 && length_and_characters(rest, 61, |byte| byte.is_ascii_alphanumeric())
        })
    }
);

impl ApiKeyId {
    /// A new key's identifier from 128 random bits.
    #[must_use]
    pub fn from_random_bits(bits: u128) -> Self {
        Self(made("ak-", bits))
    }
}

identifier!(
    /// A profile index's public identity, which stands in the URLs of profiles: 1 to 64 of `A-Z a-z 0-9 _ -`.
    IndexId,
    "profile index id",
    "1 to 64 of A-Z, a-z, 0-9, _ and -",
    |text| length_and_characters(text, 64, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
);

impl IndexId {
    /// A new index's identifier from 128 random bits.
    #[must_use]
    pub fn from_random_bits(bits: u128) -> Self {
        Self(made("ix-", bits))
    }
}

identifier!(
    /// A parameter of a saved query, which its SQL names with a `$` before it: 1 to 64 of `A-Z a-z 0-9 _`, not
    /// beginning with a digit.
    ParameterName,
    "parameter name",
    "1 to 64 of A-Z, a-z, 0-9 and _, not beginning with a digit",
    |text| {
        length_and_characters(text, 64, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && starts_with(text, |byte| !byte.is_ascii_digit())
    }
);

identifier!(
    /// The name of a secret that the deployment keeps for a tenant: 1 to 64 of `A-Z a-z 0-9 _ -`, beginning with a letter.
    SecretName,
    "name of a secret",
    "1 to 64 of A-Z, a-z, 0-9, _ and -, beginning with a letter",
    |text| {
        length_and_characters(text, 64, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
            && starts_with(text, |byte| byte.is_ascii_alphabetic())
    }
);

identifier!(
    /// The local name of the XML element that makes a row, without a namespace's prefix: 1 to 255 bytes of letters, digits,
    /// `_`, `-` and `.`, beginning with a letter or `_`.
    RowTag,
    "row tag",
    "the name of an element without a prefix: 1 to 255 bytes of letters, digits, _, - and ., beginning with a letter or _",
    |text| {
        let begins = |first: char| first.is_alphabetic() || first == '_';
        (1..=255).contains(&text.len())
            && text.starts_with(begins)
            && text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.'))
    }
);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_documented("is-2hzqsgX1E", true)]
    #[case::too_short("is-2hzqsgX1", false)]
    #[case::other_prefix("si-2hzqsgX1E", false)]
    #[case::punctuation("is-2hzqsg_1E", false)]
    #[case::other_script("is-2hzqsgX1é", false)]
    #[case::empty("", false)]
    fn stream_ids(#[case] text: &str, #[case] allowed: bool) {
        assert_eq!(StreamId::parse(text).is_ok(), allowed);
    }

    #[rstest]
    #[case("acme", true)]
    #[case("-acme", false)]
    #[case("Acme", false)]
    #[case("../etc", false)]
    #[case("a/b", false)]
    fn tenants(#[case] text: &str, #[case] allowed: bool) {
        assert_eq!(TenantId::parse(text).is_ok(), allowed);
    }

    #[rstest]
    #[case("orders", true)]
    #[case("_x1", true)]
    #[case("1x", false)]
    #[case("orders_FAILED", false)]
    #[case("or-ders", false)]
    fn tables(#[case] text: &str, #[case] allowed: bool) {
        assert_eq!(TableName::parse(text).is_ok(), allowed);
    }

    #[rstest]
    #[case("order", true)]
    #[case("Bestellung_ä-1.0", true)]
    #[case("shop:order", false)]
    #[case("1order", false)]
    #[case("order ", false)]
    #[case("<order>", false)]
    fn row_tags(#[case] text: &str, #[case] allowed: bool) {
        assert_eq!(RowTag::parse(text).is_ok(), allowed);
    }

    #[rstest]
    #[case("email", true)]
    #[case("_1", true)]
    #[case("1", false)]
    #[case("$email", false)]
    #[case("e-mail", false)]
    fn parameters(#[case] text: &str, #[case] allowed: bool) {
        assert_eq!(ParameterName::parse(text).is_ok(), allowed);
    }

    #[test]
    fn a_refusal_repeats_the_start_of_the_text_only() {
        let refusal = RequestId::parse(&"ü".repeat(5_000)).unwrap_err().to_string();
        assert!(refusal.len() < 300, "{refusal}");
        assert!(refusal.contains("1 to 128"), "{refusal}");
    }

    #[test]
    fn made_identifiers_are_valid() {
        for bits in [0, 1, u128::MAX] {
            let id = StreamId::from_random_bits(bits);
            assert_eq!(StreamId::parse(id.as_str()).as_ref(), Ok(&id));
            let id = ApiKeyId::from_random_bits(bits);
            assert_eq!(ApiKeyId::parse(id.as_str()).as_ref(), Ok(&id));
            let id = IndexId::from_random_bits(bits);
            assert_eq!(IndexId::parse(id.as_str()).as_ref(), Ok(&id));
            assert!(id.as_str().starts_with("ix-"), "{id}");
        }
    }
}
