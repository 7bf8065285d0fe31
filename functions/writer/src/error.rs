//! Why a batch could not be written.

use freshet_catalog::CatalogError;
use freshet_decode::DecodeError;
use freshet_queue::QueueError;
use freshet_queue::progress::ProgressError;
use freshet_table::TableError;

/// Why records could not be written to one table.
#[derive(Debug, thiserror::Error)]
pub enum TableWriteError {
    /// The table could not be opened or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The decoded rows could not be put together.
    #[error("the records can't be decoded")]
    Decode(#[from] DecodeError),
    /// Decoding was stopped, as the process ends.
    #[error("decoding was stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

impl TableWriteError {
    /// Whether the same records may be written later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Table(source) => source.is_temporary(),
            Self::Decode(_) => false,
            Self::Stopped(_) => true,
        }
    }
}

/// Why a batch could not be written. The batch goes back to the queue unharmed, to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The definitions can't be read.
    #[error("the definitions can't be read")]
    Catalog(#[from] CatalogError),
    /// The queue can't be read.
    #[error("the queue can't be read")]
    Queue(#[from] QueueError),
    /// How far the partition has been followed can't be known or kept.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The queue holds less than was followed already: another topic has taken its place, or it was cut.
    #[error(
        "topic {topic}, partition {partition} ends at offset {high}, and the tables have followed it up to {next}: it is not the queue that it \
         was; give what is new another name with FRESHET_TOPIC"
    )]
    QueueReplaced {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset that its next record would get.
        high: u64,
        /// The offset up to which it was followed.
        next: u64,
    },
    /// A table can't be written for now.
    #[error("table {table} can't be written")]
    Table {
        /// `tenant/table`.
        table: String,
        /// Why.
        #[source]
        source: TableWriteError,
    },
    /// Other writers of the partition were faster again and again.
    #[error("partition {partition} is being written by others")]
    Contended {
        /// The partition.
        partition: u32,
    },
}

impl WriteError {
    /// Whether the same batch may be written later without anyone mending anything.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Catalog(source) => source.is_temporary(),
            Self::Queue(source) => source.is_temporary(),
            Self::Progress(source) => source.is_temporary(),
            Self::Table { source, .. } => source.is_temporary(),
            Self::QueueReplaced { .. } => false,
            Self::Contended { .. } => true,
        }
    }
}
