//! Steps to commands over HTTP: several lanes at a time, each batch answered in full before its lane's next one.
//!
//! What has to stay in sequence travels in one lane and at most once per batch. So a batch's failed lines can be repeated
//! without anything overtaking them, and a batch may be sent twice: the ids are the same.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use command_client::wire::{self, AnswerLine};
use futures::future::try_join_all;
use schemas::Retry;
use service_kit::{Backoff, Millis, Pauses};

use super::client::{Client, Failure};
use super::deliveries::Deliveries;
use super::progress::Phase;
use super::step::Step;
use super::tally::Tally;
use crate::report::hinted;

/// Batches under way at the same time.
const LANES: usize = 8;
/// Most commands of a batch.
const BATCH_COMMANDS_MAX: usize = 256;
/// A batch ends with the command that brings it here: about half a MiB of order lines.
const BATCH_LINES_MAX: usize = 2_000;
/// Most steps that wait behind one of their own sequence while a batch is filled.
const HELD_BACK_MAX: usize = 1_024;
/// Attempts without any progress before the import gives up, about a minute.
const PATIENCE: Backoff =
    Backoff { initial_ms: Millis::new(50), max_ms: Millis::new(5_000), attempts_max: 18 };

/// Sends the steps of one phase.
pub(super) struct Sending<'a> {
    pub(super) client: &'a Client,
    pub(super) tally: &'a Tally,
    pub(super) phase: &'a Phase,
    /// Where placed orders are followed to their end; none: this phase places none.
    pub(super) deliveries: Option<&'a Deliveries<'a>>,
}

impl Sending<'_> {
    /// Sends all steps; each sequence in the order given. Returns when every one is answered.
    pub(super) async fn send(&self, steps: Vec<Step<'_>>) -> anyhow::Result<()> {
        let mut lanes: Vec<VecDeque<Step<'_>>> = vec![VecDeque::new(); LANES];
        // The same lanes in every run: what a run does can be repeated.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        for (index, step) in steps.into_iter().enumerate() {
            let lane = step.sequence().map_or(index, |sequence| hasher.hash_one(sequence) as usize);
            lanes[lane % LANES].push_back(step);
        }
        try_join_all(lanes.into_iter().map(|lane| self.lane(lane))).await?;
        Ok(())
    }

    async fn lane(&self, mut steps: VecDeque<Step<'_>>) -> anyhow::Result<()> {
        while !steps.is_empty() {
            let batch = self.next_batch(&mut steps).await;
            self.deliver(batch).await?;
        }
        Ok(())
    }

    /// Takes the next steps that may travel together; waits only while it could send nothing.
    async fn next_batch<'s>(&self, steps: &mut VecDeque<Step<'s>>) -> Vec<Step<'s>> {
        let mut batch = Vec::new();
        let mut lines = 0;
        let mut taken: HashSet<&str> = HashSet::new();
        let mut held_back: Vec<Step<'_>> = Vec::new();
        while batch.len() < BATCH_COMMANDS_MAX && lines < BATCH_LINES_MAX && held_back.len() < HELD_BACK_MAX {
            let Some(step) = steps.pop_front() else { break };
            if step.sequence().is_some_and(|sequence| taken.contains(sequence)) {
                held_back.push(step);
                continue;
            }
            if step.placed_order().is_some()
                && let Some(deliveries) = self.deliveries
                && !deliveries.room_for_one(batch.is_empty()).await
            {
                steps.push_front(step);
                break;
            }
            taken.extend(step.sequence());
            lines += step.lines();
            batch.push(step);
        }
        for step in held_back.into_iter().rev() {
            steps.push_front(step);
        }
        batch
    }

    /// Sends a batch until every line has its final answer.
    async fn deliver(&self, batch: Vec<Step<'_>>) -> anyhow::Result<()> {
        let mut waiting = batch;
        let mut patience = Patience::new();
        loop {
            let (answers, failure) = self.client.post(self.encode(&waiting)).await;
            if let Some(failure) = failure.as_ref().filter(|failure| !failure.may_pass()) {
                return Err(refused(failure));
            }
            let sent = waiting.len();
            let mut trouble = failure;
            let mut open: Vec<Option<Step<'_>>> = waiting.into_iter().map(Some).collect();
            for answer in answers {
                self.take(answer, &mut open, &mut trouble)?;
            }
            waiting = open.into_iter().flatten().collect();
            if waiting.is_empty() {
                return Ok(());
            }
            patience.wait(waiting.len() < sent, trouble).await?;
        }
    }

    fn encode(&self, steps: &[Step<'_>]) -> Vec<u8> {
        let mut lines = Vec::new();
        for step in steps {
            wire::write_line(&step.envelope(self.client.principal()), &mut lines);
        }
        lines
    }

    /// Takes one answer: a final one closes its step, any other one says why not yet.
    fn take(
        &self,
        answer: AnswerLine,
        open: &mut [Option<Step<'_>>],
        trouble: &mut Option<Failure>,
    ) -> anyhow::Result<()> {
        let slot = usize::try_from(answer.line).ok().and_then(|line| open.get_mut(line.checked_sub(1)?));
        let Some((slot, step)) = slot.and_then(|slot| (*slot).map(|step| (slot, step))) else {
            anyhow::bail!("the server answered line {}, which was not asked, or twice", answer.line);
        };
        if let (None, Some(problem)) = (answer.outcome, &answer.problem)
            && problem.retry != Retry::Never
        {
            *trouble = Some(Failure::Problem(problem.clone().into()));
            return Ok(());
        }
        *slot = None;
        let is_taken = self.tally.answered(&step.key(), &answer);
        match (self.deliveries, step.placed_order()) {
            (Some(deliveries), Some(order)) if is_taken => deliveries.placed(order.clone()),
            (Some(deliveries), Some(_)) => deliveries.refused(),
            _ => self.phase.advance(1),
        }
        Ok(())
    }
}

/// How long a batch goes on without progress.
struct Patience {
    pauses: Pauses,
}

impl Patience {
    fn new() -> Self {
        Self { pauses: PATIENCE.start() }
    }

    /// Waits before the next attempt; an error when there was no progress for too long.
    async fn wait(&mut self, is_progress: bool, trouble: Option<Failure>) -> anyhow::Result<()> {
        if is_progress {
            self.pauses = PATIENCE.start();
        }
        let Some(pause) = self.pauses.next() else {
            let why =
                trouble.map_or_else(|| "lines are left unanswered".to_owned(), |failure| failure.to_string());
            return Err(hinted(
                format!("the shop takes no commands any more: {why}"),
                "what was sent is safe: once `millrace status` is well, run the same command again to resume",
            ));
        };
        let asked = trouble.and_then(|failure| failure.retry_after()).unwrap_or(Duration::ZERO);
        tokio::time::sleep(pause.max(asked)).await;
        Ok(())
    }
}

/// A failure that concerns the whole request and will not pass.
fn refused(failure: &Failure) -> anyhow::Error {
    hinted(
        format!("the shop refuses the import: {failure}"),
        "is it a millrace process of this version, reached over a loopback address?",
    )
}
