//! Deals with one event: takes the steps, waits for their answers, takes what follows from them.

use std::sync::Arc;

use command_client::{Commands, submit_with_retries};
use futures::future::try_join_all;
use schemas::{CommandEnvelope, Outcome, Principal, RecordedEvent, Rejection, Retry};
use service_kit::Stop;
use tokio::sync::Semaphore;

use crate::effects::{Begin, Effects, Stopped};
use crate::{Action, Answer, Answers, ProcessManager, ProcessManagersConfig, Step, metrics};

/// Takes steps. Shared by the runner, the timers and the notifications, so that their limits are common.
pub(crate) struct Handler {
    commands: Arc<dyn Commands>,
    effects: Effects,
    permits: Semaphore,
    config: ProcessManagersConfig,
    stop: Stop,
}

impl Handler {
    pub(crate) fn new(
        commands: Arc<dyn Commands>,
        effects: Effects,
        config: ProcessManagersConfig,
        stop: Stop,
    ) -> Self {
        let permits = Semaphore::new(config.commands_in_flight_max);
        Self { commands, effects, permits, config, stop }
    }

    /// Deals with an event to the end. Dealing with it again takes the same steps under the same ids.
    pub(crate) async fn handle(
        &self,
        manager: &dyn ProcessManager,
        event: &RecordedEvent,
        begin: Begin,
    ) -> Result<Answers, Stopped> {
        let mut answers = Answers::new();
        let mut steps = manager.react(event);
        while !steps.is_empty() {
            let taken = steps.into_iter().map(|step| async move {
                let answer = self.take(manager.name(), event, &step, begin).await?;
                Ok::<_, Stopped>((step.name, answer))
            });
            for (name, answer) in try_join_all(taken).await? {
                answers.insert(name, answer);
            }
            steps = manager.conclude(event, &answers);
            steps.retain(|step| answers.get(&step.name).is_none());
        }
        if let Some(alarm) = manager.alarm(event, &answers) {
            ::metrics::counter!(metrics::ALARMS, "process_manager" => manager.name()).increment(1);
            tracing::error!(process_manager = manager.name(), event_id = %event.metadata.event_id(), "{alarm}");
        }
        ::metrics::counter!(metrics::EVENTS, "process_manager" => manager.name()).increment(1);
        Ok(answers)
    }

    async fn take(
        &self,
        name: &'static str,
        event: &RecordedEvent,
        step: &Step,
        begin: Begin,
    ) -> Result<Answer, Stopped> {
        match &step.action {
            Action::Effect(effect) => Ok(Answer::Effect(self.effects.perform(effect, begin).await?)),
            Action::Command(command) => {
                let principal = Principal::process(name);
                let envelope = CommandEnvelope::following(event, &step.name, principal, (**command).clone());
                Ok(Answer::Outcome(self.submit(envelope).await?))
            }
        }
    }

    /// Submits until there is an answer. What repeating cannot mend is a refusal.
    pub(crate) async fn submit(&self, envelope: CommandEnvelope) -> Result<Outcome, Stopped> {
        let mut rounds = 0;
        loop {
            let result = {
                let permit = self.permits.acquire().await;
                let _permit = permit.expect("the semaphore is never closed");
                submit_with_retries(&*self.commands, envelope.clone(), &self.config.submit).await
            };
            let error = match result {
                Ok(answer) => {
                    ::metrics::counter!(metrics::STEPS, "answer" => label(&answer.outcome)).increment(1);
                    return Ok(answer.outcome);
                }
                Err(error) => error,
            };
            ::metrics::counter!(metrics::ROUNDS_FAILED, "code" => error.code().as_str()).increment(1);
            if error.retry() == Retry::Never {
                let stream = envelope.command.stream();
                tracing::error!(command_id = %envelope.command_id, %stream, %error, "a command was turned away");
                return Ok(Outcome::Rejected(Rejection::new(error.code(), error.to_string())));
            }
            rounds += 1;
            if rounds >= self.config.rounds_before_warning {
                let stream = envelope.command.stream();
                tracing::warn!(command_id = %envelope.command_id, %stream, rounds, %error, "a command has no answer yet");
            }
            if self.stop.is_requested() {
                return Err(Stopped);
            }
        }
    }
}

fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Unchanged { .. } => "unchanged",
        Outcome::Rejected(_) => "rejected",
    }
}
