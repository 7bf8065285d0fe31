//! What can go wrong with a queue.

/// Any cause from the library beneath.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue can't be reached, did not acknowledge in time, or its disk is full; trying again later may succeed.
    /// Records of an append may have been appended.
    #[error("the queue is not available: {context}")]
    Unavailable {
        /// What was tried.
        context: String,
        /// Why it failed.
        #[source]
        source: Source,
    },
    /// The request can't succeed as it is: a record too large for the topic, a missing topic or partition, missing
    /// permission. Nothing was appended.
    #[error("the queue refused: {context}")]
    Refused {
        /// What was tried, and what is wrong with it.
        context: String,
        /// Why it failed, if a library said so.
        #[source]
        source: Option<Source>,
    },
    /// What is stored can't be read.
    #[error("what is queued can't be read: {context}")]
    Corrupt {
        /// What was read.
        context: String,
        /// Why it failed, if a library said so.
        #[source]
        source: Option<Source>,
    },
}

impl QueueError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
