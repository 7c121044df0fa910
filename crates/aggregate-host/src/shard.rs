//! The thread of one shard: open, catch up, then turn after turn until the shard goes away.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use event_log::{
    Ack, AppendError, Cursor, Log, Membership, Shard, ShardWriter, decode_event, decode_outcome,
};
use schemas::{Accepted, Outcome, Timestamp, Version};
use service_kit::Tasks;

use crate::dedupe::{Dedupe, Remembered};
use crate::handle::Inner;
use crate::state_store::{Checkpoint, StateStore};
use crate::states::States;
use crate::turn::{Turn, TurnContext, answer};
use crate::work::{Control, Work};
use crate::{HostConfig, HostError, StartError};

/// How long one wait of the shard's thread is at most.
const IDLE: Duration = Duration::from_millis(100);
/// Records read at once while catching up.
const CATCH_UP_RECORDS: usize = 5_000;

/// What a shard's thread needs from its host.
pub(crate) struct ShardContext {
    pub(crate) shard: Shard,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) membership: Arc<dyn Membership>,
    pub(crate) config: HostConfig,
    pub(crate) state_folder: PathBuf,
    pub(crate) inner: Arc<Inner>,
    pub(crate) tasks: Tasks,
}

/// Runs a shard from its assignment to its end. The acknowledgement is sent once the shard serves.
pub(crate) fn run(
    context: ShardContext,
    control: &Receiver<Control>,
    assigned: Ack,
) -> Result<(), StartError> {
    let shard = context.shard;
    let mut worker = ShardWorker::new(context)?;
    let ended = worker.open_until(control, assigned).and_then(|open| match open {
        Opened::Serving(queue) => worker.serve(&queue, control),
        Opened::Ended(ack) => Ok(ack),
    });
    worker.unpublish();
    // After an error memory may be ahead of the log: only what is durable may be checkpointed.
    let last = if ended.is_ok() { worker.checkpoint_now() } else { Ok(()) };
    // Dropping the writer closes it; only then may the next owner go on.
    drop(worker);
    match ended {
        Ok(ack) => drop(ack),
        Err(StartError::Stopped) => {}
        Err(error) => return Err(error),
    }
    if let Err(error) = last {
        // The store is disposable: the next owner refolds from the checkpoint before.
        tracing::warn!(%shard, %error, "the last checkpoint of the state store was not written");
    }
    Ok(())
}

/// A checkpoint that was tried, and what came of it.
type Flushed = (Checkpoint, Result<(), StartError>);

enum Opened {
    Serving(Receiver<Work>),
    Ended(Option<Ack>),
}

struct ShardWorker {
    context: ShardContext,
    store: StateStore,
    states: States,
    dedupe: Dedupe,
    cursors: Vec<Cursor>,
    writer: Option<Box<dyn ShardWriter>>,
    /// Checkpoints go to a thread of their own; one is written at a time.
    flusher: Option<Sender<Checkpoint>>,
    flushed: Receiver<Flushed>,
    flushing: bool,
    last_checkpoint: Instant,
    /// Recording times never go back within a shard, even when the clock does.
    last_now: Timestamp,
}

impl ShardWorker {
    fn new(context: ShardContext) -> Result<Self, StartError> {
        let topics = context.log.topics().clone();
        let store = StateStore::open(&context.state_folder, context.shard, &topics, &context.config)?;
        let (_, flushed) = bounded(0);
        let states = States::new(context.config.state_cache_entries_max);
        let mut worker = Self {
            context,
            store,
            states,
            dedupe: Dedupe::default(),
            cursors: Vec::new(),
            writer: None,
            flusher: None,
            flushed,
            flushing: false,
            last_checkpoint: Instant::now(),
            last_now: Timestamp::default(),
        };
        worker.start_flusher();
        Ok(worker)
    }

    fn start_flusher(&mut self) {
        let (checkpoints, to_write) = bounded::<Checkpoint>(1);
        // One checkpoint is under way at a time, so one answer fits always.
        let (written, flushed) = bounded(1);
        let (store, config) = (self.store.clone(), self.context.config.clone());
        let name = format!("checkpoint-{}", self.context.shard);
        self.context.tasks.spawn_thread(name, service_kit::OnError::Log, move |_| {
            for checkpoint in to_write {
                let result = store.write(&checkpoint, &config);
                if written.send((checkpoint, result)).is_err() {
                    break;
                }
            }
            Ok::<_, StartError>(())
        });
        self.flusher = Some(checkpoints);
        self.flushed = flushed;
        self.flushing = false;
    }

    /// Opens and catches up, trying again while the log is away; acknowledges, and publishes the queue.
    fn open_until(&mut self, control: &Receiver<Control>, assigned: Ack) -> Result<Opened, StartError> {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.open() {
                Ok(()) => break,
                Err(error @ (StartError::Record { .. } | StartError::StateStore { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(shard = %self.context.shard, error = %service_kit::Chain(&error), "shard not open yet");
                }
            }
            select! {
                recv(control) -> message => return Ok(Opened::Ended(ack_of(message.ok()))),
                default(pause) => {}
            }
            if self.context.inner.stop.is_requested() {
                return Ok(Opened::Ended(None));
            }
            pause = (pause * 2).min(Duration::from_millis(self.context.config.reopen_backoff_ms_max));
        }
        let queue = self.publish();
        assigned.done();
        Ok(Opened::Serving(queue))
    }

    /// Opens the writer (which fences every earlier one), then folds up to the stable end.
    fn open(&mut self) -> Result<(), StartError> {
        self.writer = None;
        self.writer = Some(self.context.log.open_writer(self.context.shard)?);
        self.catch_up().or_else(|error| match error {
            StartError::StateStore { .. } => {
                // Disposable: whatever is wrong with it, the log has it all.
                tracing::warn!(shard = %self.context.shard, error = %service_kit::Chain(&error), "state store dropped, refolding");
                self.store.reset()?;
                self.catch_up()
            }
            other => Err(other),
        })
    }

    /// Drops what memory holds: after a failed append it is ahead of the log, and must never reach the store.
    fn forget(&mut self) {
        self.wait_for_flush();
        self.states.clear();
        self.dedupe.clear();
        self.cursors.clear();
    }

    /// Forgets what is not in the store and folds from its checkpoint to the stable end of events and outcomes. The
    /// commands topic is left out: foreign transactions may hold it.
    fn catch_up(&mut self) -> Result<(), StartError> {
        self.forget();
        let shard = self.context.shard;
        let topics = self.context.log.topics().clone();
        let folded: Vec<_> = topics.all_events().iter().chain([topics.outcomes()]).cloned().collect();
        let cursors = |store: &StateStore| {
            folded.iter().map(|topic| store.cursor(topic, shard)).collect::<Result<Vec<_>, _>>()
        };
        self.cursors = cursors(&self.store)?;
        for cursor in &self.cursors {
            let end = self.context.log.stable_end(&cursor.topic, shard.partition())?;
            if cursor.next_offset > end {
                tracing::warn!(%shard, topic = %cursor.topic, store = cursor.next_offset, log = end,
                    "the state store is ahead of the log, refolding from the start");
                self.store.reset()?;
                self.cursors = cursors(&self.store)?;
                break;
            }
        }
        let started = Instant::now();
        let mut reader = self.context.log.open_reader(&self.cursors)?;
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

    /// Takes one record of the log into states and outcomes.
    fn fold(&mut self, record: &event_log::Record) -> Result<(), StartError> {
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| StartError::Record {
            position: record.position.clone(),
            source,
        };
        if record.position.topic == *self.context.log.topics().outcomes() {
            let outcome = decode_outcome(record).map_err(|e| unreadable(e.into()))?;
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
        // A command of several events is met once per event: the last one completes it.
        let events = match self.dedupe.get(metadata.command_id, &self.store)? {
            Some(Remembered { outcome: Outcome::Accepted(earlier), .. }) => earlier.events + 1,
            _ => 1,
        };
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

    /// Makes the shard reachable: from here on callers queue up.
    fn publish(&mut self) -> Receiver<Work> {
        let (sender, queue) = bounded(self.context.config.queue_commands_max);
        let partition = self.context.shard.partition();
        {
            let mut queues =
                self.context.inner.queues.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            queues.insert(partition, sender);
            // Told under the lock: of two shards that come or go at once, the last count has to be the true one.
            self.context.inner.serving.send_replace(queues.len());
        }
        metrics::gauge!(crate::metrics::SHARD_SERVING, "shard" => partition.to_string()).set(1.0);
        tracing::info!(shard = %self.context.shard, term = %self.term(), "shard serves");
        queue
    }

    /// Takes the shard's queue away: callers hear "unavailable" from here on.
    fn unpublish(&mut self) {
        let partition = self.context.shard.partition();
        {
            let mut queues =
                self.context.inner.queues.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            queues.remove(&partition);
            // Told under the lock: of two shards that come or go at once, the last count has to be the true one.
            self.context.inner.serving.send_replace(queues.len());
        }
        metrics::gauge!(crate::metrics::SHARD_SERVING, "shard" => partition.to_string()).set(0.0);
    }

    fn term(&self) -> event_log::WriterTerm {
        self.writer.as_ref().map(|writer| writer.term()).unwrap_or_default()
    }

    /// Turn after turn until the shard goes away; returns what waits for that.
    fn serve(
        &mut self,
        queue: &Receiver<Work>,
        control: &Receiver<Control>,
    ) -> Result<Option<Ack>, StartError> {
        let ended = loop {
            let first = select! {
                recv(control) -> message => break Ok(ack_of(message.ok())),
                recv(queue) -> work => work.ok(),
                default(IDLE) => None,
            };
            match self.turn(first, queue) {
                Ok(true) => {}
                Ok(false) => break Ok(None),
                Err(error) => break Err(error),
            }
            self.checkpoint_if_due();
        };
        self.unpublish();
        let error = if self.context.inner.stop.is_requested() {
            HostError::ShuttingDown
        } else {
            HostError::ShardUnavailable { shard: self.context.shard.partition() }
        };
        refuse_all(queue, &error);
        ended
    }

    /// Takes what is queued, decides it, appends it, answers. `false`: the shard is lost.
    fn turn(&mut self, first: Option<Work>, queue: &Receiver<Work>) -> Result<bool, StartError> {
        let Some(first) = first else { return Ok(true) };
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
        };
        let mut turn = Turn::default();
        let mut reads = Vec::new();
        let mut next = Some(first);
        while let Some(work) = next {
            match work {
                Work::Command { envelope, hash, reply } => {
                    turn.command(&envelope, hash, Some(reply), &mut self.states, &self.dedupe, &context)?;
                }
                Work::Record { record, token } => {
                    turn.record(&record, token, &mut self.states, &self.dedupe, &context)?;
                }
                // Answered after the commit, so that a read sees only what is durable.
                Work::Read { stream, reply } => reads.push((stream, reply)),
            }
            let full = turn.commands() >= self.context.config.turn_commands_max
                || turn.bytes() >= self.context.config.turn_bytes_max;
            next = if full { None } else { queue.try_recv().ok() };
        }
        metrics::histogram!(crate::metrics::DECIDE_SECONDS).record(started.elapsed());
        metrics::gauge!(crate::metrics::QUEUED, "shard" => context.shard.partition().to_string())
            .set(queue.len() as f64);
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
        let writer = self.writer.as_mut().expect("a serving shard has a writer");
        let appended = if batch.is_empty() { Ok(None) } else { writer.append(batch).map(Some) };
        metrics::histogram!(crate::metrics::APPEND_SECONDS).record(started.elapsed());
        match appended {
            Ok(appended) => {
                metrics::counter!(crate::metrics::EVENTS).increment(events);
                let positions = appended.as_ref().map(|appended| appended.positions()).unwrap_or_default();
                for position in positions {
                    let known = self.cursors.iter_mut().find(|cursor| cursor.topic == position.topic);
                    if let Some(cursor) = known {
                        cursor.next_offset = position.offset + 1;
                    }
                }
                turn.committed(positions, now, &mut self.dedupe);
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
                self.forget();
                // It may still be assigned here: give it up, so that the group decides anew.
                if let Err(error) = self.context.membership.leave_and_rejoin() {
                    tracing::warn!(shard = %self.context.shard, %error, "could not leave the group");
                }
                Ok(false)
            }
        }
    }

    /// After a failed append: what memory holds is ahead of the log. Proves the membership, opens the writer again if
    /// need be, folds from the checkpoint, and answers an unresolved turn by what the log says. `false`: the shard is
    /// not ours any more, or the log stayed away.
    fn recover(&mut self, mut unresolved: Option<Turn>) -> Result<bool, StartError> {
        self.forget();
        let deadline = Instant::now() + Duration::from_millis(self.context.config.answer_timeout_ms / 2);
        let mut pause = Duration::from_millis(20);
        loop {
            let recovered =
                self.context.membership.prove(self.context.shard).map_err(StartError::from).and_then(|()| {
                    let usable =
                        self.writer.as_ref().is_some_and(|writer| writer.is_open()) && unresolved.is_none();
                    if usable { self.catch_up() } else { self.open() }
                });
            match recovered {
                Ok(()) => {
                    if let Some(turn) = unresolved.take() {
                        turn.resolve(&self.dedupe, &self.store)?;
                    }
                    return Ok(true);
                }
                Err(error) if error.is_final() => {
                    if let Some(turn) = unresolved.take() {
                        turn.unknown();
                    }
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(shard = %self.context.shard, error = %service_kit::Chain(&error), "shard not open again yet");
                    let not_owner = matches!(&error, StartError::Log(event_log::Error::NotOwner { .. }));
                    if not_owner || Instant::now() > deadline || self.context.inner.stop.is_requested() {
                        if let Some(turn) = unresolved.take() {
                            turn.unknown();
                        }
                        if !not_owner && let Err(error) = self.context.membership.leave_and_rejoin() {
                            tracing::warn!(shard = %self.context.shard, %error, "could not leave the group");
                        }
                        return Ok(false);
                    }
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(self.context.config.reopen_backoff_ms_max));
        }
    }

    fn now(&mut self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
        self.last_now = self.last_now.max(now);
        self.last_now
    }

    fn checkpoint_if_due(&mut self) {
        if self.flushing {
            match self.flushed.try_recv() {
                Ok(flushed) => self.flush_ended(flushed),
                Err(_) => return,
            }
        }
        let unsaved = self.states.unsaved().max(self.dedupe.unsaved());
        let interval = Duration::from_millis(self.context.config.checkpoint_interval_ms);
        let due = unsaved >= self.context.config.checkpoint_commands_max
            || self.last_checkpoint.elapsed() >= interval;
        if due && (self.states.is_dirty() || unsaved > 0) {
            self.begin_checkpoint();
        }
    }

    fn begin_checkpoint(&mut self) {
        self.last_checkpoint = Instant::now();
        let checkpoint = self.checkpoint();
        let sent = self.flusher.as_ref().is_some_and(|flusher| flusher.send(checkpoint).is_ok());
        self.flushing = sent;
    }

    /// What the store lacks; it counts as saved until [`Self::flush_ended`] says otherwise.
    fn checkpoint(&mut self) -> Checkpoint {
        Checkpoint {
            states: self.states.begin_flush(),
            outcomes: self.dedupe.begin_flush(),
            cursors: self.cursors.clone(),
            now: self.now(),
        }
    }

    fn flush_ended(&mut self, (checkpoint, result): Flushed) {
        self.flushing = false;
        match result {
            Ok(()) => {
                self.dedupe.flushed();
                self.states.trim();
            }
            // Nothing has left memory since: all of it belongs to the next checkpoint again.
            Err(error) => {
                tracing::error!(shard = %self.context.shard, error = %service_kit::Chain(&error), "checkpoint failed");
                self.dedupe.not_flushed();
                for (stream, ..) in &checkpoint.states {
                    self.states.touch(stream);
                }
            }
        }
    }

    /// Waits for the checkpoint that is being written, if one is.
    fn wait_for_flush(&mut self) {
        if self.flushing
            && let Ok(flushed) = self.flushed.recv()
        {
            self.flush_ended(flushed);
        }
    }

    fn checkpoint_now(&mut self) -> Result<(), StartError> {
        self.wait_for_flush();
        if self.states.is_dirty() || self.dedupe.unsaved() > 0 {
            let checkpoint = self.checkpoint();
            let result = self.store.write(&checkpoint, &self.context.config);
            let failed = result.as_ref().err().map(ToString::to_string);
            self.flush_ended((checkpoint, result));
            if let Some(reason) = failed {
                let path = self.context.state_folder.clone();
                return Err(StartError::StateStore { path, source: reason.into() });
            }
        }
        Ok(())
    }
}

fn ack_of(message: Option<Control>) -> Option<Ack> {
    match message {
        Some(Control::Drain(ack)) => ack,
        Some(Control::Lost) | None => None,
    }
}

fn refuse_all(queue: &Receiver<Work>, error: &HostError) {
    for work in queue.try_iter() {
        if let Work::Command { reply, .. } = work {
            answer(reply, Err(error.clone()));
        }
    }
}

/// A control channel: a handful of messages in a shard's life.
pub(crate) fn control() -> (Sender<Control>, Receiver<Control>) {
    unbounded()
}
