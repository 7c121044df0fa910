//! Repeating a submission under the same command id, within limits.

use std::time::Duration;

use schemas::{CommandEnvelope, Retry};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Answer, Commands, SubmitError};

/// How often and how long a submission is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Submissions in all, the first included; at least 1. Default 20.
    pub attempts_max: u32,
    /// Wait before the second submission, milliseconds; it doubles from there. Default 20.
    pub backoff_first_ms: u64,
    /// Longest wait between two submissions, milliseconds. Default 2,000.
    pub backoff_max_ms: u64,
    /// No submission starts later than this after the first one, milliseconds. Default 60,000.
    pub deadline_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 20, backoff_first_ms: 20, backoff_max_ms: 2_000, deadline_ms: 60_000 }
    }
}

/// Submits until there is an outcome, an error that repeating cannot mend, or the policy's end, whose last error is
/// returned.
pub async fn submit_with_retries<C: Commands + ?Sized>(
    commands: &C,
    envelope: CommandEnvelope,
    policy: &RetryPolicy,
) -> Result<Answer, SubmitError> {
    let started = Instant::now();
    let mut attempt = 1;
    loop {
        let error = match commands.submit(envelope.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let wait = wait_before_next(&error, attempt, policy, spread(&envelope, attempt));
        let too_late = |wait: Duration| started.elapsed() + wait > Duration::from_millis(policy.deadline_ms);
        match wait {
            Some(wait) if attempt < policy.attempts_max && !too_late(wait) => {
                tracing::debug!(command_id = %envelope.command_id, attempt, code = %error.code(), "submitting again");
                tokio::time::sleep(wait).await;
                attempt += 1;
            }
            _ => return Err(error),
        }
    }
}

/// The wait before the next submission; none: repeating gives the same error.
fn wait_before_next(
    error: &SubmitError,
    attempt: u32,
    policy: &RetryPolicy,
    spread_percent: u64,
) -> Option<Duration> {
    let doubled = policy.backoff_first_ms.saturating_mul(1 << (attempt - 1).min(20));
    let backoff_ms = doubled.min(policy.backoff_max_ms) * (50 + spread_percent / 2) / 100;
    let ms = match (error.retry(), error) {
        (Retry::Never, _) => return None,
        // Safe means at once, but not in a busy loop.
        (Retry::Safe, _) if attempt == 1 => 0,
        (_, SubmitError::Overloaded { retry_after_ms }) => backoff_ms.max(*retry_after_ms),
        _ => backoff_ms,
    };
    Some(Duration::from_millis(ms))
}

/// 0 to 100, so that many who failed together don't come back together; the command id's own bits spread well enough
/// (UUIDs of version 5, or the random half of version 7).
fn spread(envelope: &CommandEnvelope, attempt: u32) -> u64 {
    let bits = envelope.command_id.as_uuid().as_u128() as u64;
    (bits.rotate_left(attempt.wrapping_mul(7)) >> 32) % 101
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use schemas::{Command, CommandId, ErrorCode, Outcome, Principal, Sku, Version};

    use super::*;

    /// Gives the errors in turn, then an outcome; notes the command ids it saw.
    struct Scripted {
        errors: Mutex<Vec<SubmitError>>,
        seen: Mutex<Vec<CommandId>>,
    }

    impl Scripted {
        fn new(mut errors: Vec<SubmitError>) -> Self {
            errors.reverse();
            Self { errors: Mutex::new(errors), seen: Mutex::default() }
        }
    }

    #[async_trait]
    impl Commands for Scripted {
        async fn submit(&self, envelope: CommandEnvelope) -> Result<Answer, SubmitError> {
            self.seen.lock().unwrap().push(envelope.command_id);
            match self.errors.lock().unwrap().pop() {
                Some(error) => Err(error),
                None => Ok(Answer {
                    command_id: envelope.command_id,
                    outcome: Outcome::Unchanged { version: Version::FIRST },
                    replayed: false,
                }),
            }
        }
    }

    fn envelope() -> CommandEnvelope {
        let command = Command::Product {
            id: Sku::new("A").unwrap(),
            body: schemas::product::ProductCommand::Publish(Default::default()),
        };
        CommandEnvelope::new(
            CommandId::new(uuid::Uuid::from_u128(7)),
            Principal::process("checkout"),
            command,
        )
    }

    fn quick() -> RetryPolicy {
        RetryPolicy { backoff_first_ms: 1, backoff_max_ms: 2, ..RetryPolicy::default() }
    }

    #[tokio::test]
    async fn repeats_under_the_same_id_until_there_is_an_outcome() {
        let commands = Scripted::new(vec![
            SubmitError::Overloaded { retry_after_ms: 1 },
            SubmitError::NotWritten,
            SubmitError::ShardUnavailable,
            SubmitError::OutcomeUnknown { command_id: envelope().command_id },
        ]);
        let answer = submit_with_retries(&commands, envelope(), &quick()).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Unchanged { .. }));
        let seen = commands.seen.lock().unwrap();
        assert_eq!(seen.len(), 5);
        assert!(seen.iter().all(|id| *id == envelope().command_id));
    }

    #[tokio::test]
    async fn does_not_repeat_what_repeating_cannot_mend() {
        let command_id = envelope().command_id;
        let commands = Scripted::new(vec![SubmitError::KeyReused { command_id }]);
        let error = submit_with_retries(&commands, envelope(), &quick()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::IdempotencyKeyReused);
        assert_eq!(commands.seen.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn gives_up_after_the_last_attempt_with_the_last_error() {
        let commands = Scripted::new(vec![
            SubmitError::NotWritten,
            SubmitError::ShardUnavailable,
            SubmitError::NotWritten,
        ]);
        let policy = RetryPolicy { attempts_max: 2, ..quick() };
        let error = submit_with_retries(&commands, envelope(), &policy).await.unwrap_err();
        assert!(matches!(error, SubmitError::ShardUnavailable));
    }

    #[tokio::test]
    async fn starts_nothing_after_the_deadline() {
        let commands = Scripted::new(vec![SubmitError::Overloaded { retry_after_ms: 10_000 }]);
        let policy = RetryPolicy { deadline_ms: 5_000, ..quick() };
        submit_with_retries(&commands, envelope(), &policy).await.unwrap_err();
        assert_eq!(commands.seen.lock().unwrap().len(), 1);
    }

    #[test]
    fn waits_double_up_to_the_limit() {
        let policy = RetryPolicy::default();
        let wait = |attempt| wait_before_next(&SubmitError::ShardUnavailable, attempt, &policy, 100).unwrap();
        assert_eq!([1, 2, 3, 9].map(|n| wait(n).as_millis()), [20, 40, 80, 2_000]);
        assert_eq!(wait(u32::MAX).as_millis(), 2_000);
    }
}
