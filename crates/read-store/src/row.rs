//! Rows: their keys, their single source, their documents.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Error, Table};

/// Where a row lies: table, partition key, sort key. Keys are compared byte by byte; neither holds a NUL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// The table.
    pub table: Table,
    /// Rows of one partition key lie together. Not empty, at most 512 bytes.
    pub partition_key: String,
    /// Orders the rows of one partition key; empty where there is one. At most 512 bytes.
    pub sort_key: String,
}

/// Longest partition key and longest sort key, bytes.
const KEY_BYTES_MAX: usize = 512;

impl RowKey {
    /// The row of `table` at these keys; [`RowKey::check`] says whether a store takes them.
    pub fn new(table: Table, partition_key: impl Into<String>, sort_key: impl Into<String>) -> Self {
        Self { table, partition_key: partition_key.into(), sort_key: sort_key.into() }
    }

    /// Refuses keys that no store takes: an empty partition key, a NUL, more than 512 bytes.
    pub fn check(&self) -> Result<(), Error> {
        check_key(&self.partition_key)?;
        if self.partition_key.is_empty() {
            return Err(Error::Key { key: String::new(), reason: "a partition key is not empty" });
        }
        check_key(&self.sort_key)
    }
}

pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    let reason = if key.len() > KEY_BYTES_MAX {
        "a key has at most 512 bytes"
    } else if key.contains('\0') {
        "a key has no NUL"
    } else {
        return Ok(());
    };
    Err(Error::Key { key: key.chars().take(64).collect(), reason })
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.table, self.partition_key)?;
        if self.sort_key.is_empty() { Ok(()) } else { write!(f, "[{}]", self.sort_key) }
    }
}

/// The partition of the log that a row is made of. A row has exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// Full topic name.
    pub topic: Arc<str>,
    /// Partition, from 0.
    pub partition: u32,
}

impl Source {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A stored row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its partition key.
    pub partition_key: String,
    /// Its sort key.
    pub sort_key: String,
    /// JSON, as the projection wrote it.
    pub document: Bytes,
    /// What it is made of.
    pub source: Source,
    /// Offset of the last event folded in.
    pub last_offset: u64,
}
