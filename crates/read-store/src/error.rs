//! What can go wrong with a read store.

use std::path::PathBuf;

use schemas::{ErrorCode, Retry};
use service_kit::Millis;

use crate::{Source, Table};

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process (or another handle of this one) has the folder open.
    #[error("the read models in {} are in use by another process", path.display())]
    FolderLocked {
        /// The store's folder.
        path: PathBuf,
    },
    /// The folder was written by another version of this program. Read models can be rebuilt: deleting the folder
    /// loses nothing.
    #[error("the read models in {} have format {found}, this program writes format {expected}; delete the folder to rebuild them", path.display())]
    FormatMismatch {
        /// The store's folder.
        path: PathBuf,
        /// The format that this program writes.
        expected: u64,
        /// The format found.
        found: u64,
    },
    /// The settings cannot be right.
    #[error("the read store's configuration is refused: {reason}")]
    Config {
        /// What is wrong.
        reason: &'static str,
    },
    /// The keyspace was migrated by a newer program.
    #[error(
        "the read models' keyspace has migration {found}, this program knows {known}; use the newer program, or another keyspace"
    )]
    FormatOfNewer {
        /// The newest migration found.
        found: i32,
        /// The newest that this program has.
        known: i32,
    },
    /// Another process changes the schema, or died while it did.
    #[error("another process has been changing the read models' schema for {} ms; if it died, its lock goes by itself", waited.duration().as_millis())]
    SchemaLocked {
        /// How long was waited.
        waited: Millis,
    },
    /// A key that no store takes.
    #[error("{key:?} cannot be a key: {reason}")]
    Key {
        /// Its beginning.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The writer has been overtaken: the table has come further already.
    #[error("{table} has come to {stored} of {source_partition}, a batch up to {offered} is late")]
    CheckpointBehind {
        /// The table.
        table: Table,
        /// The source.
        source_partition: Source,
        /// The stored next offset.
        stored: u64,
        /// The batch's next offset.
        offered: u64,
    },
    /// A stored row cannot be read.
    #[error("the read models are damaged: {what}; they can be rebuilt from the log")]
    Damaged {
        /// Which row, and what is wrong with it.
        what: String,
    },
    /// The server is not there, or does not answer in time.
    #[error("{what} failed")]
    Unavailable {
        /// What was done.
        what: &'static str,
        /// What the driver said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk failed, or the server said something unexpected.
    #[error("{what} failed")]
    Backend {
        /// What was done.
        what: &'static str,
        /// What the backend said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn unavailable(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { what, source: source.into() }
    }

    pub(crate) fn backend(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Backend { what, source: source.into() }
    }

    /// The code under which callers see it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Key { .. } => ErrorCode::InvalidValue,
            Self::Unavailable { .. } => ErrorCode::ReadModelUnavailable,
            _ => ErrorCode::Internal,
        }
    }

    /// Whether doing it again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::FolderLocked { .. }
            | Self::SchemaLocked { .. }
            | Self::Unavailable { .. }
            | Self::Backend { .. } => Retry::AfterBackoff,
            _ => Retry::Never,
        }
    }
}
