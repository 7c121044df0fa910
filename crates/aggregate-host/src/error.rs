//! What a caller of the host can be told instead of an outcome.

use schemas::{CommandId, ErrorCode, Retry};

/// Why a command has no outcome (yet). A refusal by a rule is an outcome, not an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The shard's queue is full; nothing was done.
    #[error("{waiting} commands wait for shard {shard} already")]
    Overloaded {
        /// Which shard.
        shard: u32,
        /// How many wait.
        waiting: usize,
    },
    /// The shard is not served here at the moment; nothing was done.
    #[error("shard {shard} is not served here at the moment")]
    ShardUnavailable {
        /// Which shard.
        shard: u32,
    },
    /// The log did not take the command; nothing was done.
    #[error("the log did not take the command")]
    NotWritten,
    /// Whether the command took effect is not known; the same id tells.
    #[error("whether command {command_id} took effect is not known")]
    OutcomeUnknown {
        /// The id under which to repeat.
        command_id: CommandId,
    },
    /// The id was used for another command.
    #[error("command id {command_id} was used for another command")]
    IdReused {
        /// The id.
        command_id: CommandId,
    },
    /// The host is stopping; nothing was done.
    #[error("the host is stopping")]
    ShuttingDown,
}

impl HostError {
    /// The code under which callers see it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Overloaded { .. } => ErrorCode::Overloaded,
            Self::ShardUnavailable { .. } => ErrorCode::ShardUnavailable,
            Self::NotWritten => ErrorCode::NotWritten,
            Self::OutcomeUnknown { .. } => ErrorCode::OutcomeUnknown,
            Self::IdReused { .. } => ErrorCode::IdempotencyKeyReused,
            Self::ShuttingDown => ErrorCode::ShuttingDown,
        }
    }

    /// Whether repeating the same command under the same id can help.
    pub fn retry(&self) -> Retry {
        self.code().retry()
    }
}

/// Why a shard cannot be opened or caught up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log.
    #[error("the log cannot be read or opened")]
    Log(#[from] event_log::Error),
    /// A record that is not what its topic promises.
    #[error("the record at {position} cannot be read")]
    Record {
        /// Where it stands.
        position: schemas::Position,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The state store.
    #[error("the state store in {} failed", path.display())]
    StateStore {
        /// Its folder.
        path: std::path::PathBuf,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process is stopping.
    #[error("stopped while catching up")]
    Stopped,
}

impl StartError {
    /// Whether trying again in this process is of no use.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Record { .. } | Self::StateStore { .. } | Self::Stopped => true,
            Self::Log(error) => matches!(
                error,
                event_log::Error::Poisoned | event_log::Error::Damaged { .. } | event_log::Error::Closed
            ),
        }
    }
}
