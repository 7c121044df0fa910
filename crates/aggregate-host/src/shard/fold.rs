//! From the log into memory: how a shard comes to know what was decided before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::{LogReader, decode_event, decode_outcome};
use schemas::{Accepted, CommandId, Outcome};

use super::{IDLE, ShardWorker};
use crate::StartError;
use crate::dedupe::Remembered;

/// Records read at once while folding.
pub(super) const CATCH_UP_RECORDS: usize = 5_000;

/// The command of the last event folded, by topic. The events of one command follow each other within their topic, so
/// this tells without asking the store whether an event goes on with the command before it.
#[derive(Default)]
pub(super) struct CommandsMet(HashMap<Arc<str>, (CommandId, u32)>);

impl ShardWorker {
    /// Drops what memory holds and goes on from the store's checkpoint: after a failed append memory is ahead of the
    /// log, and must never reach the store.
    pub(super) fn go_back_to_the_store(&mut self) -> Result<(), StartError> {
        self.wait_for_flush();
        self.states.clear();
        self.dedupe.clear();
        self.met = CommandsMet::default();
        let topics = self.context.log.topics().clone();
        // The commands topic is left out: foreign transactions may hold it.
        let folded = topics.all_events().iter().chain([topics.outcomes()]);
        self.cursors =
            folded.map(|topic| self.store.cursor(topic, self.context.shard)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Folds from where memory is to the stable end of events and outcomes.
    pub(super) fn catch_up(&mut self) -> Result<(), StartError> {
        let shard = self.context.shard;
        let started = Instant::now();
        let mut reader = self.open_reader()?;
        let mut folded_records = 0_u64;
        let mut last_told = Instant::now();
        loop {
            if self.context.inner.stop.is_requested() {
                return Err(StartError::Stopped);
            }
            for record in reader.read(CATCH_UP_RECORDS, IDLE)? {
                self.fold(&record)?;
                folded_records += 1;
            }
            self.cursors = reader.next_offsets();
            if self.states.unsaved() + self.dedupe.unsaved() >= self.context.config.checkpoint_commands_max {
                self.checkpoint_now()?;
            }
            if reader.caught_up() {
                break;
            }
            if last_told.elapsed() > Duration::from_secs(5) {
                tracing::info!(%shard, folded_records, "catching up");
                last_told = Instant::now();
            }
        }
        if folded_records > 0 {
            tracing::info!(%shard, folded_records, took_ms = started.elapsed().as_millis() as u64, "caught up");
        }
        Ok(())
    }

    /// A reader from where memory is. A store that is ahead of the log is of another log: it is dropped.
    pub(super) fn open_reader(&mut self) -> Result<Box<dyn LogReader>, StartError> {
        match self.context.log.open_reader(&self.cursors) {
            Err(event_log::Error::OffsetOutOfRange { topic, offset, .. }) => {
                tracing::warn!(shard = %self.context.shard, topic, offset,
                    "the state store is ahead of the log, refolding from the start");
                self.wait_for_flush();
                self.store.reset()?;
                self.go_back_to_the_store()?;
                Ok(self.context.log.open_reader(&self.cursors)?)
            }
            opened => Ok(opened?),
        }
    }

    /// Takes one record of the log into states and outcomes.
    pub(super) fn fold(&mut self, record: &event_log::Record) -> Result<(), StartError> {
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| StartError::Record {
            position: record.position.clone(),
            source,
        };
        if record.position.topic == *self.context.log.topics().outcomes() {
            let outcome = decode_outcome(record).map_err(|e| unreadable(e.into()))?;
            self.last_now = self.last_now.max(outcome.recorded_at);
            let remembered = Remembered {
                hash: outcome.command_hash,
                decided_at: outcome.recorded_at,
                outcome: outcome.outcome,
            };
            self.dedupe.insert(outcome.command_id, remembered);
            return Ok(());
        }
        let recorded = decode_event(record).map_err(|e| unreadable(e.into()))?;
        let metadata = &recorded.metadata;
        self.last_now = self.last_now.max(metadata.recorded_at);
        let cached = self.states.load(&metadata.stream, &self.store)?;
        if metadata.version != cached.version.next() {
            return Err(unreadable(
                format!("{} follows version {} of {}", metadata.version, cached.version, metadata.stream)
                    .into(),
            ));
        }
        cached.state.apply(&recorded.event).map_err(|e| unreadable(e.into()))?;
        cached.version = metadata.version;
        self.states.touch(&metadata.stream);
        let events = self.events_met(&recorded.position.topic, metadata.command_id)?;
        let accepted = Accepted { version: metadata.version, events, position: recorded.position.clone() };
        self.dedupe.insert(
            metadata.command_id,
            Remembered {
                hash: metadata.command_hash,
                decided_at: metadata.recorded_at,
                outcome: Outcome::Accepted(accepted),
            },
        );
        Ok(())
    }

    /// How many events of `command_id` have been met, this one included: the last one completes the outcome.
    fn events_met(&mut self, topic: &Arc<str>, command_id: CommandId) -> Result<u32, StartError> {
        let events = match self.met.0.get(topic) {
            Some((last, events)) if *last == command_id => events + 1,
            Some(_) => 1,
            // The first event since the store was asked: a checkpoint may have come between two of one command.
            None => match self.dedupe.get(command_id, &self.store)? {
                Some(Remembered { outcome: Outcome::Accepted(earlier), .. }) => earlier.events + 1,
                _ => 1,
            },
        };
        match self.met.0.get_mut(topic) {
            Some(met) => *met = (command_id, events),
            None => {
                self.met.0.insert(topic.clone(), (command_id, events));
            }
        }
        Ok(events)
    }
}
