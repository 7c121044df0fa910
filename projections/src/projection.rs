//! The trait of a projection, as a contract.

use read_store::Table;
use schemas::{AggregateType, RecordedEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::FoldError;

/// A row of a projection's table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId {
    /// Partition key.
    pub partition_key: String,
    /// Sort key; empty where a partition key has one row.
    pub sort_key: String,
}

impl RowId {
    /// The only row of a partition key.
    pub fn of(partition_key: impl Into<String>) -> Self {
        Self { partition_key: partition_key.into(), sort_key: String::new() }
    }

    /// One of several rows of a partition key.
    pub fn new(partition_key: impl Into<String>, sort_key: impl Into<String>) -> Self {
        Self { partition_key: partition_key.into(), sort_key: sort_key.into() }
    }
}

/// What the rows of a projection are made of: how much of it waits when an event cannot be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Every row is made of one stream. The stream's later events wait behind the one that cannot be folded.
    Stream,
    /// A row sums up several streams, and a sum that leaves an event out is wrong without a sign of it: the projection waits in
    /// front of the event, with this topic and partition.
    Partition,
}

/// A pure mapping from events to the rows of one table.
///
/// **One source per row**: all events that touch a row lie in one partition of one topic. A row that sums up what lies
/// in several partitions has the partition in its key. **Absolute**: the row's document is a function of the events of
/// its source up to its last offset; nothing else (no clock, no other table) goes into it. **Order**: the events of a
/// row come in the order of the log, each once: the caller skips those at or below the row's last offset. **Total**: an
/// error is for a log that breaks its promises: the event goes to the dead letters, and what has the same [`Key`] waits.
pub trait Projection: Send + Sync + 'static {
    /// What a row holds, served as it is.
    type Document: Serialize + DeserializeOwned + Send + 'static;

    /// The table; its version changes whenever the documents do.
    const TABLE: Table;

    /// Whose events it reads.
    const TOPICS: &'static [AggregateType];

    /// What its rows are made of.
    const KEY: Key;

    /// Whether every row is made by one event: then what is stored needs no reading.
    const WRITE_ONCE: bool = false;

    /// Adds the rows that `event` touches, each once. Events of other topics are not offered.
    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>);

    /// The row after `event`; none: it goes.
    fn fold(
        row: &RowId,
        document: Option<Self::Document>,
        event: &RecordedEvent,
    ) -> Result<Option<Self::Document>, FoldError>;
}

/// The sort key of a version: decimal, so that text order is number order.
pub(crate) fn version_key(version: schemas::Version) -> String {
    format!("{:020}", version.get())
}

/// The sort key of an event's source: rows of one partition key that are summed up by the reader.
pub(crate) fn source_key(event: &RecordedEvent) -> String {
    format!("{}/{}", event.event.aggregate_type(), event.position.partition)
}

/// `sum += amount`, refusing to wrap.
pub(crate) fn add(sum: &mut i64, amount: i64, what: &'static str) -> Result<(), FoldError> {
    *sum = sum.checked_add(amount).ok_or(FoldError::Overflow { what })?;
    Ok(())
}
