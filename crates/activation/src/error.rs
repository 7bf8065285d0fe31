//! Why a delivery failed.

use freshet_query::QueryError;
use freshet_refresh::RefreshFailure;
use freshet_runs::RunError;
use freshet_store::StoreError;

/// Why a delivery failed. Messages are for those who define and run activations; sources are for the log.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The query can't be run, or failed on the way.
    #[error(transparent)]
    Query(#[from] RefreshFailure),
    /// A column of the result is named like one of those that say what changed.
    #[error("the result has a column {column:?}, as changes have to say what changed: give it another name with AS")]
    ReservedColumn {
        /// Its name.
        column: String,
    },
    /// A key has more bytes than one may have.
    #[error("a key of the result is longer than {limit} bytes: choose a shorter one")]
    KeyTooLong {
        /// Most bytes.
        limit: usize,
    },
    /// One row has more bytes than a batch may have.
    #[error("a row of the result is larger than {limit} bytes, which a batch holds at most: select fewer columns")]
    RowTooLarge {
        /// Most bytes.
        limit: usize,
    },
    /// The result is larger than a delivery may be.
    #[error("the result has more than {limit} {unit}, which are sent at most at once: select fewer")]
    TooLarge {
        /// How many.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Files may not be written there.
    #[error(
        "the location is none that files may be written to: the deployment's operator allows prefixes with FRESHET_ACTIVATION_LOCATIONS"
    )]
    NotAllowed,
    /// Files can't be read or written.
    #[error("files can't be read or written{}", at_the_moment(is_temporary(.0)))]
    Files(#[from] object_store::Error),
    /// How far the delivery is can't be read or kept.
    #[error("how far the delivery is can't be kept{}", at_the_moment(.0.is_temporary()))]
    Store(#[from] StoreError),
    /// What is kept of deliveries is not what this crate writes.
    #[error(
        "what is kept of the last delivery can't be read: delete the activation and make it anew, which sends everything"
    )]
    Corrupt,
    /// Another delivery of the activation has begun.
    #[error("another delivery of the activation has begun")]
    Superseded,
    /// There is no such secret.
    #[error("there is no secret {name} for this tenant: its operator puts it where FRESHET_SECRETS_DIRECTORY says")]
    NoSecret {
        /// Its name.
        name: String,
    },
    /// The secret can't be used.
    #[error("secret {name} can't be used: {why}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong, without any of it.
        why: &'static str,
    },
    /// The webhook's address is none that may be reached.
    #[error("{host} is not at a public address, and none that FRESHET_WEBHOOK_NETWORKS allows: nothing was sent to it")]
    Address {
        /// The host of the URL.
        host: String,
    },
    /// The webhook refused a batch, and would again.
    #[error("{host} answered {status} to batch {batch}, which is not tried again{answer}")]
    Rejected {
        /// The host of the URL.
        host: String,
        /// The status.
        status: u16,
        /// Which batch, from 0.
        batch: u64,
        /// The start of the answer, after a colon; or nothing.
        answer: String,
    },
    /// The webhook did not take a batch, however often it was tried.
    #[error("{host} did not take batch {batch} in {attempts} attempts, the last time because {why}: run it again")]
    Unanswered {
        /// The host of the URL.
        host: String,
        /// Which batch, from 0.
        batch: u64,
        /// How often it was tried.
        attempts: u32,
        /// What happened last.
        why: String,
    },
    /// The client of HTTP can't be made.
    #[error("webhooks can't be posted to")]
    Client(#[source] reqwest::Error),
    /// What is run is no longer there.
    #[error("there is no {what} any more")]
    Gone {
        /// Its kind and name.
        what: String,
    },
    /// The run's record can't be written, or is another runner's now.
    #[error("the run can't be recorded")]
    Record(#[from] RunError),
}

fn at_the_moment(is_temporary: bool) -> &'static str {
    if is_temporary { " at the moment: run it again" } else { "" }
}

fn is_temporary(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::Generic { .. } | object_store::Error::JoinError { .. })
}

impl ActivationError {
    /// Whether the same may succeed later without anything being changed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Query(failure) => failure.is_temporary(),
            Self::Files(error) => is_temporary(error),
            Self::Store(error) => error.is_temporary(),
            Self::Record(error) => error.is_temporary(),
            Self::Superseded | Self::Unanswered { .. } => true,
            Self::ReservedColumn { .. }
            | Self::KeyTooLong { .. }
            | Self::RowTooLarge { .. }
            | Self::TooLarge { .. }
            | Self::NotAllowed
            | Self::Corrupt
            | Self::NoSecret { .. }
            | Self::Secret { .. }
            | Self::Address { .. }
            | Self::Rejected { .. }
            | Self::Client(_)
            | Self::Gone { .. } => false,
        }
    }
}

impl From<QueryError> for ActivationError {
    fn from(error: QueryError) -> Self {
        Self::Query(error.into())
    }
}
