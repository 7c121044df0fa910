//! Records: as handed to the log, and as read from it.

use std::sync::Arc;

use bytes::Bytes;
use schemas::{Position, Timestamp};

use crate::Headers;

/// A record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Full topic name, one of [`Topics`](crate::Topics).
    pub topic: Arc<str>,
    /// Partition, from 0.
    pub partition: u32,
    /// Key: the aggregate id, or the command id of an outcome.
    pub key: Bytes,
    /// Headers in order.
    pub headers: Headers,
    /// Body.
    pub value: Bytes,
    /// When it was recorded (when it happened is `ce_time`).
    pub timestamp: Timestamp,
}

impl NewRecord {
    /// Key, headers and body together, bytes: what the limits of [`LogConfig`](crate::LogConfig) are about.
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.headers.size_bytes() + self.value.len()
    }
}

/// A committed record. Cheap to clone: its bytes are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// When it was recorded.
    pub timestamp: Timestamp,
    /// Key; empty when the record had none.
    pub key: Bytes,
    /// Headers in order.
    pub headers: Headers,
    /// Body; empty when the record had none.
    pub value: Bytes,
}

impl Record {
    /// Key, headers and body together, bytes.
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.headers.size_bytes() + self.value.len()
    }

    /// Where a reader that has dealt with this record goes on.
    pub fn cursor_after(&self) -> Cursor {
        Cursor {
            topic: self.position.topic.clone(),
            partition: self.position.partition,
            next_offset: self.position.offset + 1,
        }
    }
}

/// Where to go on in one partition: the offset of the next record wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    /// Full topic name.
    pub topic: Arc<str>,
    /// Partition, from 0.
    pub partition: u32,
    /// Offset of the next record wanted; 0 is the beginning.
    pub next_offset: u64,
}

impl Cursor {
    /// The beginning of a partition.
    pub fn start(topic: Arc<str>, partition: u32) -> Self {
        Self { topic, partition, next_offset: 0 }
    }
}
