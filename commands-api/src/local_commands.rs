//! The shards of this process as the port that process managers know.

use aggregate_host::{HostError, HostHandle};
use async_trait::async_trait;
use command_client::{Answer, Commands, SubmitError};
use schemas::CommandEnvelope;

/// How long an overloaded shard is left alone, milliseconds: some turns of its loop.
const RETRY_AFTER_MS: u64 = 50;

/// [`Commands`] on the shards of this process. Whoever holds it is trusted: there are no permissions on this way.
#[derive(Clone)]
pub struct LocalCommands {
    host: HostHandle,
}

impl LocalCommands {
    /// Submits to `host`.
    pub fn new(host: HostHandle) -> Self {
        Self { host }
    }
}

#[async_trait]
impl Commands for LocalCommands {
    async fn submit(&self, envelope: CommandEnvelope) -> Result<Answer, SubmitError> {
        let command_id = envelope.command_id;
        let answer = self.host.submit(envelope).await.map_err(submit_error)?;
        Ok(Answer { command_id, outcome: answer.outcome, replayed: answer.replayed })
    }
}

fn submit_error(error: HostError) -> SubmitError {
    match error {
        HostError::Overloaded { .. } => SubmitError::Overloaded { retry_after_ms: RETRY_AFTER_MS },
        HostError::ShardUnavailable { .. } => SubmitError::ShardUnavailable,
        HostError::NotWritten => SubmitError::NotWritten,
        HostError::OutcomeUnknown { command_id } => SubmitError::OutcomeUnknown { command_id },
        HostError::IdReused { command_id } => SubmitError::KeyReused { command_id },
        HostError::ShuttingDown => SubmitError::ShuttingDown,
    }
}
