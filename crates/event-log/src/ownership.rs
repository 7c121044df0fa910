//! Who owns which shard: assignments and revocations as messages that wait for an answer.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::{Error, GroupToken, Record, Shard};

/// This node's share of the shards, and the records of the commands topic that come with them.
pub trait Ownership: Send {
    /// The next event; `None` when nothing happened within `timeout`. Call it all the time: on Kafka a revocation
    /// waits for its answers, and what is not answered within `revoke_drain_ms_max` is taken away.
    fn next(&mut self, timeout: Duration) -> Result<Option<OwnershipEvent>, Error>;

    /// A handle for the shards' own threads.
    fn membership(&self) -> Arc<dyn Membership>;
}

/// What a shard's thread asks of the group. Every call waits for a bounded time.
pub trait Membership: Send + Sync {
    /// Proves that the group still counts the shard as this node's, by a synchronous commit that a stale generation is
    /// refused. Do it before a writer is opened again: a process that was stopped and woken believes in its old
    /// assignment.
    fn prove(&self, shard: Shard) -> Result<(), Error>;

    /// Leaves the group and joins it again, giving up every shard: for a node that was fenced although the shard is
    /// still assigned to it. Revocations or losses of all shards follow as events.
    fn leave_and_rejoin(&self) -> Result<(), Error>;

    /// How many members the group has, this node included: whether there is somebody to hand shards over to.
    fn members(&self) -> Result<usize, Error>;

    /// Leaves the group for good, at shutdown: revocations follow as events, then [`Ownership::next`] fails with
    /// [`Error::Closed`].
    fn leave(&self) -> Result<(), Error>;

    /// Stops the delivery of a shard's commands while its queue is full. What is on the way still comes.
    fn pause(&self, shard: Shard) -> Result<(), Error>;

    /// Lets a shard's commands come (again).
    fn resume(&self, shard: Shard) -> Result<(), Error>;
}

/// What happens to a node's shards.
#[derive(Debug)]
#[non_exhaustive]
pub enum OwnershipEvent {
    /// The shard is this node's. Open its writer, catch up, then answer: its commands come after the answer.
    Assigned(Shard, Ack),
    /// The shard goes to another node. Finish the running batch, close the writer, then answer: the group waits for
    /// the answer (up to `revoke_drain_ms_max`).
    Revoked(Shard, Ack),
    /// The shard is another node's already. Stop at once; nothing that is still written will land.
    Lost(Shard),
    /// Records of the commands topic, of assigned shards only, in offset order within each shard. The token goes into
    /// the [`Consumed`](crate::Consumed) of the batch that deals with them.
    Commands(Vec<Record>, GroupToken),
}

/// The answer that an [`OwnershipEvent`] waits for. Dropping it answers too, so that a panic does not hold the group
/// up.
#[derive(Debug)]
pub struct Ack {
    shard: Shard,
    answer: Sender<Shard>,
}

impl Ack {
    /// An acknowledgement of `shard` that is sent to `answer`, which must have room.
    pub(crate) fn new(shard: Shard, answer: Sender<Shard>) -> Self {
        Self { shard, answer }
    }

    /// Answers: done.
    pub fn done(self) {}
}

impl Drop for Ack {
    fn drop(&mut self) {
        // The channel has room for every shard of the event; it is gone only when nobody waits any more.
        let _ = self.answer.try_send(self.shard);
    }
}
