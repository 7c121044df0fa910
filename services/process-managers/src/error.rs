//! What ends the process managers.

use schemas::{ErrorCode, Retry};

/// Why the process managers cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be right.
    #[error("the configuration of the process managers is refused: {reason}")]
    Config {
        /// What is wrong.
        reason: String,
    },
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] event_log::Error),
    /// The table of open matters cannot be used.
    #[error("the table of open matters cannot be used")]
    Matters(#[from] read_store::Error),
    /// A row of the table of open matters cannot be read.
    #[error(
        "the row {key:?} of the table of open matters cannot be read: {reason}; its folder can be deleted"
    )]
    MatterRow {
        /// The row's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The code under which callers see it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Config { .. } => ErrorCode::InvalidValue,
            Self::Log(error) => error.code(),
            Self::Matters(error) => error.code(),
            Self::MatterRow { .. } => ErrorCode::Internal,
        }
    }

    /// Whether starting again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Config { .. } | Self::MatterRow { .. } => Retry::Never,
            Self::Log(error) => error.retry(),
            Self::Matters(error) => error.retry(),
        }
    }
}
