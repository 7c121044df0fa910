//! What callers hold: submit a command, read a state, ask who owns a shard.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use aggregates::State;
use crossbeam_channel::{Sender, TrySendError};
use event_log::{AppendError, Log, Membership, Shard, encode_command};
use schemas::{CommandEnvelope, CommandId, InstallationSecret, Outcome, Position, StreamId, Version};
use service_kit::Stop;
use tokio::sync::{oneshot, watch};
use tokio::time::Timeout;

use crate::owners::{Owner, Owners};
use crate::work::Work;
use crate::{HostError, StartError, clock};

/// What became of a submitted command.
#[derive(Clone, Debug, PartialEq)]
pub struct HostAnswer {
    /// Its outcome; durable.
    pub outcome: Outcome,
    /// Whether an earlier submission of the same id had it already.
    pub replayed: bool,
}

/// Which of a shard's two queues a command waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A caller waits for this one command.
    Single,
    /// One of many of one request: it waits behind single ones, but a part of every turn is kept for its like.
    Bulk,
}

/// A cheap handle of a running [`Host`](crate::Host).
#[derive(Clone)]
pub struct HostHandle {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) partitions: u32,
    pub(crate) answer_timeout: Duration,
    /// The queues of the shards that are served here.
    pub(crate) queues: RwLock<HashMap<u32, Queue>>,
    /// How many shards are served here.
    pub(crate) serving: watch::Sender<usize>,
    /// Who owns the others.
    pub(crate) owners: Owners,
    /// Not kept alive by callers: the last one to let go of a member waits for its client to close, and that has to be a
    /// thread of the host's.
    pub(crate) membership: Weak<dyn Membership>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) secret: Option<InstallationSecret>,
    pub(crate) stop: Stop,
}

/// The way to a shard's thread, under one of its terms.
pub(crate) struct Queue {
    pub(crate) single: Sender<Work>,
    pub(crate) bulk: Sender<Work>,
    pub(crate) term: u64,
}

impl Inner {
    /// What callers of a shard that is not served here are told.
    pub(crate) fn unavailable(&self, shard: Shard) -> HostError {
        if self.stop.is_requested() {
            HostError::ShuttingDown
        } else {
            HostError::ShardUnavailable { shard: shard.partition() }
        }
    }
}

/// What the shard's thread will say.
type Answer = oneshot::Receiver<Result<HostAnswer, HostError>>;

/// A command in its shard's queue: the future of its answer.
///
/// Dropping it cancels nothing: the command may take effect, and repeating it under the same id tells.
pub struct Pending {
    command_id: CommandId,
    answer: Pin<Box<Timeout<Answer>>>,
}

impl Future for Pending {
    type Output = Result<HostAnswer, HostError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let command_id = self.command_id;
        self.answer.as_mut().poll(context).map(|answered| match answered {
            Ok(Ok(answer)) => answer,
            // The shard's thread ended with the command in its hands, or is stuck.
            Ok(Err(_)) | Err(_) => Err(HostError::OutcomeUnknown { command_id }),
        })
    }
}

impl HostHandle {
    /// Decides a command on its shard, which must be served here, and waits until the outcome is durable.
    pub async fn submit(&self, envelope: impl Into<Arc<CommandEnvelope>>) -> Result<HostAnswer, HostError> {
        self.enqueue(envelope.into(), Lane::Single)?.await
    }

    /// Puts a command into its shard's queue. Commands of one lane are decided in the order of these calls.
    pub fn enqueue(&self, envelope: Arc<CommandEnvelope>, lane: Lane) -> Result<Pending, HostError> {
        let command_id = envelope.command_id;
        let shard = self.shard_of(&envelope.command.stream());
        let hash = envelope.hash();
        let (reply, answer) = oneshot::channel();
        self.send(shard, lane, Work::Command { envelope, hash, reply })?;
        let answer = Box::pin(tokio::time::timeout(self.inner.answer_timeout, answer));
        Ok(Pending { command_id, answer })
    }

    /// Whether [`HostHandle::defer`] keeps who sent a command: on a shared log that takes the installation's secret.
    pub fn can_defer(&self) -> bool {
        !self.inner.log.is_shared() || self.inner.secret.is_some()
    }

    /// Puts a command on the commands topic, to be decided by whoever owns its shard; durable when this returns. The
    /// outcome is told by [`HostHandle::outcome`].
    pub async fn defer(&self, envelope: &CommandEnvelope) -> Result<Position, HostError> {
        let command_id = envelope.command_id;
        let log = &self.inner.log;
        let secret = self.inner.secret.as_ref();
        let record = encode_command(log.topics(), log.partitions(), envelope, clock::now(), secret)
            .map_err(|_| HostError::NotWritten)?;
        let (done, answer) = oneshot::channel();
        log.enqueue(record, Box::new(move |outcome| drop(done.send(outcome))));
        match tokio::time::timeout(self.inner.answer_timeout, answer).await {
            Ok(Ok(Ok(position))) => Ok(position),
            Ok(Ok(Err(AppendError::NotWritten { source }))) => {
                tracing::warn!(%command_id, %source, "a command was not put on the commands topic");
                Err(HostError::NotWritten)
            }
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => Err(HostError::OutcomeUnknown { command_id }),
        }
    }

    /// What became of a command for `stream`, whose shard must be served here; `None`: it is not decided, or longer ago than
    /// outcomes are remembered.
    pub async fn outcome(
        &self,
        command_id: CommandId,
        stream: &StreamId,
    ) -> Result<Option<Outcome>, HostError> {
        let shard = self.shard_of(stream);
        let (reply, answer) = oneshot::channel();
        self.send(shard, Lane::Single, Work::Outcome { command_id, reply })?;
        match tokio::time::timeout(self.inner.answer_timeout, answer).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) | Err(_) => Err(HostError::ShardUnavailable { shard: shard.partition() }),
        }
    }

    /// The committed state of a stream with its version; `None` when it has no events.
    pub async fn state(&self, stream: &StreamId) -> Result<Option<(Version, State)>, HostError> {
        let shard = self.shard_of(stream);
        let (reply, answer) = oneshot::channel();
        self.send(shard, Lane::Single, Work::Read { stream: stream.clone(), reply })?;
        match tokio::time::timeout(self.inner.answer_timeout, answer).await {
            Ok(Ok(state)) => Ok(state),
            Ok(Err(_)) | Err(_) => Err(HostError::ShardUnavailable { shard: shard.partition() }),
        }
    }

    /// Waits until `shards` shards are served here; `false` when it took longer than `timeout`.
    pub async fn serving(&self, shards: u32, timeout: Duration) -> bool {
        let mut serving = self.inner.serving.subscribe();
        let enough = serving.wait_for(|count| *count >= shards as usize);
        tokio::time::timeout(timeout, enough).await.is_ok_and(|result| result.is_ok())
    }

    /// How many shards are served here at the moment.
    pub fn serving_now(&self) -> usize {
        *self.inner.serving.borrow()
    }

    /// Whether this shard is served here at the moment.
    pub fn serves(&self, shard: Shard) -> bool {
        self.inner.queues.read().unwrap_or_else(PoisonError::into_inner).contains_key(&shard.partition())
    }

    /// The term under which this shard is served here.
    pub fn serving_term(&self, shard: Shard) -> Result<u64, HostError> {
        let queues = self.inner.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(&shard.partition()).map(|queue| queue.term).ok_or_else(|| self.inner.unavailable(shard))
    }

    /// Waits until the ownership of `term` is known to be over because of a later one: another node's or this node's own.
    pub async fn replaced(&self, shard: Shard, term: u64) {
        let mut changes = self.changes();
        let is_replaced = || {
            self.inner.owners.is_replaced(shard, term) || self.serving_term(shard).is_ok_and(|own| own > term)
        };
        while !is_replaced() {
            changes.changed().await.expect("this handle keeps the sender alive");
        }
    }

    /// The other node that owns a shard, as far as is known: whom to ask when it is not served here.
    pub fn owner(&self, shard: Shard) -> Option<Owner> {
        self.inner.owners.owner(shard)
    }

    /// Changes whenever [`HostHandle::serves`] or [`HostHandle::owner`] may answer otherwise.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.owners.changes()
    }

    /// How many shards can be reached from here: served here, or owned by a node that is known.
    pub fn reachable_now(&self) -> usize {
        let shards = (0..self.inner.partitions).map(Shard::new);
        shards.filter(|shard| self.serves(*shard) || self.owner(*shard).is_some()).count()
    }

    /// How long a caller waits for an answer at most.
    pub fn answer_timeout(&self) -> Duration {
        self.inner.answer_timeout
    }

    /// How many partitions, and so shards, the log has.
    pub fn partitions(&self) -> u32 {
        self.inner.partitions
    }

    /// Asks the host to finish the running turns, hand its shards back and stop. Its threads end with that.
    pub fn stop(&self) {
        self.inner.stop.request();
    }

    /// Whether there are other nodes that could take this one's shards over. Asks the group; blocks.
    pub fn has_others(&self) -> Result<bool, StartError> {
        match self.inner.membership.upgrade() {
            Some(membership) => Ok(membership.members()? > 1),
            None => Ok(false),
        }
    }

    /// Waits until no shard is served here any more.
    pub async fn handed_over(&self) {
        let mut serving = self.inner.serving.subscribe();
        // An error would say that the host is gone, and with it its shards.
        let _ = serving.wait_for(|count| *count == 0).await;
    }

    /// The shard that decides about a stream.
    pub fn shard_of(&self, stream: &StreamId) -> Shard {
        Shard::of_key(stream.id().as_bytes(), self.inner.partitions)
    }

    fn send(&self, shard: Shard, lane: Lane, work: Work) -> Result<(), HostError> {
        let partition = shard.partition();
        let queues = self.inner.queues.read().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queues.get(&partition) else { return Err(self.inner.unavailable(shard)) };
        let queue = match lane {
            Lane::Single => &queue.single,
            Lane::Bulk => &queue.bulk,
        };
        queue.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => HostError::Overloaded { shard: partition, waiting: queue.len() },
            TrySendError::Disconnected(_) => HostError::ShardUnavailable { shard: partition },
        })
    }
}
