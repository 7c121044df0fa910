//! One partition's projector: reads partition k of every topic and folds it into all tables.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use event_log::{Cursor, Log, LogReader, Record, Topics};
use read_store::{ChangeBatch, Checkpoint, ReadStore, Source};
use schemas::{AggregateType, RecordedEvent, Retry, Timestamp};
use service_kit::{AfterPause, Chain, ComponentHealth, Stop};
use tokio::runtime::Handle;

use crate::folder::Folder;
use crate::metrics::{BATCH_SECONDS, EVENTS, FAILURES, LAG_EVENTS, LAG_SECONDS, ROWS};
use crate::{Catalogue, Error, PartitionState, Progress, ProjectorConfig};

pub(super) struct PartitionProjector {
    partition: u32,
    label: String,
    log: Arc<dyn Log>,
    store: Arc<dyn ReadStore>,
    config: ProjectorConfig,
    progress: Progress,
    tables: Vec<TableState>,
    /// When the last applied event was recorded.
    last_recorded_at: Option<Timestamp>,
    /// Next offset by topic, as last read.
    next_offsets: Vec<Cursor>,
    /// Whether a batch was applied since the reader was opened.
    has_advanced: bool,
}

/// A table and where it goes on in each of its topics.
struct TableState {
    folder: Box<dyn Folder>,
    next_offsets: BTreeMap<AggregateType, u64>,
}

impl PartitionProjector {
    pub(super) fn new(
        partition: u32,
        log: Arc<dyn Log>,
        store: Arc<dyn ReadStore>,
        catalogue: &Catalogue,
        config: ProjectorConfig,
        progress: Progress,
    ) -> Self {
        let tables = catalogue
            .folders()
            .into_iter()
            .map(|folder| TableState { folder, next_offsets: BTreeMap::new() })
            .collect();
        Self {
            partition,
            label: partition.to_string(),
            log,
            store,
            config,
            progress,
            tables,
            last_recorded_at: None,
            next_offsets: Vec::new(),
            has_advanced: false,
        }
    }

    /// Follows the log until told to stop.
    pub(super) fn run(&mut self, stop: &Stop, health: &ComponentHealth) -> Result<(), Error> {
        let mut pauses = self.config.backoff.start();
        loop {
            self.has_advanced = false;
            let Err(error) = self.follow(stop, health) else { return Ok(()) };
            if stop.is_requested() {
                // The log may be closed before the last read returns.
                tracing::debug!(partition = self.partition, error = %Chain(&error), "failed while stopping");
                return Ok(());
            }
            FAILURES.as_counter(&[("partition", &self.label)]).increment(1);
            let reason = Chain(&error).to_string();
            if self.has_advanced {
                pauses = self.config.backoff.start();
            }
            if error.retry() != Retry::Never {
                tracing::warn!(
                    partition = self.partition,
                    reason,
                    "the projector goes back to its checkpoint"
                );
                health.degraded(reason.clone());
                self.progress.update(self.partition, |s| s.state = PartitionState::Retrying(reason.clone()));
                match pauses.wait_blocking(None, stop) {
                    AfterPause::Again => continue,
                    AfterPause::Stopped => return Ok(()),
                    AfterPause::Exhausted => {}
                }
            }
            health.failed(reason.clone());
            self.progress.update(self.partition, |s| s.state = PartitionState::Stopped(reason));
            return Err(error);
        }
    }

    /// From the checkpoints on until told to stop, or until something fails.
    fn follow(&mut self, stop: &Stop, health: &ComponentHealth) -> Result<(), Error> {
        let mut reader = self.open_reader()?;
        self.set_state(PartitionState::CatchingUp);
        health.ready();
        let mut caught_up = false;
        let mut lag_measured: Option<Instant> = None;
        while !stop.is_requested() {
            let records =
                reader.read(self.config.batch_events_max, self.config.read_timeout_ms.duration())?;
            if !records.is_empty() {
                self.apply(&records, &reader.next_offsets())?;
            }
            self.next_offsets = reader.next_offsets();
            if !caught_up && reader.caught_up() {
                caught_up = true;
                self.set_state(PartitionState::Live);
            }
            health.progress();
            if lag_measured.is_none_or(|at| at.elapsed() >= self.config.lag_interval_ms.duration()) {
                self.measure_lag();
                lag_measured = Some(Instant::now());
            }
        }
        Ok(())
    }

    fn open_reader(&mut self) -> Result<Box<dyn LogReader>, Error> {
        let runtime = Handle::current();
        let topics = self.log.topics().clone();
        let mut first: BTreeMap<AggregateType, u64> = BTreeMap::new();
        for table in &mut self.tables {
            table.folder.forget();
            let stored = runtime.block_on(self.store.checkpoints(table.folder.table()))?;
            self.progress.advance(&stored);
            for aggregate in table.folder.topics() {
                let topic = topics.events(*aggregate);
                let mine = |c: &&Checkpoint| c.source.partition == self.partition && c.source.topic == *topic;
                let next = stored.iter().find(mine).map_or(0, |c| c.next_offset);
                table.next_offsets.insert(*aggregate, next);
                first.entry(*aggregate).and_modify(|known| *known = next.min(*known)).or_insert(next);
            }
        }
        let mut cursors = Vec::new();
        for (aggregate, next_offset) in first {
            let topic = topics.events(aggregate).clone();
            if next_offset > self.log.stable_end(&topic, self.partition)? {
                let partition = Source { topic, partition: self.partition };
                return Err(Error::AheadOfLog { partition, next_offset });
            }
            cursors.push(Cursor { topic, partition: self.partition, next_offset });
        }
        self.next_offsets.clone_from(&cursors);
        Ok(self.log.open_reader(&cursors)?)
    }

    /// Folds a batch into every table, and writes rows and checkpoints at once.
    fn apply(&mut self, records: &[Record], next_offsets: &[Cursor]) -> Result<(), Error> {
        let started = Instant::now();
        let events = records.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        let runtime = Handle::current();
        let mut batch = ChangeBatch::default();
        for table in &mut self.tables {
            runtime.block_on(table.fold(&events, &*self.store, &mut batch))?;
        }
        for table in &mut self.tables {
            table.advance(next_offsets, self.log.topics(), &mut batch.checkpoints);
        }
        let (rows, checkpoints) = (batch.changes.len() as u64, batch.checkpoints.clone());
        runtime.block_on(self.store.apply(batch))?;
        self.progress.advance(&checkpoints);
        self.has_advanced = true;
        for table in &mut self.tables {
            table.folder.trim(self.config.cache_rows_max);
        }
        self.last_recorded_at =
            events.iter().map(|event| event.metadata.recorded_at).max().or(self.last_recorded_at);
        let labels = [("partition", self.label.as_str())];
        EVENTS.as_counter(&labels).increment(events.len() as u64);
        ROWS.as_counter(&labels).increment(rows);
        BATCH_SECONDS.as_histogram(&labels).record(started.elapsed().as_secs_f64());
        Ok(())
    }

    fn measure_lag(&self) {
        let mut lag: BTreeMap<&str, u64> = BTreeMap::new();
        for cursor in &self.next_offsets {
            match self.log.stable_end(&cursor.topic, self.partition) {
                Ok(end) => {
                    lag.insert(&cursor.topic, end.saturating_sub(cursor.next_offset));
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
        for table in &self.tables {
            let topics = table.folder.topics().iter().map(|a| &**self.log.topics().events(*a));
            let events: u64 = topics.filter_map(|topic| lag.get(topic)).sum();
            let name = table.folder.table().to_string();
            let labels = [("projection", name.as_str()), ("partition", self.label.as_str())];
            LAG_EVENTS.as_gauge(&labels).set(events as f64);
            LAG_SECONDS.as_gauge(&labels).set(seconds(events) as f64);
        }
        let events = lag.values().sum();
        self.progress.update(self.partition, |status| {
            status.lag_events = events;
            status.lag_seconds = seconds(events);
        });
    }

    fn set_state(&self, state: PartitionState) {
        tracing::info!(partition = self.partition, ?state, "projector");
        self.progress.update(self.partition, |status| status.state = state);
    }
}

impl TableState {
    /// Folds the events that are new to this table; adds the changed rows to the batch.
    async fn fold(
        &mut self,
        events: &[RecordedEvent],
        store: &dyn ReadStore,
        batch: &mut ChangeBatch,
    ) -> Result<(), Error> {
        let is_new = |event: &RecordedEvent| {
            let next = self.next_offsets.get(&event.event.aggregate_type());
            next.is_some_and(|next| event.position.offset >= *next)
        };
        let mine: Vec<_> = events.iter().enumerate().filter(|(_, event)| is_new(event)).collect();
        let mut missing = Vec::new();
        self.folder.collect(&mine, &mut missing);
        if !missing.is_empty() {
            let rows = store.get_many(&missing).await?;
            self.folder.load(rows)?;
        }
        self.folder.fold(events)?;
        self.folder.changes(&mut batch.changes)
    }

    /// Adds the checkpoints that move.
    fn advance(&mut self, cursors: &[Cursor], topics: &Topics, checkpoints: &mut Vec<Checkpoint>) {
        for (aggregate, next_offset) in &mut self.next_offsets {
            let topic = topics.events(*aggregate);
            let Some(cursor) = cursors.iter().find(|cursor| cursor.topic == *topic) else { continue };
            if cursor.next_offset > *next_offset {
                *next_offset = cursor.next_offset;
                checkpoints.push(Checkpoint {
                    table: self.folder.table(),
                    source: Source { topic: topic.clone(), partition: cursor.partition },
                    next_offset: cursor.next_offset,
                });
            }
        }
    }
}

fn decode(record: &Record) -> Result<RecordedEvent, Error> {
    event_log::decode_event(record)
        .map_err(|source| Error::Undecodable { position: record.position.clone(), source: Box::new(source) })
}

fn now_millis() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
