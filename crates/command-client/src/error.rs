//! Why a command has no outcome (yet).

use schemas::{CommandId, ErrorCode, Retry};
use service_kit::BoxError;

/// A submission that ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too much is waiting; nothing was done.
    #[error("too much is waiting; repeat in {retry_after_ms} ms")]
    Overloaded {
        /// How long to wait before repeating, milliseconds.
        retry_after_ms: u64,
    },
    /// The shard has no owner that can be reached; nothing was done.
    #[error("the shard has no owner at the moment")]
    ShardUnavailable,
    /// The log did not take it; nothing was done.
    #[error("the log did not take the command")]
    NotWritten,
    /// Whether it took effect is not known; repeating under the same id tells.
    #[error("the outcome of command {command_id} is not known yet")]
    OutcomeUnknown {
        /// The id to repeat it under.
        command_id: CommandId,
    },
    /// The command id was used for another command.
    #[error("the command id {command_id} was used for another command")]
    KeyReused {
        /// The id.
        command_id: CommandId,
    },
    /// The command is malformed, or its sender may not send it.
    #[error("{detail}")]
    Invalid {
        /// Which check refused it.
        code: ErrorCode,
        /// The check's sentence.
        detail: String,
    },
    /// The connection failed or the answer could not be read; whether the command took effect is not known.
    #[error("the commands API at {url} could not be asked")]
    Transport {
        /// Whom we asked.
        url: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// This process is stopping; nothing was done.
    #[error("this process is stopping")]
    ShuttingDown,
}

impl SubmitError {
    /// The code under which callers know it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Overloaded { .. } => ErrorCode::Overloaded,
            Self::ShardUnavailable => ErrorCode::ShardUnavailable,
            Self::NotWritten => ErrorCode::NotWritten,
            Self::OutcomeUnknown { .. } | Self::Transport { .. } => ErrorCode::OutcomeUnknown,
            Self::KeyReused { .. } => ErrorCode::IdempotencyKeyReused,
            Self::Invalid { code, .. } => *code,
            Self::ShuttingDown => ErrorCode::ShuttingDown,
        }
    }

    /// Whether repeating under the same command id can help.
    pub fn retry(&self) -> Retry {
        self.code().retry()
    }
}
