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
}

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
                && !self.turn(first, work)?
            {
                return Ok(Served::Lost);
            }
            self.checkpoint_if_due();
        }
    }

    /// Takes what is queued, decides it, appends it, answers. `false`: the shard is lost.
    fn turn(&mut self, first: Work, work: &Incoming) -> Result<bool, StartError> {
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
        let go_on = if turn.is_empty() { true } else { self.commit(turn, now)? };
        for (stream, reply) in reads {
            let cached = self.states.load(&stream, &self.store)?;
            let state = (cached.version != Version::NONE).then(|| (cached.version, cached.state.clone()));
            let _ = reply.send(state);
        }
        Ok(go_on)
    }

    /// Appends a turn and answers it. `false`: the shard is lost.
    fn commit(&mut self, mut turn: Turn, now: Timestamp) -> Result<bool, StartError> {
        let batch = turn.take_batch();
        let events = batch.records.len() as u64;
        metrics::histogram!(crate::metrics::TURN_COMMANDS).record(turn.commands() as f64);
        let started = Instant::now();
        self.pass(FailPoint::HOST_AFTER_DECIDE);
        let writer = self.writer.as_mut().expect("a serving shard has a writer");
        let appended = if batch.is_empty() { Ok(None) } else { writer.append(batch).map(Some) };
        metrics::histogram!(crate::metrics::APPEND_SECONDS).record(started.elapsed());
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
                Ok(true)
            }
            Err(AppendError::NotWritten { source }) => {
                tracing::warn!(shard = %self.context.shard, %source, "a batch was not written");
                turn.failed(&HostError::NotWritten);
                self.recover(None)
            }
            Err(AppendError::Unknown { source }) => {
                tracing::warn!(shard = %self.context.shard, %source, "whether a batch was written is not known; asking the log");
                self.recover(Some(turn))
            }
            Err(error @ AppendError::Fenced { .. }) => {
                tracing::warn!(shard = %self.context.shard, %error, "fenced: another writer was opened");
                turn.failed(&HostError::NotWritten);
                self.give_up();
                Ok(false)
            }
        }
    }

    fn pass(&self, point: FailPoint) {
        // There is nothing between these steps that could fail: an armed point waits, or ends the process.
        let _ = point.pass(&self.context.log.topics().namespace());
    }

    /// The shard may still be assigned here although it cannot be served: give it up, so that the group decides anew.
    fn give_up(&self) {
        if let Err(error) = self.context.membership.leave_and_rejoin() {
            tracing::warn!(shard = %self.context.shard, %error, "could not leave the group");
        }
    }

    /// After a failed append: what memory holds is ahead of the log. Proves the membership, opens the writer again if
    /// need be, folds from the checkpoint, and answers an unresolved turn by what the log says. `false`: the shard is
    /// not ours any more, or the log stayed away.
    fn recover(&mut self, mut unresolved: Option<Turn>) -> Result<bool, StartError> {
        let deadline = Instant::now() + Duration::from_millis(self.context.config.answer_timeout_ms / 2);
        let mut pause = Duration::from_millis(20);
        loop {
            match self.reopen(unresolved.is_some()) {
                Ok(()) => {
                    if let Some(turn) = unresolved.take() {
                        turn.resolve(&self.dedupe, &self.store)?;
                    }
                    return Ok(true);
                }
                Err(error) if error.is_final() => {
                    leave_unknown(unresolved.take());
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(shard = %self.context.shard, error = %service_kit::Chain(&error), "shard not open again yet");
                    let not_owner = matches!(&error, StartError::Log(event_log::Error::NotOwner { .. }));
                    if not_owner || Instant::now() > deadline || self.context.inner.stop.is_requested() {
                        leave_unknown(unresolved.take());
                        if !not_owner {
                            self.give_up();
                        }
                        return Ok(false);
                    }
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(self.context.config.reopen_backoff_ms_max));
        }
    }

    /// Proves that the shard is still this node's before anything is fenced, then brings memory to the log.
    fn reopen(&mut self, is_in_doubt: bool) -> Result<(), StartError> {
        self.go_back_to_the_store()?;
        self.context.membership.prove(self.context.shard)?;
        let is_usable = self.writer.as_ref().is_some_and(|writer| writer.is_open()) && !is_in_doubt;
        if is_usable { self.catch_up() } else { self.open() }
    }
}

/// Nobody here can tell any more what became of a turn.
fn leave_unknown(turn: Option<Turn>) {
    if let Some(turn) = turn {
        turn.unknown();
    }
}
