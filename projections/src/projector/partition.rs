//! One partition's projector: reads partition k of every topic and folds it into all tables.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event_log::{Cursor, Log, LogReader, Record};
use read_store::{ChangeBatch, ReadStore};
use schemas::{AggregateType, Retry, Timestamp};
use service_kit::{AfterPause, Chain, ComponentHealth, Stop};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::table::{Item, OnPoison, TableState};
use crate::metrics::{
    BATCH_SECONDS, DEAD_LETTER_KEYS, DEAD_LETTERS_SKIPPED, DEAD_LETTERS_WAITING, EVENTS, FAILURES, HELD,
    LAG_EVENTS, LAG_SECONDS, ROWS,
};
use crate::progress::{HoldStatus, ProjectionStatus};
use crate::views::ViewStates;
use crate::{Catalogue, Error, PartitionState, Progress, ProjectorConfig};

/// What every partition's projector of a process shares.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) log: Arc<dyn Log>,
    pub(super) store: Arc<dyn ReadStore>,
    pub(super) catalogue: Catalogue,
    pub(super) config: ProjectorConfig,
    pub(super) progress: Progress,
    /// Which generation of each table serves.
    pub(super) views: watch::Receiver<ViewStates>,
}

pub(super) struct PartitionProjector {
    pub(super) partition: u32,
    label: String,
    pub(super) shared: Shared,
    pub(super) tables: Vec<TableState>,
    /// When the last applied event was recorded.
    last_recorded_at: Option<Timestamp>,
    /// Next offset by topic, as last read.
    next_offsets: Vec<Cursor>,
    /// Whether a batch was applied since the reader was opened.
    has_advanced: bool,
    /// Events applied since the last measurement.
    events: u64,
    measured_at: Instant,
}

/// Why following ended without a failure.
enum Ended {
    Stopped,
    /// The tables have to be opened again: another generation serves, or an operator has decided about a hold.
    Reopen,
}

impl PartitionProjector {
    pub(super) fn new(partition: u32, shared: Shared) -> Self {
        Self {
            partition,
            label: partition.to_string(),
            shared,
            tables: Vec::new(),
            last_recorded_at: None,
            next_offsets: Vec::new(),
            has_advanced: false,
            events: 0,
            measured_at: Instant::now(),
        }
    }

    /// Follows the log until told to stop.
    pub(super) fn run(&mut self, stop: &Stop, health: &ComponentHealth) -> Result<(), Error> {
        let mut pauses = self.shared.config.backoff.start();
        loop {
            self.has_advanced = false;
            let error = match self.follow(stop, health) {
                Ok(Ended::Stopped) => return Ok(()),
                Ok(Ended::Reopen) => continue,
                Err(error) => error,
            };
            if stop.is_requested() {
                // The log may be closed before the last read returns.
                tracing::debug!(partition = self.partition, error = %Chain(&error), "failed while stopping");
                return Ok(());
            }
            FAILURES.as_counter(&[("partition", &self.label)]).increment(1);
            let reason = Chain(&error).to_string();
            if self.has_advanced {
                pauses = self.shared.config.backoff.start();
            }
            if error.retry() != Retry::Never {
                tracing::warn!(
                    partition = self.partition,
                    reason,
                    "the projector goes back to its checkpoint"
                );
                health.degraded(reason.clone());
                self.shared
                    .progress
                    .update(self.partition, |s| s.state = PartitionState::Retrying(reason.clone()));
                match pauses.wait_blocking(None, stop) {
                    AfterPause::Again => continue,
                    AfterPause::Stopped => return Ok(()),
                    AfterPause::Exhausted => {}
                }
            }
            health.failed(reason.clone());
            self.shared.progress.update(self.partition, |s| s.state = PartitionState::Stopped(reason));
            return Err(error);
        }
    }

    /// From the checkpoints on until told to stop, or until something fails.
    fn follow(&mut self, stop: &Stop, health: &ComponentHealth) -> Result<Ended, Error> {
        let mut reader = self.open_reader()?;
        self.set_state(PartitionState::CatchingUp);
        self.tell_health(health);
        let mut caught_up = false;
        let mut looked_after: Option<Instant> = None;
        while !stop.is_requested() {
            if self.serves_others() {
                return Ok(Ended::Reopen);
            }
            let (batch_events_max, timeout) =
                (self.shared.config.batch_events_max, self.shared.config.read_timeout_ms.duration());
            let records = reader.read(batch_events_max, timeout)?;
            // Without records, too, a reader moves on: behind the end of a transaction.
            let next_offsets = reader.next_offsets();
            if (!records.is_empty() || next_offsets != self.next_offsets)
                && self.apply(records, &next_offsets)?
            {
                self.tell_health(health);
            }
            self.next_offsets = next_offsets;
            if !caught_up && reader.caught_up() {
                caught_up = true;
                self.set_state(PartitionState::Live);
            }
            health.progress();
            if looked_after.is_none_or(|at| at.elapsed() >= self.shared.config.lag_interval_ms.duration()) {
                if self.carry_out_requests(health)? {
                    return Ok(Ended::Reopen);
                }
                self.measure_lag();
                looked_after = Some(Instant::now());
            }
        }
        Ok(Ended::Stopped)
    }

    /// Whether another generation serves than the one that is open.
    fn serves_others(&self) -> bool {
        let views = self.shared.views.borrow();
        self.tables.iter().any(|table| views.serving(table.table()) != table.table())
    }

    fn open_reader(&mut self) -> Result<Box<dyn LogReader>, Error> {
        let runtime = Handle::current();
        let log = &self.shared.log;
        let views = self.shared.views.borrow().clone();
        let mut first: BTreeMap<AggregateType, u64> = BTreeMap::new();
        self.tables.clear();
        for folder in self.shared.catalogue.folders(|table| views.serving(table).generation()) {
            let topic = |aggregate| log.topics().events(aggregate).clone();
            let opening =
                TableState::open(folder, &*self.shared.store, topic, self.partition, OnPoison::SetAside);
            let (table, stored) = runtime.block_on(opening)?;
            self.shared.progress.advance(&stored);
            for (aggregate, topic) in &table.topics {
                let next = topic.next_offset;
                first.entry(*aggregate).and_modify(|known| *known = next.min(*known)).or_insert(next);
            }
            self.tables.push(table);
        }
        let cursors = check_ends(&**log, self.partition, first)?;
        self.next_offsets.clone_from(&cursors);
        Ok(log.open_reader(&cursors)?)
    }

    /// Folds a batch into every table, and writes rows and checkpoints at once. Says whether dead letters came or went.
    fn apply(&mut self, records: Vec<Record>, next_offsets: &[Cursor]) -> Result<bool, Error> {
        let started = Instant::now();
        let Shared { log, store, config, progress, .. } = &self.shared;
        let items = decode(records, &**log);
        let runtime = Handle::current();
        let mut batch = ChangeBatch::default();
        for table in &mut self.tables {
            runtime.block_on(table.fold(&items, &**store, config, OnPoison::SetAside, &mut batch))?;
        }
        let folded_rows = batch.changes.len() as u64;
        for table in &mut self.tables {
            table.advance(next_offsets, &mut batch);
        }
        let letters = batch.changes.iter().any(|change| change.key.table == crate::dead_letter::DEAD_LETTERS);
        let checkpoints = batch.checkpoints.clone();
        runtime.block_on(store.apply(batch))?;
        progress.advance(&checkpoints);
        self.has_advanced = true;
        for table in &mut self.tables {
            table.folder.trim(config.cache_rows_max);
        }
        let recorded = items.iter().map(|item| item.record.timestamp).max();
        self.last_recorded_at = recorded.or(self.last_recorded_at);
        self.events += items.len() as u64;
        let labels = [("partition", self.label.as_str())];
        EVENTS.as_counter(&labels).increment(items.len() as u64);
        ROWS.as_counter(&labels).increment(folded_rows);
        BATCH_SECONDS.as_histogram(&labels).record(started.elapsed().as_secs_f64());
        Ok(letters)
    }

    /// Says in the process's health what waits in the dead letters.
    pub(super) fn tell_health(&self, health: &ComponentHealth) {
        let mut reasons = Vec::new();
        for table in &self.tables {
            for topic in table.topics.values() {
                let (keys, events, _) = topic.letters.counts();
                if keys > 0 {
                    reasons.push(format!(
                        "{}: {keys} keys of {} wait in the dead letters, with {events} events",
                        table.projection, topic.source
                    ));
                }
                if let Some(hold) = topic.letters.hold() {
                    reasons.push(format!(
                        "{} waits in front of {}@{}: {}",
                        table.projection, topic.source, hold.offset, hold.reason
                    ));
                }
            }
        }
        match &reasons[..] {
            [] => health.ready(),
            reasons => health.degraded(reasons.join("; ")),
        }
    }

    fn measure_lag(&mut self) {
        let mut ends: BTreeMap<AggregateType, u64> = BTreeMap::new();
        let topics = self.shared.log.topics();
        for cursor in &self.next_offsets {
            match self.shared.log.stable_end(&cursor.topic, self.partition) {
                Ok(end) => {
                    ends.extend(topics.aggregate_of(&cursor.topic).map(|aggregate| (aggregate, end)));
                }
                // The next read tells whether the log is gone; a missing measurement is no failure. Each of these may have
                // waited for as long as a request may take: asking for the rest would keep the projector from reading.
                Err(error) => {
                    tracing::debug!(topic = %cursor.topic, error = %Chain(&error), "the lag is not known");
                    return;
                }
            }
        }
        let age_seconds =
            self.last_recorded_at.map_or(0, |at| (now_millis() - at.as_millis()).max(0) as u64 / 1_000);
        let seconds = |events: u64| if events == 0 { 0 } else { age_seconds };
        let statuses: Vec<_> = self.tables.iter().map(|table| status_of(table, &ends, seconds)).collect();
        for status in &statuses {
            let labels = [("projection", status.projection.as_str()), ("partition", self.label.as_str())];
            LAG_EVENTS.as_gauge(&labels).set(status.lag_events as f64);
            LAG_SECONDS.as_gauge(&labels).set(status.lag_seconds as f64);
            DEAD_LETTER_KEYS.as_gauge(&labels).set(status.parked_keys as f64);
            DEAD_LETTERS_WAITING.as_gauge(&labels).set(status.waiting_events as f64);
            DEAD_LETTERS_SKIPPED.as_gauge(&labels).set(status.skipped_events as f64);
            HELD.as_gauge(&labels).set(status.holds.len() as f64);
        }
        let elapsed = self.measured_at.elapsed().max(Duration::from_millis(1));
        let rate = self.events as f64 / elapsed.as_secs_f64();
        (self.events, self.measured_at) = (0, Instant::now());
        let read: u64 = self
            .next_offsets
            .iter()
            .filter_map(|cursor| {
                let end = ends.get(&topics.aggregate_of(&cursor.topic)?)?;
                Some(end.saturating_sub(cursor.next_offset))
            })
            .sum();
        self.shared.progress.update(self.partition, |status| {
            status.lag_events = read;
            status.lag_seconds = seconds(read);
            status.events_per_s = rate;
            status.projections = statuses;
        });
    }

    fn set_state(&self, state: PartitionState) {
        tracing::info!(partition = self.partition, ?state, "projector");
        self.shared.progress.update(self.partition, |status| status.state = state);
    }
}

fn status_of(
    table: &TableState,
    ends: &BTreeMap<AggregateType, u64>,
    seconds: impl Fn(u64) -> u64,
) -> ProjectionStatus {
    let lag = |(aggregate, topic): (&AggregateType, &super::table::TopicState)| {
        ends.get(aggregate).map_or(0, |end| end.saturating_sub(topic.next_offset))
    };
    let lag_events = table.topics.iter().map(lag).sum();
    let mut status = ProjectionStatus {
        projection: table.projection.clone(),
        generation: table.table().generation(),
        lag_events,
        lag_seconds: seconds(lag_events),
        parked_keys: 0,
        waiting_events: 0,
        skipped_events: 0,
        holds: Vec::new(),
    };
    for topic in table.topics.values() {
        let (keys, events, skipped) = topic.letters.counts();
        status.parked_keys += keys as u64;
        status.waiting_events += events as u64;
        status.skipped_events += skipped as u64;
        status.holds.extend(topic.letters.hold().map(|hold| HoldStatus {
            position: schemas::Position {
                topic: topic.source.topic.clone(),
                partition: topic.source.partition,
                offset: hold.offset,
            },
            reason: hold.reason.clone(),
        }));
    }
    status
}

/// The cursors of a partition, unless the log ends before one of them.
pub(super) fn check_ends(
    log: &dyn Log,
    partition: u32,
    next_offsets: BTreeMap<AggregateType, u64>,
) -> Result<Vec<Cursor>, Error> {
    let mut cursors = Vec::new();
    for (aggregate, next_offset) in next_offsets {
        let topic = log.topics().events(aggregate).clone();
        if next_offset > log.stable_end(&topic, partition)? {
            return Err(Error::AheadOfLog {
                partition: read_store::Source { topic, partition },
                next_offset,
            });
        }
        cursors.push(Cursor { topic, partition, next_offset });
    }
    Ok(cursors)
}

/// What the records say; those of topics that are no aggregate's are left out.
pub(super) fn decode(records: Vec<Record>, log: &dyn Log) -> Vec<Item> {
    let topics = log.topics();
    let item = |record: Record| {
        let aggregate = topics.aggregate_of(&record.position.topic)?;
        Some(Item { aggregate, event: event_log::decode_event(&record), record })
    };
    records.into_iter().filter_map(item).collect()
}

fn now_millis() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
