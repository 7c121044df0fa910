//! Timers: a thread folds the open matters, a task looks at those that are due.

use std::sync::Arc;
use std::time::Duration;

use event_log::{Cursor, Log};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use schemas::order::CancelReason;
use schemas::shipment::ShipmentEvent;
use schemas::{CommandEnvelope, Event, ExpectedVersion, Outcome, Principal, RecordedEvent, Retry, Timestamp};
use service_kit::Stop;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::effect::tracking_step;
use crate::effects::{Begin, Effects, Stopped};
use crate::handler::Handler;
use crate::matter_table::{Matter, MatterTable};
use crate::matters::{self, MatterKey, MatterKind, next_look};
use crate::progress::{Progress, Standing};
use crate::returns::{is_too_early, line_returned, refund};
use crate::{
    Action, Checkout, Clock, Effect, EffectResult, Error, ProcessManager, Step, TimerLimits, Tracking,
    TrackingRequest, checkout, metrics,
};

/// Longest wait of one read of the fold.
const READ_WAIT: Duration = Duration::from_millis(100);
/// Wait after a read that failed.
const READ_BACKOFF: Duration = Duration::from_secs(1);

pub(crate) struct Timers {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) table: Arc<MatterTable>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) handler: Arc<Handler>,
    pub(crate) effects: Arc<Effects>,
    pub(crate) checkout: Arc<Checkout>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: TimerLimits,
    /// Whether the fold has come to what was in the log when it began: before, it knows of matters long closed.
    pub(crate) is_current: watch::Sender<bool>,
}

/// When a matter that cannot be acted on now is looked at again.
enum Later {
    At(Timestamp),
    OnceAssigned,
}

impl Timers {
    /// The thread: folds events into the table until the end.
    pub(crate) fn fold(&self, stop: &Stop) -> Result<(), Error> {
        let runtime = Handle::current();
        let topics: Vec<_> =
            matters::AGGREGATES.iter().map(|a| self.log.topics().events(*a).clone()).collect();
        let mut cursors = runtime.block_on(self.table.cursors(&topics, self.log.partitions()))?;
        let mut reader = self.log.open_reader(&cursors)?;
        while !stop.is_requested() {
            let records = match reader.read(self.limits.read_events_max, READ_WAIT) {
                Ok(records) => records,
                Err(event_log::Error::Closed) if stop.is_requested() => break,
                Err(error) if error.retry() == Retry::Never => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "events for the timers cannot be read at the moment");
                    let _ = stop.wait_timeout(READ_BACKOFF);
                    continue;
                }
            };
            if !records.is_empty() {
                let events: Vec<_> = records.iter().filter_map(readable).collect();
                let moved: Vec<Cursor> =
                    reader.next_offsets().into_iter().filter(|cursor| !cursors.contains(cursor)).collect();
                runtime.block_on(self.table.fold(&events, &moved))?;
                cursors = reader.next_offsets();
            }
            ::metrics::gauge!(metrics::MATTERS_OPEN).set(self.table.len() as f64);
            if reader.caught_up() {
                self.is_current.send_if_modified(|is_current| !std::mem::replace(is_current, true));
            }
        }
        runtime.block_on(self.table.flush())
    }

    /// The task: looks at what is due, until the end.
    pub(crate) async fn look(&self, stop: &Stop) -> Result<(), Error> {
        let mut is_current = self.is_current.subscribe();
        tokio::select! {
            // The sender lives in `self`, so the channel cannot close while this borrows it.
            _ = is_current.wait_for(|is_current| *is_current) => {}
            () = stop.requested() => return Ok(()),
        }
        let mut assignments = self.progress.assignments();
        let mut running = FuturesUnordered::new();
        loop {
            // Looking and setting aside happen without a pause in between, within this task: an assignment in the
            // midst of them is seen here.
            if assignments.has_changed().unwrap_or(false) {
                assignments.mark_unchanged();
                self.table.take_up_again(self.clock.now());
            }
            while running.len() < self.limits.in_flight_max
                && let Some((key, looks)) = self.table.take_due(self.clock.now())
            {
                running.push(self.look_at(key, looks));
            }
            let next_at = self.table.next_at().filter(|_| running.len() < self.limits.in_flight_max);
            let due = async {
                match next_at {
                    Some(at) => self.clock.wait_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                Some(result) = running.next(), if !running.is_empty() => result?,
                () = due => {}
                () = self.table.changed() => {}
                // The sender lives in `self.progress`, so the channel cannot close while this borrows it.
                _ = assignments.changed() => self.table.take_up_again(self.clock.now()),
            }
        }
    }

    /// Looks at one matter; it goes back into the agenda unless it is settled.
    async fn look_at(&self, key: MatterKey, looks: u32) -> Result<(), Error> {
        let Some(matter) = self.table.get(&key).await? else {
            self.table.forget(&key);
            return Ok(());
        };
        let now = self.clock.now();
        let recorded_at = matter.event.metadata.recorded_at;
        match self.may_act(&matter, now) {
            Err(Later::At(next_at)) => self.table.put_back(&key, next_at, false),
            Err(Later::OnceAssigned) => self.table.set_aside(&key),
            Ok(()) => {
                ::metrics::counter!(metrics::MATTERS_LOOKED_AT, "kind" => matter.kind.name()).increment(1);
                match self.act(&matter, looks).await {
                    Ok(true) => self.table.settle(&key, &matter).await?,
                    // What was stopped in between is looked at after the next start.
                    Ok(false) | Err(Stopped) => {
                        self.table.put_back(
                            &key,
                            next_look(recorded_at, self.clock.now(), &self.limits),
                            true,
                        );
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether it is time to act; if not, when to look again.
    ///
    /// Nothing is done about events that this process has not dealt with: a backlog is not a reason to cancel orders,
    /// and what is being asked for need not be asked for twice. A deadline also runs out for an order whose event is
    /// being worked on for as long as the deadline allows: it is stuck.
    fn may_act(&self, matter: &Matter, now: Timestamp) -> Result<(), Later> {
        let soon = now.plus_millis(i64::try_from(self.limits.look_again_min_ms).unwrap_or(i64::MAX).max(1));
        match self.progress.standing(&matter.event.position, now) {
            Standing::Done => Ok(()),
            Standing::Working(since) if matter.kind.is_deadline() => {
                let due_at = since.plus_millis(matter.kind.first_look_ms(&self.limits));
                if due_at <= now { Ok(()) } else { Err(Later::At(due_at)) }
            }
            Standing::Working(_) | Standing::Waiting => Err(Later::At(soon)),
            // Perhaps only because this process has just started: its partitions come to it after a while.
            Standing::Elsewhere => Err(Later::OnceAssigned),
        }
    }

    /// Acts; returns whether the matter is settled without an event that says so.
    async fn act(&self, matter: &Matter, looks: u32) -> Result<bool, Stopped> {
        let event = &matter.event;
        match matter.kind {
            MatterKind::Reservation => {
                let detail =
                    format!("the stock was not held within {} ms", self.limits.reservation_timeout_ms);
                self.expire(event, CancelReason::ReservationExpired, &detail).await.map(|()| false)
            }
            MatterKind::Payment => {
                let detail =
                    format!("the payment was not authorised within {} ms", self.limits.payment_timeout_ms);
                self.expire(event, CancelReason::PaymentExpired, &detail).await.map(|()| false)
            }
            MatterKind::Result => {
                self.handler.handle(&*self.checkout, event, Begin::Asking).await.map(|_| false)
            }
            MatterKind::Tracking => self.track(event).await.map(|()| false),
            MatterKind::Refund => self.refund(event, looks).await,
        }
    }

    /// Cancels an order whose time is over, unless it has moved on: the command is for the version that the deadline
    /// was set at.
    async fn expire(&self, event: &RecordedEvent, reason: CancelReason, detail: &str) -> Result<(), Stopped> {
        let Some(order_id) = self.checkout.key(event) else { return Ok(()) };
        let step = checkout::cancel("expire", &order_id, reason, detail);
        let expected = ExpectedVersion::Exactly(event.metadata.version);
        if let Outcome::Accepted(_) = self.submit(event, step, expected).await? {
            tracing::info!(%order_id, ?reason, "an order's time is over");
        }
        Ok(())
    }

    async fn track(&self, event: &RecordedEvent) -> Result<(), Stopped> {
        let Event::Shipment(ShipmentEvent::Dispatched(dispatched)) = &event.event else { return Ok(()) };
        let request = TrackingRequest {
            shipment_id: dispatched.shipment_id.clone(),
            carrier: dispatched.carrier.clone(),
            tracking_number: dispatched.tracking_number.clone(),
            dispatched_at: event.metadata.recorded_at,
        };
        let result = self.effects.perform(&Effect::Track(request), Begin::Sending).await?;
        let EffectResult::Tracking(tracking) = result else { return Ok(()) };
        let Some(step) = tracking_step(&dispatched.shipment_id, &tracking) else { return Ok(()) };
        if let Outcome::Rejected(rejection) = self.submit(event, step, ExpectedVersion::Any).await? {
            // The shipment has reached another end meanwhile, or the carrier contradicts itself.
            let is_delivered = matches!(tracking, Tracking::Delivered { .. });
            tracing::warn!(shipment_id = %dispatched.shipment_id, is_delivered, %rejection, "the carrier's word was refused");
        }
        Ok(())
    }

    /// Asks for the refund again; returns whether it was granted, or refused for good.
    async fn refund(&self, event: &RecordedEvent, looks: u32) -> Result<bool, Stopped> {
        // The first one was asked for when the event was dealt with.
        let attempt = looks.saturating_add(2);
        let Some(step) = line_returned(event).and_then(|returned| refund(returned, attempt)) else {
            return Ok(true);
        };
        match self.submit(event, step, ExpectedVersion::Any).await? {
            Outcome::Rejected(rejection) if is_too_early(&rejection) => Ok(false),
            Outcome::Rejected(rejection) => {
                ::metrics::counter!(metrics::ALARMS, "process_manager" => "returns").increment(1);
                tracing::error!(event_id = %event.metadata.event_id(), %rejection, "a refund was refused");
                Ok(true)
            }
            Outcome::Accepted(_) | Outcome::Unchanged { .. } => Ok(true),
        }
    }

    async fn submit(
        &self,
        event: &RecordedEvent,
        step: Step,
        expected: ExpectedVersion,
    ) -> Result<Outcome, Stopped> {
        let Action::Command(command) = step.action else { return Err(Stopped) };
        let principal = Principal::process("timers");
        let mut envelope = CommandEnvelope::following(event, &step.name, principal, *command);
        envelope.expected_version = expected;
        self.handler.submit(envelope).await
    }
}

/// One that cannot be read opens and closes nothing; the runner says so and waits for it.
fn readable(record: &event_log::Record) -> Option<RecordedEvent> {
    event_log::decode_event(record)
        .inspect_err(
            |error| tracing::warn!(position = %record.position, %error, "an event is not seen by the timers"),
        )
        .ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use command_client::{Answer, Commands, SubmitError};
    use event_log::{EmbeddedConfig, EmbeddedLog};
    use read_store::{FjallConfig, FjallStore};
    use schemas::order::OrderReserved;
    use schemas::{
        CommandHash, CommandId, CorrelationId, Currency, EventMetadata, Money, OrderId, Position, StreamId,
        Version,
    };

    use super::*;
    use crate::{ManualClock, ProcessManagersConfig, SandboxCarrier, SandboxConfig, SandboxProvider};

    #[derive(Default)]
    struct Seen(Mutex<Vec<CommandEnvelope>>);

    #[async_trait]
    impl Commands for Seen {
        async fn submit(&self, envelope: CommandEnvelope) -> Result<Answer, SubmitError> {
            let command_id = envelope.command_id;
            self.0.lock().unwrap().push(envelope);
            let outcome = Outcome::Unchanged { version: Version::FIRST };
            Ok(Answer { command_id, outcome, replayed: false })
        }
    }

    fn reserved(topic: &Arc<str>) -> RecordedEvent {
        let order_id = OrderId::new("1001").unwrap();
        RecordedEvent {
            position: Position { topic: topic.clone(), partition: 0, offset: 3 },
            metadata: EventMetadata {
                stream: StreamId::from(&order_id),
                version: Version::new(2),
                occurred_at: Timestamp::from_millis(0),
                recorded_at: Timestamp::from_millis(0),
                command_id: CommandId::new(uuid::Uuid::from_u128(1)),
                command_hash: CommandHash::from_bytes([0; 16]),
                correlation_id: CorrelationId::new(uuid::Uuid::from_u128(1)),
                causation_id: None,
                principal: Principal::anonymous(),
                writer_term: 1,
                traceparent: None,
            },
            event: OrderReserved {
                order_id,
                customer_id: None,
                total: Money::new(100, Currency::GBP),
                payment_method: "sandbox".to_owned(),
            }
            .into(),
        }
    }

    #[tokio::test]
    async fn a_matter_that_is_overdue_before_the_partitions_come_is_acted_on_once_they_have() {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(EmbeddedConfig {
            path: folder.path().join("log"),
            ..EmbeddedConfig::default()
        });
        let log: Arc<dyn Log> = Arc::new(log.unwrap());
        let store = FjallConfig { path: folder.path().join("matters"), ..FjallConfig::default() };
        let store = Arc::new(FjallStore::open(store).unwrap());
        let (config, stop, seen) = (ProcessManagersConfig::default(), Stop::new(), Arc::new(Seen::default()));
        let effects = || Effects {
            payments: Arc::new(SandboxProvider::new(SandboxConfig::default())),
            carrier: Arc::new(SandboxCarrier::new()),
            limits: config.effects,
            stop: stop.clone(),
        };
        let limits = config.timers;
        // Long overdue: what is looked at again by its age alone would have to wait for the longest interval.
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(30 * 86_400_000)));
        let topic = log.topics().events(schemas::AggregateType::Order).clone();
        let timers = Timers {
            table: Arc::new(MatterTable::open(store, limits).await.unwrap()),
            progress: Arc::new(Progress::default()),
            handler: Arc::new(Handler::new(seen.clone(), effects(), config.clone(), stop.clone())),
            effects: Arc::new(effects()),
            checkout: Arc::new(Checkout::new("sandbox")),
            clock: clock.clone(),
            limits,
            is_current: watch::Sender::new(true),
            log,
        };
        let event = reserved(&topic);
        timers.table.fold(std::slice::from_ref(&event), &[]).await.unwrap();
        let drive = async {
            while timers.table.aside() == 0 {
                tokio::task::yield_now().await;
            }
            assert!(seen.0.lock().unwrap().is_empty(), "it may be another process's business");
            timers.progress.assign([(topic.clone(), 0)], clock.now());
            timers.progress.read(&event.position, true);
            timers.progress.finish(&event.position);
            while seen.0.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            stop.request();
        };
        let both = async { tokio::join!(timers.look(&stop), drive) };
        let (looked, ()) =
            tokio::time::timeout(Duration::from_secs(20), both).await.expect("the order is cancelled");
        looked.unwrap();
        assert_eq!(timers.table.aside(), 0);
        let expected = ExpectedVersion::Exactly(Version::new(2));
        assert!(seen.0.lock().unwrap().iter().all(|envelope| envelope.expected_version == expected));
    }
}
