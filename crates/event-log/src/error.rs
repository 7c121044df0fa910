//! What can go wrong with a log.

use std::path::PathBuf;

use schemas::{ErrorCode, Retry};

use crate::{Shard, WriterTerm};

/// The cause of an error, as the backend told it.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the log cannot be opened, read, or asked. Appends fail with [`AppendError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be right.
    #[error("the log's configuration is refused: {reason}")]
    Config {
        /// What is wrong.
        reason: String,
    },
    /// Another process (or another handle of this one) has the folder open.
    #[error("the log in {} is in use by another process", path.display())]
    FolderLocked {
        /// The log's folder.
        path: PathBuf,
    },
    /// The log was made with another setting that cannot change.
    #[error("{setting} of the log is {found}, the configuration says {expected}")]
    Mismatch {
        /// Which setting: `partitions`, `namespace`, `format version`.
        setting: &'static str,
        /// What the configuration says.
        expected: String,
        /// What the log says.
        found: String,
    },
    /// A topic exists with another setting than the platform needs.
    #[error("topic {topic} has {setting}={found}, {expected} is needed")]
    TopicMismatch {
        /// Full topic name.
        topic: String,
        /// Which setting.
        setting: String,
        /// What is needed.
        expected: String,
        /// What the broker says.
        found: String,
    },
    /// A topic is not there.
    #[error("topic {topic} does not exist; `millrace topics init` creates the topics")]
    TopicMissing {
        /// Full topic name.
        topic: String,
    },
    /// Not a topic or partition of this log.
    #[error("{topic}/{partition} is not a partition of this log")]
    NoSuchPartition {
        /// Full topic name.
        topic: String,
        /// Partition.
        partition: u32,
    },
    /// The wanted offset is not in the log (any more).
    #[error("offset {offset} of {topic}/{partition} is not in the log")]
    OffsetOutOfRange {
        /// Full topic name.
        topic: String,
        /// Partition.
        partition: u32,
        /// The wanted offset.
        offset: u64,
    },
    /// A stored row cannot be read.
    #[error("the log is damaged: {what}")]
    Damaged {
        /// Which row, and what is wrong with it.
        what: String,
    },
    /// The disk has no more room than what is kept in reserve; nothing is written until it has.
    #[error("the disk of {} is full: {free_bytes} bytes are free, {reserve_bytes} are kept in reserve", path.display())]
    DiskFull {
        /// The log's folder.
        path: PathBuf,
        /// What is free, bytes.
        free_bytes: u64,
        /// `disk_reserve_bytes`.
        reserve_bytes: u64,
    },
    /// The folder, or the file system that it is on, cannot be written to.
    #[error("the log in {} cannot be written to", path.display())]
    ReadOnly {
        /// The log's folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Source,
    },
    /// A write failed, and the log is being opened again: what is on the disk is read to know what became of it.
    #[error("the log is being opened again after a failed write")]
    Reopening,
    /// A write failed, and the log could not be opened again in this process.
    #[error("the log stopped after a failed write and could not be opened again")]
    Poisoned,
    /// The log, or this handle of it, was closed.
    #[error("the log is closed")]
    Closed,
    /// The group does not count this process as the shard's owner.
    #[error("this process is not a member of the group {group} that owns shard {shard}")]
    NotOwner {
        /// The group.
        group: String,
        /// The shard.
        shard: Shard,
        /// What the broker said.
        #[source]
        source: Option<Source>,
    },
    /// Another process opened the shard's writer meanwhile.
    #[error("the writer of shard {shard} was taken over while it was opened")]
    Fenced {
        /// The shard.
        shard: Shard,
        /// What the broker said.
        #[source]
        source: Option<Source>,
    },
    /// A transaction of an earlier writer has ended, and the broker has not told a partition so: acknowledged records may
    /// lie above its stable end, and nothing can be decided without them.
    #[error(
        "{topic}/{partition} ends at {end} and is stable up to {stable_end} only: the broker owes it the end of a \
         transaction of shard {shard}, and it is not known which"
    )]
    Unsettled {
        /// The shard.
        shard: Shard,
        /// Full topic name.
        topic: String,
        /// Partition.
        partition: u32,
        /// The last stable offset.
        stable_end: u64,
        /// The high watermark.
        end: u64,
    },
    /// No answer in time.
    #[error("{what} took longer than {timeout_ms} ms")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long, milliseconds.
        timeout_ms: u64,
    },
    /// The disk or the broker failed.
    #[error("{what} failed")]
    Backend {
        /// What was done.
        what: &'static str,
        /// What the backend said.
        #[source]
        source: Source,
    },
}

impl Error {
    /// The code under which callers see it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotOwner { .. }
            | Self::Fenced { .. }
            | Self::Timeout { .. }
            | Self::Unsettled { .. }
            | Self::DiskFull { .. }
            | Self::Reopening => ErrorCode::ShardUnavailable,
            Self::Closed => ErrorCode::ShuttingDown,
            _ => ErrorCode::Internal,
        }
    }

    /// Whether doing it again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::FolderLocked { .. }
            | Self::DiskFull { .. }
            | Self::Reopening
            | Self::NotOwner { .. }
            | Self::Fenced { .. }
            | Self::Timeout { .. }
            | Self::Unsettled { .. }
            | Self::Backend { .. } => Retry::AfterBackoff,
            _ => Retry::Never,
        }
    }

    pub(crate) fn backend(what: &'static str, source: impl Into<Source>) -> Self {
        Self::Backend { what, source: source.into() }
    }
}

/// Why an append failed, and what the caller may conclude from it.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing of the batch is in the log, and nothing will be. Repeating it is safe.
    #[error("the batch was not written")]
    NotWritten {
        /// Why.
        #[source]
        source: Source,
    },
    /// All of the batch is in the log, or will be, or nothing is. Only the log can tell: open the writer again (from
    /// then on nothing of it can land any more), then read to the stable end.
    #[error("whether the batch was written is not known")]
    Unknown {
        /// Why.
        #[source]
        source: Source,
    },
    /// Nothing of the batch is in the log, nor will be, and this writer is not the shard's owner any more: another one
    /// was opened, or the group has moved on. Prove the membership before opening again.
    #[error("the writer of shard {shard}, term {term}, is fenced")]
    Fenced {
        /// The shard.
        shard: Shard,
        /// The term of the fenced writer.
        term: WriterTerm,
        /// What the broker said.
        #[source]
        source: Option<Source>,
    },
}

impl AppendError {
    pub(crate) fn not_written(source: impl Into<Source>) -> Self {
        Self::NotWritten { source: source.into() }
    }

    pub(crate) fn unknown(source: impl Into<Source>) -> Self {
        Self::Unknown { source: source.into() }
    }

    /// The code under which callers see it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotWritten { .. } => ErrorCode::NotWritten,
            Self::Unknown { .. } => ErrorCode::OutcomeUnknown,
            Self::Fenced { .. } => ErrorCode::ShardUnavailable,
        }
    }

    /// Whether repeating the same command under the same id can help.
    pub fn retry(&self) -> Retry {
        self.code().retry()
    }
}

/// Why a batch was refused before anything was sent: it is not written, and the writer stays usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A record is larger than the limit.
    #[error("record {index} is {bytes} bytes, record_bytes_max is {bytes_max}")]
    RecordTooLarge {
        /// Which record of the batch.
        index: usize,
        /// Its size, bytes.
        bytes: usize,
        /// The limit, bytes.
        bytes_max: usize,
    },
    /// The records together are larger than the limit.
    #[error("the batch is {bytes} bytes, batch_bytes_max is {bytes_max}")]
    BatchTooLarge {
        /// Its size, bytes.
        bytes: usize,
        /// The limit, bytes.
        bytes_max: usize,
    },
    /// More records than the limit.
    #[error("the batch has {records} records, batch_records_max is {records_max}")]
    TooManyRecords {
        /// How many.
        records: usize,
        /// The limit.
        records_max: usize,
    },
    /// Not a topic or partition of this log, or not one that this shard's writer may write.
    #[error("record {index} goes to {topic}/{partition}, which the writer of shard {shard} may not write")]
    WrongPartition {
        /// Which record of the batch.
        index: usize,
        /// Full topic name.
        topic: String,
        /// Partition.
        partition: u32,
        /// The writer's shard.
        shard: Shard,
    },
    /// Only a record of the commands topic can be enqueued.
    #[error("{topic}/{partition} is not a partition of the commands topic")]
    NotACommand {
        /// Full topic name.
        topic: String,
        /// Partition.
        partition: u32,
    },
    /// An earlier append of this writer failed; it must be opened again.
    #[error("the writer was closed by an earlier failure; open it again")]
    WriterClosed,
}
