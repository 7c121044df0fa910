//! From the log into memory: how a shard comes to know what was decided before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use event_log::{Cursor, LogReader, OutcomeRecord, Record, Topics, decode_event, decode_outcome, is_foreign};
use schemas::{Accepted, CommandId, Outcome, RecordedEvent, Timestamp};

use super::{IDLE, ShardWorker};
use crate::dedupe::Remembered;
use crate::{StartError, clock};

/// Records read at once while folding.
const CATCH_UP_RECORDS: usize = 2_000;
/// Batches that wait to be folded at most.
const READ_AHEAD_BATCHES: usize = 2;

/// A record of the log, decoded.
pub(super) enum FoldRecord {
    Event(Box<RecordedEvent>),
    Outcome(Box<OutcomeRecord>),
}

/// What one read of the log brought, and where the log goes on behind it.
pub(super) struct FoldBatch {
    pub(super) records: Vec<FoldRecord>,
    pub(super) cursors: Vec<Cursor>,
}

/// The command of the last event folded, by topic. The events of one command follow each other within their topic, so
/// this tells without asking the store whether an event goes on with the command before it.
#[derive(Default)]
pub(super) struct CommandsMet(HashMap<Arc<str>, (CommandId, u32)>);

impl ShardWorker {
    /// Drops what memory holds and goes on from the store's checkpoint: after a failed append memory is ahead of the
    /// log, and must never reach the store.
    pub(super) fn go_back_to_the_store(&mut self) -> Result<(), StartError> {
        // What it could not write is in the log.
        let _ = self.wait_for_flush();
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

    /// Empties the store, and memory with it.
    pub(super) fn drop_the_store(&mut self) -> Result<(), StartError> {
        // A checkpoint under way would land behind it. Whether that one could be written is all the same.
        let _ = self.wait_for_flush();
        self.store.reset()?;
        self.go_back_to_the_store()
    }

    /// Folds from where memory is to the stable end of events and outcomes. Records are read and decoded, folded, and
    /// written to the state store by three threads side by side.
    pub(super) fn catch_up(&mut self) -> Result<(), StartError> {
        let shard = self.context.shard;
        let started = Instant::now();
        let mut last_told = Instant::now();
        let mut folded_records = 0_u64;
        let reader = self.open_reader()?;
        let (to_fold, read) = bounded(READ_AHEAD_BATCHES);
        std::thread::scope(|scope| {
            let topics = self.context.log.topics().clone();
            // It ends with the log's end, with its first error, or with whoever folds.
            scope.spawn(move || read_to_end(reader, &topics, &to_fold));
            for batch in read {
                if self.context.inner.stop.is_requested() {
                    return Err(StartError::Stopped);
                }
                let FoldBatch { records, cursors } = batch?;
                folded_records += records.len() as u64;
                self.fold_all(records)?;
                self.cursors = cursors;
                self.checkpoint_behind()?;
                if last_told.elapsed() > Duration::from_secs(5) {
                    tracing::info!(%shard, folded_records, "catching up");
                    last_told = Instant::now();
                }
            }
            Ok(())
        })?;
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
                self.drop_the_store()?;
                Ok(self.context.log.open_reader(&self.cursors)?)
            }
            opened => Ok(opened?),
        }
    }

    /// Takes records of the log into states and outcomes, in their order.
    pub(super) fn fold_all(&mut self, records: Vec<FoldRecord>) -> Result<(), StartError> {
        let oldest = self.context.config.oldest_remembered(clock::now());
        records.into_iter().try_for_each(|record| self.fold(record, oldest))
    }

    /// Takes one record into states and outcomes. An outcome from before `oldest` would be forgotten at once.
    fn fold(&mut self, record: FoldRecord, oldest: Timestamp) -> Result<(), StartError> {
        let recorded = match record {
            FoldRecord::Event(recorded) => recorded,
            FoldRecord::Outcome(outcome) => {
                self.last_now = self.last_now.max(outcome.recorded_at);
                if outcome.recorded_at >= oldest {
                    let remembered = Remembered {
                        hash: outcome.command_hash,
                        decided_at: outcome.recorded_at,
                        outcome: outcome.outcome,
                    };
                    self.dedupe.insert(outcome.command_id, remembered);
                }
                return Ok(());
            }
        };
        let RecordedEvent { position, metadata, event } = *recorded;
        self.last_now = self.last_now.max(metadata.recorded_at);
        let cached = self.states.load(&metadata.stream, &self.store)?;
        if metadata.version != cached.version.next() {
            let problem =
                format!("{} follows version {} of {}", metadata.version, cached.version, metadata.stream);
            return Err(StartError::Record { position, source: problem.into() });
        }
        if let Err(error) = cached.state.apply(&event) {
            return Err(StartError::Record { position, source: error.into() });
        }
        cached.version = metadata.version;
        self.states.touch(&metadata.stream);
        let events = self.events_met(&position.topic, metadata.command_id)?;
        if metadata.recorded_at >= oldest {
            let remembered = Remembered {
                hash: metadata.command_hash,
                decided_at: metadata.recorded_at,
                outcome: Outcome::Accepted(Accepted { version: metadata.version, events, position }),
            };
            self.dedupe.insert(metadata.command_id, remembered);
        }
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

/// Reads and decodes up to the reader's stable end, for one who folds behind it.
fn read_to_end(
    mut reader: Box<dyn LogReader>,
    topics: &Topics,
    to_fold: &Sender<Result<FoldBatch, StartError>>,
) {
    while !reader.caught_up() {
        let batch = read_batch(&mut *reader, topics);
        let is_last = batch.is_err();
        if to_fold.send(batch).is_err() || is_last {
            return;
        }
    }
}

/// Reads once, and decodes what came.
pub(super) fn read_batch(reader: &mut dyn LogReader, topics: &Topics) -> Result<FoldBatch, StartError> {
    let records = reader.read(CATCH_UP_RECORDS, IDLE)?;
    let records = records.iter().filter_map(|record| decode(record, topics).transpose());
    let records = records.collect::<Result<_, _>>()?;
    Ok(FoldBatch { records, cursors: reader.next_offsets() })
}

/// What a record says; none: it is not an owner's, so nothing was decided by it.
fn decode(record: &Record, topics: &Topics) -> Result<Option<FoldRecord>, StartError> {
    if is_foreign(record) {
        tracing::error!(position = %record.position, "a record of another producer is passed over: it says no writer term");
        return Ok(None);
    }
    let decoded = if record.position.topic == *topics.outcomes() {
        decode_outcome(record).map(|outcome| FoldRecord::Outcome(Box::new(outcome)))
    } else {
        decode_event(record).map(|recorded| FoldRecord::Event(Box::new(recorded)))
    };
    decoded.map(Some).map_err(|e| StartError::Record { position: record.position.clone(), source: e.into() })
}
