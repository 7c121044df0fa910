//! What callers hold: submit a command, read a state.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aggregates::State;
use crossbeam_channel::{Sender, TrySendError};
use event_log::Shard;
use schemas::{CommandEnvelope, Outcome, StreamId, Version};
use service_kit::Stop;
use tokio::sync::{oneshot, watch};

use crate::HostError;
use crate::work::Work;

/// What became of a submitted command.
#[derive(Clone, Debug, PartialEq)]
pub struct HostAnswer {
    /// Its outcome; durable.
    pub outcome: Outcome,
    /// Whether an earlier submission of the same id had it already.
    pub replayed: bool,
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
    pub(crate) queues: RwLock<HashMap<u32, Sender<Work>>>,
    /// How many shards are served here.
    pub(crate) serving: watch::Sender<usize>,
    pub(crate) stop: Stop,
}

impl HostHandle {
    /// Decides a command on its shard and waits until the outcome is durable.
    ///
    /// Cancelling the wait cancels nothing: the command may take effect, and repeating it under the same id tells.
    pub async fn submit(&self, envelope: CommandEnvelope) -> Result<HostAnswer, HostError> {
        let command_id = envelope.command_id;
        let shard = self.shard_of(&envelope.command.stream());
        let hash = envelope.hash();
        let (reply, answer) = oneshot::channel();
        self.send(shard, Work::Command { envelope: Box::new(envelope), hash, reply })?;
        match tokio::time::timeout(self.inner.answer_timeout, answer).await {
            Ok(Ok(answer)) => answer,
            // The shard's thread ended with the command in its hands, or is stuck.
            Ok(Err(_)) | Err(_) => Err(HostError::OutcomeUnknown { command_id }),
        }
    }

    /// The committed state of a stream with its version; `None` when it has no events.
    pub async fn state(&self, stream: &StreamId) -> Result<Option<(Version, State)>, HostError> {
        let shard = self.shard_of(stream);
        let (reply, answer) = oneshot::channel();
        self.send(shard, Work::Read { stream: stream.clone(), reply })?;
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

    /// How many partitions, and so shards, the log has.
    pub fn partitions(&self) -> u32 {
        self.inner.partitions
    }

    /// Asks the host to finish the running turns, hand its shards back and stop. Its threads end with that.
    pub fn stop(&self) {
        self.inner.stop.request();
    }

    /// The shard that decides about a stream.
    pub fn shard_of(&self, stream: &StreamId) -> Shard {
        Shard::of_key(stream.id().as_bytes(), self.inner.partitions)
    }

    fn send(&self, shard: Shard, work: Work) -> Result<(), HostError> {
        let partition = shard.partition();
        let queues = self.inner.queues.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(queue) = queues.get(&partition) else {
            return Err(if self.inner.stop.is_requested() {
                HostError::ShuttingDown
            } else {
                HostError::ShardUnavailable { shard: partition }
            });
        };
        queue.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => HostError::Overloaded { shard: partition, waiting: queue.len() },
            TrySendError::Disconnected(_) => HostError::ShardUnavailable { shard: partition },
        })
    }
}
