//! The traits: a log, a shard's writer, a reader, a durable subscription.
//!
//! Everything here blocks: a shard's writer and a reader each live on a thread of their own, never on an async worker.

use std::sync::Arc;
use std::time::Duration;

use schemas::Position;

use crate::{
    AppendError, Appended, Batch, Cursor, Error, NewRecord, Ownership, Record, Shard, Topics, WriterTerm,
};

/// What hears how an [enqueued](Log::enqueue) record fared.
pub type Enqueued = Box<dyn FnOnce(Result<Position, AppendError>) + Send + Sync>;

/// A log: partitioned topics of records, appended atomically by one writer per shard, read by anybody.
///
/// Both backends keep the same promises, which `tests/it/contract.rs` states as tests.
pub trait Log: Send + Sync + 'static {
    /// The topics.
    fn topics(&self) -> &Topics;

    /// How many partitions every topic has.
    fn partitions(&self) -> u32;

    /// Whether other processes may own shards of this log.
    fn is_shared(&self) -> bool;

    /// Opens the writer of a shard. Fences every earlier writer of the shard; returns once no earlier write can still
    /// land. The term is greater than every earlier one of the shard and durably noted.
    ///
    /// Opening takes the shard away from whoever has it: prove the ownership first.
    fn open_writer(&self, shard: Shard) -> Result<Box<dyn ShardWriter>, Error>;

    /// Opens a reader of the given partitions, each from its next offset. A partition may be named once.
    ///
    /// The stable ends that [`LogReader::caught_up`] is about are sampled here, once.
    fn open_reader(&self, from: &[Cursor]) -> Result<Box<dyn LogReader>, Error>;

    /// The offset after the last stable record: everything below is decided for ever. Aborted records and transaction
    /// markers count, so it may be greater than the last record's offset plus one.
    fn stable_end(&self, topic: &str, partition: u32) -> Result<u64, Error>;

    /// Adds a record to the commands topic, outside of any shard's batch: whoever may send commands may do this at any
    /// time, and no fence holds it back. Does not block. `done` is called exactly once, from a thread of the log's: with the
    /// position once the record is durable, or with what is known of it ([`AppendError::Fenced`] does not occur).
    fn enqueue(&self, record: NewRecord, done: Enqueued);

    /// Joins the durable subscription `group` to `topics`: partitions are shared among the members of the group,
    /// partition k of all topics going to the same member, and each goes on where the group last committed (at the
    /// beginning when it never did).
    fn subscribe(&self, group: &str, topics: &[Arc<str>]) -> Result<Box<dyn Subscription>, Error>;

    /// Joins the group that shares the shards among the nodes, by their partitions of the commands topic.
    fn ownership(&self) -> Result<Box<dyn Ownership>, Error>;

    /// Ends the log for this process: appends are not written any more, readers end with [`Error::Closed`]. Appends that
    /// run are finished by their own threads (embedded: before this returns). Doing it again changes nothing.
    fn close(&self);
}

/// The only writer of a shard, until a later one is opened.
pub trait ShardWriter: Send {
    /// The shard.
    fn shard(&self) -> Shard;

    /// This ownership's term.
    fn term(&self) -> WriterTerm;

    /// Appends a batch atomically; durable when it returns.
    ///
    /// Each partition shows all of the batch or nothing of it, in the order given; different partitions may show it at
    /// different instants. What a failure means is said by [`AppendError`]. An empty batch writes nothing and
    /// succeeds. Blocks for a bounded time.
    fn append(&mut self, batch: Batch) -> Result<Appended, AppendError>;

    /// Whether the writer can append again after a failure. Once false it stays false: every further append is not
    /// written, and a new writer must be opened.
    fn is_open(&self) -> bool;
}

/// Reads partitions in order: committed records only.
pub trait LogReader: Send {
    /// The next records, in offset order within each partition. Returns as soon as there is one, and nothing after
    /// `timeout`. At most `records_max` records, and about
    /// [`read_bytes_max`](crate::LogConfig::read_bytes_max) bytes.
    fn read(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error>;

    /// Where each partition goes on: behind the last record returned, and behind markers and aborted records once the
    /// reader has passed them.
    fn next_offsets(&self) -> Vec<Cursor>;

    /// The stable ends sampled when the reader was opened.
    fn stable_ends(&self) -> Vec<Cursor>;

    /// Whether every partition has reached the stable end sampled at opening. Exact, also when the tail holds no
    /// records but transaction markers: call [`LogReader::read`] until it is true, a read may return nothing before.
    fn caught_up(&self) -> bool;
}

/// A member of a durable subscription. Delivery is at least once: what was read and not committed comes again, to
/// this member or to another one.
pub trait Subscription: Send {
    /// The next records and the changes of assignment. A call says that the caller is done with, or has given up, what
    /// it was given before: partitions that move away do so during a call. Call it at least every
    /// five minutes (`max_poll_interval_ms` on Kafka), or the group gives the partitions to others.
    fn read(&mut self, records_max: usize, timeout: Duration) -> Result<SubscriptionBatch, Error>;

    /// Notes where the group goes on. Waits for the answer. Fails when the partitions are not this member's any more.
    fn commit(&mut self, progress: &[Cursor]) -> Result<(), Error>;

    /// Goes back: the next records of these partitions are read from the given offsets. For a caller that could not
    /// deal with what it was given.
    fn rewind(&mut self, to: &[Cursor]) -> Result<(), Error>;
}

/// What one read of a subscription brings.
#[derive(Debug, Default)]
pub struct SubscriptionBatch {
    /// Partitions that this member has from now on.
    pub assigned: Vec<(Arc<str>, u32)>,
    /// Partitions that are not this member's any more: drop what is kept about them.
    pub revoked: Vec<(Arc<str>, u32)>,
    /// Whether the group has given this member its share anew, if only an empty one. Between a revocation and this nobody may
    /// have the partition.
    pub rebalanced: bool,
    /// Records in offset order within each partition.
    pub records: Vec<Record>,
}
