//! Why access is refused.

use freshet_catalog::CatalogError;
use freshet_store::StoreError;

/// Why access is refused, or why that can't be told. No variant holds a token or a secret.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The text is no token.
    #[error("the token is malformed")]
    Malformed,
    /// The token was not signed by this deployment.
    #[error("the token was not issued here")]
    BadSignature,
    /// The token's time is over.
    #[error("the token has expired")]
    Expired,
    /// The token's key was revoked or deleted.
    #[error("the token's key was revoked")]
    Revoked,
    /// There is no such client, its secret is another, or it was revoked: which of these is not told.
    #[error("the client id or the client secret is not right")]
    WrongCredentials,
    /// A token can't be issued until then.
    #[error("the expiry {reason}")]
    Expiry {
        /// What is wrong with it, and what would be right.
        reason: &'static str,
    },
    /// The caller may not have a token of that key.
    #[error("{reason}")]
    MayNotIssue {
        /// Why not, and what would be needed.
        reason: &'static str,
    },
    /// There is no API key of that name or id.
    #[error("there is no API key {key:?}")]
    NoSuchKey {
        /// The name or id that was asked for.
        key: String,
    },
    /// Someone else changed the key's secret at the same time; nothing was written.
    #[error("the secret of the API key was changed at the same time; nothing was written, try again")]
    Conflict,
    /// What is needed to decide can't be reached; trying again later may succeed.
    #[error("it can't be told at the moment who calls")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The catalog refused.
    #[error(transparent)]
    Catalog(CatalogError),
    /// The store failed for good.
    #[error("the secrets of API keys can't be read or written")]
    Store(#[source] StoreError),
    /// What is stored of a key can't be read.
    #[error("what is stored of the API key {key} can't be read")]
    Corrupt {
        /// The key's id.
        key: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The random source or the signature failed.
    #[error("{action} failed")]
    Cryptography {
        /// What was tried.
        action: &'static str,
    },
}

impl AccessError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Conflict => true,
            Self::Catalog(error) => error.is_temporary(),
            _ => false,
        }
    }
}

impl From<CatalogError> for AccessError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Conflict => Self::Catalog(error),
            temporary if temporary.is_temporary() => Self::Unavailable(Box::new(temporary)),
            permanent => Self::Catalog(permanent),
        }
    }
}

impl From<StoreError> for AccessError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::Conflict,
            temporary if temporary.is_temporary() => Self::Unavailable(Box::new(temporary)),
            permanent => Self::Store(permanent),
        }
    }
}
