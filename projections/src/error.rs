//! What can go wrong with a projection or its projector.

use read_store::Source;
use schemas::{ErrorCode, Position, Retry};

/// Why an event cannot be folded into a row.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The stream goes on without its beginning.
    #[error("{what} comes before the event that its row starts with")]
    NotStarted {
        /// The event's CloudEvents type.
        what: &'static str,
    },
    /// The event speaks of a part that the row does not have.
    #[error("the row has no {what}")]
    NoSuchPart {
        /// Which part.
        what: String,
    },
    /// A sum does not fit 64 bits.
    #[error("the sum of {what} does not fit 64 bits")]
    Overflow {
        /// Which sum.
        what: &'static str,
    },
    /// The row is made of another partition: two sources would overwrite each other.
    #[error("the row is made of {stored}, not of {offered}")]
    SecondSource {
        /// The row's source.
        stored: Source,
        /// The event's source.
        offered: Source,
    },
    /// A document cannot be read back or written.
    #[error("the document is not what this projection writes")]
    Document(#[from] serde_json::Error),
}

/// Why a projector cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be right.
    #[error("the projector's configuration is refused: {reason}")]
    Config {
        /// What is wrong.
        reason: &'static str,
    },
    /// A record that is no event, where no event may be left out.
    #[error("the record at {position} cannot be read as an event: {reason}")]
    Undecodable {
        /// Where it stands.
        position: Position,
        /// Why.
        reason: String,
    },
    /// An event that a projection cannot take.
    #[error("the event at {position} cannot be folded into {row}")]
    Unfoldable {
        /// Where it stands.
        position: Position,
        /// The table and row.
        row: String,
        /// Why.
        #[source]
        source: FoldError,
    },
    /// The read models have come further than the log goes: they belong to another log.
    #[error(
        "the read models have come to {next_offset} of {partition}, which is beyond the log's end; they belong to another log: delete them, they are rebuilt"
    )]
    AheadOfLog {
        /// The topic and partition.
        partition: Source,
        /// The stored next offset.
        next_offset: u64,
    },
    /// The log failed.
    #[error("the projector cannot read the log")]
    Log(#[from] event_log::Error),
    /// The store failed.
    #[error("the projector cannot use the read store")]
    Store(#[from] read_store::Error),
}

impl Error {
    /// The code under which callers see it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Log(error) => error.code(),
            Self::Store(error) => error.code(),
            _ => ErrorCode::Internal,
        }
    }

    /// Whether going on from the checkpoint can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Log(error) => error.retry(),
            // A table's next generation is handed from one thread to another: the checkpoint tells where to go on.
            Self::Store(read_store::Error::CheckpointBehind { .. }) => Retry::AfterBackoff,
            Self::Store(error) => error.retry(),
            _ => Retry::Never,
        }
    }
}
