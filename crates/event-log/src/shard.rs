//! Shards and their ownership terms.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One writer's share of the log: shard k is partition k of every topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(u32);

impl Shard {
    /// The shard of partition `partition`.
    pub const fn new(partition: u32) -> Self {
        Self(partition)
    }

    /// The partition that is this shard's in every topic.
    pub const fn partition(self) -> u32 {
        self.0
    }

    /// The shard that decides about `key` in a log of `partitions` partitions.
    pub fn of_key(key: &[u8], partitions: u32) -> Self {
        Self(crate::partition_for(key, partitions))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One ownership of a shard. Every opening of its writer has a greater one; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriterTerm(u64);

impl WriterTerm {
    /// Wraps a number read from a record.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The term of the next opening.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for WriterTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
