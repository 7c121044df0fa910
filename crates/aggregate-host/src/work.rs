//! What reaches a shard's thread.

use std::sync::Arc;

use aggregates::State;
use event_log::{Ack, GroupToken, Record};
use schemas::{CommandEnvelope, CommandHash, CommandId, Outcome, StreamId, Version};
use tokio::sync::oneshot;

use crate::{HostAnswer, HostError};

/// Where the answer to a command goes.
pub(crate) type Reply = oneshot::Sender<Result<HostAnswer, HostError>>;

/// Something to do for a shard, in arrival order.
pub(crate) enum Work {
    /// A command of a caller who waits.
    Command { envelope: Arc<CommandEnvelope>, hash: CommandHash, reply: Reply },
    /// A record of the commands topic.
    Record { record: Box<Record>, token: GroupToken },
    /// A question for what became of a command.
    Outcome { command_id: CommandId, reply: oneshot::Sender<Option<Outcome>> },
    /// A read of a committed state.
    Read { stream: StreamId, reply: oneshot::Sender<Option<(Version, State)>> },
}

/// What the group says about a shard.
pub(crate) enum Control {
    /// The shard is this node's: open it, then acknowledge.
    Own(Ack),
    /// Finish the running turn, refuse what waits, close the writer, then acknowledge.
    Drain(Option<Ack>),
    /// The shard is somebody else's: stop at once.
    Lost,
}
