//! What is appended at once, and where it went.

use std::fmt;
use std::sync::Arc;

use schemas::Position;

use crate::{Cursor, NewRecord};

/// What one append writes: all of it or nothing.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records, in order. Events, outcomes and owners on the writer's own partition; commands (misplaced ones) on
    /// any partition.
    pub records: Vec<NewRecord>,
    /// Input offsets that count as consumed once the batch is durable.
    pub consumed: Option<Consumed>,
}

impl Batch {
    /// A batch of records alone.
    pub fn of(records: Vec<NewRecord>) -> Self {
        Self { records, consumed: None }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.consumed.as_ref().is_none_or(|c| c.offsets.is_empty())
    }
}

/// Input offsets of a group, consumed together with a batch.
#[derive(Clone, Debug)]
pub struct Consumed {
    /// The group and its generation, as they were when the input was read. A batch of an old generation is fenced.
    pub group: GroupToken,
    /// Where the group goes on, per partition.
    pub offsets: Vec<Cursor>,
}

/// A consumer group and, on Kafka, the member's generation at the time when the token was handed out (KIP-447).
///
/// It comes with the input ([`OwnershipEvent::Commands`](crate::OwnershipEvent::Commands)) and goes into the batch
/// that consumes it: taken later, it would pass an old generation's batch as new.
#[derive(Clone)]
pub struct GroupToken {
    pub(crate) group: Arc<str>,
    pub(crate) metadata: Option<Arc<rdkafka::consumer::ConsumerGroupMetadata>>,
}

impl GroupToken {
    /// The group's name.
    pub fn group(&self) -> &Arc<str> {
        &self.group
    }
}

impl fmt::Debug for GroupToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupToken({})", self.group)
    }
}

/// Where the records of a batch went, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    positions: Vec<Position>,
}

impl Appended {
    /// What an append of records that went to `positions` returns; for whoever implements a log, or wraps one.
    pub fn new(positions: Vec<Position>) -> Self {
        Self { positions }
    }

    /// The position of record `index` of the batch. Panics when the batch had fewer records.
    pub fn position(&self, index: usize) -> &Position {
        &self.positions[index]
    }

    /// The positions of all records, in the order of the batch.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }
}
