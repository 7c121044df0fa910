//! The operator's way into a running process: what `/admin/v1` answers, to callers on this machine only.
//!
//! An embedded folder is locked by its process, so whoever wants to read its log asks the process. The answers are
//! plain data ([`LogSummary`], [`LogLine`], [`Status`]) that the commands `status`, `tail` and `verify` read back.

mod export;
mod loopback;
mod routes;
mod status;
mod views;

use event_log::{Cursor, RecordJson};
use serde::{Deserialize, Serialize};

pub(crate) use self::routes::{AdminState, router, tail_cursors};
pub use self::status::{LagStatus, ProcessManagersStatus, ShardsStatus, Status, TopicStatus};
pub(crate) use self::views::ViewsAdmin;
pub use self::views::{LetterAnswer, LettersPage, ProjectionReport};

/// `GET /admin/v1/log`: which topics there are, and how far each partition is stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSummary {
    /// Prefix of the topics.
    pub namespace: String,
    /// Partitions of every topic.
    pub partitions: u32,
    /// All topics.
    pub topics: Vec<TopicSummary>,
}

/// One topic of a [`LogSummary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSummary {
    /// Full topic name.
    pub topic: String,
    /// The offset after the last stable record of partition 0, 1, …
    pub stable_ends: Vec<u64>,
}

/// One line (NDJSON) of `GET /admin/v1/log/{topic}/{partition}` and of `GET /admin/v1/tail`.
///
/// An answer without a closing [`LogLine::End`] was cut off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLine {
    /// A committed record.
    Record(RecordJson),
    /// The answer is complete: where each partition goes on.
    End(Vec<LogCursor>),
    /// The log could not be read further.
    Failed(String),
}

/// Where to go on in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCursor {
    /// Full topic name.
    pub topic: String,
    /// Partition, from 0.
    pub partition: u32,
    /// Offset of the next record wanted.
    pub next_offset: u64,
}

impl From<Cursor> for LogCursor {
    fn from(cursor: Cursor) -> Self {
        Self { topic: cursor.topic.to_string(), partition: cursor.partition, next_offset: cursor.next_offset }
    }
}

impl From<LogCursor> for Cursor {
    fn from(cursor: LogCursor) -> Self {
        Self { topic: cursor.topic.into(), partition: cursor.partition, next_offset: cursor.next_offset }
    }
}
