//! Deciding commands: turn after turn, until the shard goes away.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use event_log::{Ack, AppendError};
use schemas::{Timestamp, Version};
use service_kit::FailPoint;

use super::{IDLE, Incoming, ShardWorker};
use crate::turn::{Turn, TurnContext};
use crate::work::{Control, Work};
use crate::{HostError, StartError};

/// How a shard's service ended.
pub(super) enum Served {
    /// The group wants it for another node, or the host ends; what waits for the release.
    Released(Option<Ack>),
    /// It is not ours any more, and memory may be ahead of the log.
    Lost,
    /// An append failed, and memory is ahead of the log. A turn may have landed all the same: only the log can tell.
    Failed { unknown: Option<Turn>, took_records: bool },
}

/// What the last commit of the shard was like.
#[derive(Clone, Copy, Default)]
pub(super) struct LastCommit {
    /// How many it answered, and how many came meanwhile.
    callers: usize,
    took: Duration,
}

/// Fewer callers than this are not worth waiting for.
const GATHER_CALLERS_MIN: usize = 4;
/// Longest wait for callers: as long as half a commit, and never longer than this.
const GATHER_MAX: Duration = Duration::from_millis(2);
/// How often a turn looks who has come, and how often it finds nobody new before it goes on.
const GATHER_STEP: Duration = Duration::from_micros(100);
const GATHER_IDLE_STEPS: u32 = 2;

/// A turn leaves at least this part of its room to bulk commands, so that neither starves the other.
const BULK_SHARE: usize = 8;

impl ShardWorker {
    /// Turn after turn until the shard goes away.
    pub(super) fn serve(
        &mut self,
        work: &Incoming,
        control: &Receiver<Control>,
    ) -> Result<Served, StartError> {
        loop {
            let first = select! {
                recv(control) -> message => match message {
                    Ok(Control::Drain(ack)) => return Ok(Served::Released(ack)),
                    // Another owner may be at work already; what memory holds is a beginning of the log all the same.
                    Ok(Control::Lost) | Err(_) => return Ok(Served::Released(None)),
                    Ok(Control::Own(_)) => continue,
                },
                recv(work.singles) -> work => work.ok(),
                recv(work.bulks) -> work => work.ok(),
                default(IDLE) => None,
            };
            if let Some(first) = first
                && let Some(served) = self.turn(first, work)?
            {
                return Ok(served);
            }
            self.checkpoint_if_due();
        }
    }

    /// Callers that were answered together ask again together, a moment later. A turn that began with the first of them, or
    /// with those that came during the last commit, would let all others wait for one commit more; so it waits until as
    /// many are there as there were before, as long as they keep coming. A commit of a log in this process is over sooner
    /// than such a wait.
    fn gather(&self, work: &Incoming) {
        let LastCommit { callers, took } = self.last_commit;
        if callers < GATHER_CALLERS_MIN || !self.context.log.is_shared() {
            return;
        }
        let deadline = Instant::now() + (took / 2).min(GATHER_MAX);
        let (mut waiting, mut idle_steps) = (work.len(), 0);
        while waiting + 1 < callers && idle_steps < GATHER_IDLE_STEPS && Instant::now() < deadline {
            std::thread::sleep(GATHER_STEP);
            let before = std::mem::replace(&mut waiting, work.len());
            idle_steps = if waiting > before { 0 } else { idle_steps + 1 };
        }
    }

    /// Takes what is queued, decides it, appends it, answers. Says when that ends the service, and how.
    fn turn(&mut self, first: Work, work: &Incoming) -> Result<Option<Served>, StartError> {
        self.gather(work);
        let started = Instant::now();
        let topics = self.context.log.topics().clone();
        let now = self.now();
        let context = TurnContext {
            shard: self.context.shard,
            term: self.term(),
            topics: &topics,
            partitions: self.context.log.partitions(),
            now,
            store: &self.store,
            is_shared: self.context.log.is_shared(),
            secret: self.context.inner.secret.as_ref(),
        };
        let mut turn = Turn::default();
        let mut reads = Vec::new();
        // Commands of callers who wait come first; bulk has what room is left, and a share in any case.
        let commands_max = self.context.config.turn_commands_max;
        let bulk_min = (commands_max / BULK_SHARE).max(1).min(work.bulks.len());
        let singles = work.singles.try_iter().take(commands_max - bulk_min.min(commands_max - 1));
        for work in std::iter::once(first).chain(singles).chain(work.bulks.try_iter()) {
            match work {
                Work::Command { envelope, hash, reply } => {
                    turn.command(&envelope, hash, Some(reply), &mut self.states, &self.dedupe, &context)?;
                }
                Work::Record { record, token } => {
                    turn.record(&record, token, &mut self.states, &self.dedupe, &context)?;
                }
                // Answered after the commit, so that a read sees only what is durable.
                Work::Read { stream, reply } => reads.push((stream, reply)),
                // Only what is durable is remembered.
                Work::Outcome { command_id, reply } => {
                    let known = self.dedupe.get(command_id, &self.store)?;
                    let _ = reply.send(known.map(|known| known.outcome));
                }
            }
            if turn.commands() >= commands_max || turn.bytes() >= self.context.config.turn_bytes_max {
                break;
            }
        }
        metrics::histogram!(crate::metrics::DECIDE_SECONDS).record(started.elapsed());
        metrics::gauge!(crate::metrics::QUEUED, "shard" => context.shard.partition().to_string())
            .set(work.len() as f64);
        let served = if turn.is_empty() { None } else { self.commit(turn, now, work) };
        if served.is_some() {
            // Memory is ahead of the log: whoever reads is told nothing, and asks again.
            return Ok(served);
        }
        for (stream, reply) in reads {
            let cached = self.states.load(&stream, &self.store)?;
            let state = (cached.version != Version::NONE).then(|| (cached.version, cached.state.clone()));
            let _ = reply.send(state);
        }
        Ok(None)
    }

    /// Appends a turn and answers it, where its outcome is known.
    fn commit(&mut self, mut turn: Turn, now: Timestamp, work: &Incoming) -> Option<Served> {
        let batch = turn.take_batch();
        let events = batch.records.len() as u64;
        metrics::histogram!(crate::metrics::TURN_COMMANDS).record(turn.commands() as f64);
        let started = Instant::now();
        self.pass(FailPoint::HOST_AFTER_DECIDE);
        let writer = self.writer.as_mut().expect("a serving shard has a writer");
        let appended = if batch.is_empty() { Ok(None) } else { writer.append(batch).map(Some) };
        let took = started.elapsed();
        metrics::histogram!(crate::metrics::APPEND_SECONDS).record(took);
        self.last_commit = LastCommit { callers: turn.commands() + work.len(), took };
        match appended {
            Ok(appended) => {
                self.pass(FailPoint::HOST_AFTER_APPEND);
                metrics::counter!(crate::metrics::EVENTS).increment(events);
                let positions = appended.as_ref().map(|appended| appended.positions()).unwrap_or_default();
                for position in positions {
                    let known = self.cursors.iter_mut().find(|cursor| cursor.topic == position.topic);
                    if let Some(cursor) = known {
                        cursor.next_offset = position.offset + 1;
                    }
                }
                turn.committed(positions, now, &mut self.dedupe);
                self.pass(FailPoint::HOST_AFTER_ANSWER);
                None
            }
            Err(AppendError::NotWritten { source }) => {
                tracing::warn!(shard = %self.context.shard, %source, "a batch was not written");
                let took_records = turn.has_records();
                turn.failed(&HostError::NotWritten);
                Some(Served::Failed { unknown: None, took_records })
            }
            Err(AppendError::Unknown { source }) => {
                tracing::warn!(shard = %self.context.shard, %source, "whether a batch was written is not known; asking the log");
                let took_records = turn.has_records();
                Some(Served::Failed { unknown: Some(turn), took_records })
            }
            Err(error @ AppendError::Fenced { .. }) => {
                tracing::warn!(shard = %self.context.shard, %error, "fenced: another writer was opened");
                turn.failed(&HostError::NotWritten);
                self.give_up();
                Some(Served::Lost)
            }
        }
    }

    fn pass(&self, point: FailPoint) {
        // There is nothing between these steps that could fail: an armed point waits, or ends the process.
        let _ = point.pass(&self.context.log.topics().namespace());
    }
}
