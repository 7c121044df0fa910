//! Runs the process managers: a thread reads and notes progress, a task deals with the events.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_log::{Log, Record, Subscription};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use schemas::{AggregateType, OrderId, RecordedEvent, Retry};
use service_kit::Stop;
use tokio::sync::mpsc;

use crate::effects::Begin;
use crate::handler::Handler;
use crate::lanes::Lanes;
use crate::progress::Progress;
use crate::{Clock, Error, ProcessManager, ProcessManagersConfig, metrics};

/// While nothing can be taken on, one more event is read at this interval: a member of a group that does not read is
/// thrown out of it (after five minutes on Kafka).
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Wait after a read that failed.
const READ_BACKOFF: Duration = Duration::from_secs(1);

/// An event on its way from the thread to the task.
pub(crate) struct Taken {
    manager: usize,
    key: OrderId,
    event: RecordedEvent,
}

/// What the thread and the task share.
pub(crate) struct Runner {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) managers: Arc<[Arc<dyn ProcessManager>]>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: ProcessManagersConfig,
}

impl Runner {
    /// The channel between the two. The thread never reads more than fits: it keeps to `events_waiting_max`, and
    /// reads one event more at a time to stay in its group.
    pub(crate) fn channel(&self) -> (mpsc::Sender<Taken>, mpsc::Receiver<Taken>) {
        mpsc::channel(self.config.events_waiting_max)
    }

    /// The thread: reads, hands on, notes progress; ends once the task has.
    pub(crate) fn read(&self, taken: mpsc::Sender<Taken>, stop: &Stop) -> Result<(), Error> {
        let group = format!("{}.process-managers", self.log.topics().namespace());
        let wanted: HashSet<AggregateType> =
            self.managers.iter().flat_map(|manager| manager.aggregates()).copied().collect();
        let topics: Vec<_> = AggregateType::ALL
            .into_iter()
            .filter(|aggregate| wanted.contains(aggregate))
            .map(|aggregate| self.log.topics().events(aggregate).clone())
            .collect();
        let mut subscription = self.log.subscribe(&group, &topics)?;
        let mut reading = Reading { runner: self, taken, parked: HashSet::new() };
        let (mut committed_at, mut read_at) = (Instant::now(), Instant::now());
        let interval = Duration::from_millis(self.config.commit_interval_ms);
        while !stop.is_requested() {
            let outstanding = self.progress.outstanding();
            ::metrics::gauge!(metrics::EVENTS_WAITING).set(outstanding as f64);
            let room =
                self.config.events_waiting_max.saturating_sub(outstanding).min(self.config.read_events_max);
            if room > 0 || read_at.elapsed() >= KEEP_ALIVE {
                read_at = Instant::now();
                reading.read_once(&mut *subscription, room.max(1), stop)?;
            } else {
                self.progress.wait_below(self.config.events_waiting_max, interval);
            }
            if committed_at.elapsed() >= interval {
                committed_at = Instant::now();
                self.commit(&mut *subscription)?;
            }
        }
        // The task hears of the end by itself; it closes the channel once it has finished what runs.
        let drained = Instant::now() + Duration::from_millis(self.config.drain_ms_max);
        while !reading.taken.is_closed() && Instant::now() < drained {
            self.progress.wait_below(1, Duration::from_millis(20));
        }
        self.commit(&mut *subscription)
    }

    fn commit(&self, subscription: &mut dyn Subscription) -> Result<(), Error> {
        let cursors = self.progress.uncommitted();
        if cursors.is_empty() {
            return Ok(());
        }
        match subscription.commit(&cursors) {
            Ok(()) => self.progress.committed(&cursors),
            // The log closes before its readers at the end; what was not noted comes again.
            Err(event_log::Error::Closed) => {}
            // Partitions that have moved away are no business of ours; the next read says so.
            Err(error) => tracing::warn!(%error, "progress could not be noted"),
        }
        Ok(())
    }

    /// The task: deals with the events of one key one after the other, with different keys at the same time. At the
    /// end it finishes what runs, up to the limit, and leaves the rest for the next start.
    pub(crate) async fn deal(&self, handler: &Handler, mut taken: mpsc::Receiver<Taken>, stop: Stop) {
        let mut lanes: Lanes<(usize, OrderId), RecordedEvent> = Lanes::new(self.config.in_flight_max);
        let mut running = FuturesUnordered::new();
        loop {
            while let Some((key, event)) = lanes.start() {
                self.progress.begin(&event.position, self.clock.now());
                running.push(self.deal_with(handler, key, event));
            }
            tokio::select! {
                biased;
                () = stop.requested() => break,
                Some(key) = running.next(), if !running.is_empty() => lanes.finish(key),
                next = taken.recv() => match next {
                    Some(Taken { manager, key, event }) => lanes.push((manager, key), event),
                    None => break,
                },
            }
        }
        let finishing = async { while running.next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_millis(self.config.drain_ms_max), finishing).await.is_err() {
            tracing::warn!("events that were being dealt with are left for the next start");
        }
        taken.close();
    }

    async fn deal_with(
        &self,
        handler: &Handler,
        key: (usize, OrderId),
        event: RecordedEvent,
    ) -> (usize, OrderId) {
        let manager = &self.managers[key.0];
        // One that was stopped in between stays open and comes again.
        if handler.handle(&**manager, &event, Begin::Sending).await.is_ok() {
            self.progress.finish(&event.position);
        }
        key
    }
}

/// The thread's own state.
struct Reading<'a> {
    runner: &'a Runner,
    taken: mpsc::Sender<Taken>,
    /// Streams with an event that cannot be read. It stays open, and with it everything behind it in its stream: it
    /// comes again at the next start, which may be of a program that can read it. Bounded by `events_waiting_max`.
    parked: HashSet<(Arc<str>, Bytes)>,
}

impl Reading<'_> {
    fn read_once(
        &mut self,
        subscription: &mut dyn Subscription,
        events_max: usize,
        stop: &Stop,
    ) -> Result<(), Error> {
        let timeout = Duration::from_millis(self.runner.config.read_wait_ms_max);
        let batch = match subscription.read(events_max, timeout) {
            Ok(batch) => batch,
            Err(event_log::Error::Closed) if stop.is_requested() => return Ok(()),
            Err(error) if error.retry() == Retry::Never => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "events cannot be read at the moment");
                let _ = stop.wait_timeout(READ_BACKOFF);
                return Ok(());
            }
        };
        self.runner.progress.revoke(batch.revoked);
        self.runner.progress.assign(batch.assigned, self.runner.clock.now());
        for record in batch.records {
            self.take(record);
        }
        Ok(())
    }

    fn take(&mut self, record: Record) {
        if event_log::is_foreign(&record) {
            tracing::error!(position = %record.position, "a record of another producer is passed over: it says no writer term");
            self.runner.progress.read(&record.position, false);
            return;
        }
        let stream = (record.position.topic.clone(), record.key.clone());
        let event = if self.parked.contains(&stream) {
            None
        } else {
            event_log::decode_event(&record)
                .inspect_err(|error| {
                    let position = record.position.to_string();
                    tracing::error!(position, %error, "an event cannot be read; its stream waits");
                })
                .ok()
        };
        let Some(event) = event else {
            self.parked.insert(stream);
            ::metrics::gauge!(metrics::EVENTS_PARKED).increment(1);
            self.runner.progress.read(&record.position, true);
            return;
        };
        // An event concerns one process manager at most: see the test beside this.
        let concerned =
            self.runner.managers.iter().enumerate().find_map(|(i, manager)| Some((i, manager.key(&event)?)));
        self.runner.progress.read(&event.position, concerned.is_some());
        if let Some((manager, key)) = concerned {
            // There is room, see `Runner::channel`; the channel is closed only at the end.
            if let Err(error) = self.taken.blocking_send(Taken { manager, key, event }) {
                tracing::debug!(position = %error.0.event.position, "left for the next start");
            }
        }
    }
}
