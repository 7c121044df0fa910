//! The port itself.

use std::sync::Arc;

use async_trait::async_trait;
use schemas::{CommandEnvelope, CommandId, Outcome};

use crate::SubmitError;

/// What became of a submitted command; it is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The command.
    pub command_id: CommandId,
    /// What became of it. A refusal by a rule is an outcome like any other, not an error.
    pub outcome: Outcome,
    /// Whether the outcome was known before this submission.
    pub replayed: bool,
}

/// Submits commands to whoever owns their shard.
///
/// * **Durability**: an answer is given once its events or its refusal are in the log, never before.
/// * **Idempotence**: the same command id has the same outcome, however often and through whichever implementation it
///   is submitted; another command under the same id is [`SubmitError::KeyReused`].
/// * **Ordering**: commands submitted one after the other (awaiting each) are decided in that order. Between concurrent
///   submissions there is none.
/// * **Cancellation**: dropping the future leaves the outcome open; repeating under the same id tells.
/// * Every call ends: each implementation bounds its waiting.
#[async_trait]
pub trait Commands: Send + Sync + 'static {
    /// Submits one command and waits for its outcome.
    async fn submit(&self, envelope: CommandEnvelope) -> Result<Answer, SubmitError>;
}

#[async_trait]
impl<C: Commands + ?Sized> Commands for Arc<C> {
    async fn submit(&self, envelope: CommandEnvelope) -> Result<Answer, SubmitError> {
        (**self).submit(envelope).await
    }
}
