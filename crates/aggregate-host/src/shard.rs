//! The thread of one shard: it stands by while another node owns the shard, and decides commands while this one does.
//!
//! ```text
//!            assigned                    opened, caught up
//! stand by ───────────▶ open the writer ─────────────────▶ serve: turn after turn
//!    ▲                     │                                  │
//!    └─────────────────────┴───── revoked, lost, fenced ◀─────┘
//! ```
//!
//! Standing by folds the shard's part of a shared log all the time, so that taking the shard over costs what the log has
//! grown since, never a refold from the start.

mod checkpoints;
mod fold;
mod serve;
mod standby;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use event_log::{Ack, Cursor, Log, Membership, Shard, ShardWriter, WriterTerm};
use schemas::Timestamp;
use service_kit::Tasks;

use crate::dedupe::Dedupe;
use crate::handle::{Inner, Queue};
use crate::state_store::StateStore;
use crate::states::States;
use crate::turn::answer;
use crate::work::{Control, Work};
use crate::{HostConfig, HostError, StartError, clock};

use self::checkpoints::Flusher;
use self::fold::CommandsMet;
use self::serve::Served;

/// How long one wait of the shard's thread is at most.
const IDLE: Duration = Duration::from_millis(100);

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

/// A control channel: a handful of messages in a shard's life.
pub(crate) fn control() -> (Sender<Control>, Receiver<Control>) {
    unbounded()
}

/// Runs a shard until its host ends, which closes `control`.
pub(crate) fn run(context: ShardContext, control: &Receiver<Control>) -> Result<(), StartError> {
    let mut worker = ShardWorker::new(context)?;
    loop {
        let assigned = match worker.stand_by(control) {
            Ok(Some(assigned)) => assigned,
            Ok(None) | Err(StartError::Stopped) => break,
            Err(error) => return Err(error),
        };
        let released = worker.own(control, assigned)?;
        worker.checkpoint_or_warn();
        // Dropping the writer closes it; only then may the next owner go on.
        worker.writer = None;
        drop(released);
    }
    worker.checkpoint_or_warn();
    Ok(())
}

struct ShardWorker {
    context: ShardContext,
    store: StateStore,
    states: States,
    dedupe: Dedupe,
    /// Up to where states and outcomes in memory hold the log.
    cursors: Vec<Cursor>,
    writer: Option<Box<dyn ShardWriter>>,
    flusher: Flusher,
    met: CommandsMet,
    last_checkpoint: Instant,
    /// Recording times never go back within a shard, even when the clock does.
    last_now: Timestamp,
}

impl ShardWorker {
    fn new(context: ShardContext) -> Result<Self, StartError> {
        let topics = context.log.topics().clone();
        let store = StateStore::open(&context.state_folder, context.shard, &topics, &context.config)?;
        // What lies behind the checkpoint is folded later, and counts then.
        let last_now = store.newest_decision()?;
        let states = States::new(context.config.state_cache_entries_max);
        let flusher = Flusher::start(&store, &context);
        let mut worker = Self {
            context,
            store,
            states,
            dedupe: Dedupe::default(),
            cursors: Vec::new(),
            writer: None,
            flusher,
            met: CommandsMet::default(),
            last_checkpoint: Instant::now(),
            last_now,
        };
        worker.go_back_to_the_store()?;
        Ok(worker)
    }

    /// From an assignment to its end. Returns what waits for the shard to be released, once memory holds nothing that
    /// the log lacks.
    fn own(&mut self, control: &Receiver<Control>, assigned: Ack) -> Result<Option<Ack>, StartError> {
        match self.open_until(control, assigned)? {
            Opened::Ended(ack) => Ok(ack),
            Opened::Serving(work) => {
                let served = self.serve(&work, control);
                self.unpublish();
                work.refuse_all(&self.context.unavailable());
                match served? {
                    Served::Released(ack) => Ok(ack),
                    Served::Lost => {
                        self.go_back_to_the_store()?;
                        Ok(None)
                    }
                }
            }
        }
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
                recv(control) -> message => match message {
                    Ok(Control::Drain(ack)) => return Ok(Opened::Ended(ack)),
                    Ok(Control::Own(_)) => {}
                    Ok(Control::Lost) | Err(_) => return Ok(Opened::Ended(None)),
                },
                default(pause) => {}
            }
            if self.context.inner.stop.is_requested() {
                return Ok(Opened::Ended(None));
            }
            pause = (pause * 2).min(Duration::from_millis(self.context.config.reopen_backoff_ms_max));
        }
        let work = self.publish();
        assigned.done();
        Ok(Opened::Serving(work))
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
                self.go_back_to_the_store()?;
                self.catch_up()
            }
            other => Err(other),
        })
    }

    /// Makes the shard reachable: from here on callers queue up.
    fn publish(&mut self) -> Incoming {
        let (single, singles) = bounded(self.context.config.queue_commands_max);
        let (bulk, bulks) = bounded(self.context.config.queue_commands_max);
        let partition = self.context.shard.partition();
        {
            let mut queues = self.context.inner.queues.write().unwrap_or_else(PoisonError::into_inner);
            queues.insert(partition, Queue { single, bulk, term: self.term().get() });
            // Told under the lock: of two shards that come or go at once, the last count has to be the true one.
            self.context.inner.serving.send_replace(queues.len());
        }
        self.context.inner.owners.changed();
        metrics::gauge!(crate::metrics::SHARD_SERVING, "shard" => partition.to_string()).set(1.0);
        tracing::info!(shard = %self.context.shard, term = %self.term(), "shard serves");
        Incoming { singles, bulks }
    }

    /// Takes the shard's queue away: callers hear "unavailable" from here on.
    fn unpublish(&mut self) {
        let partition = self.context.shard.partition();
        {
            let mut queues = self.context.inner.queues.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(queue) = queues.remove(&partition) {
                self.context.inner.owners.gave_up(self.context.shard, queue.term);
            }
            // Told under the lock: of two shards that come or go at once, the last count has to be the true one.
            self.context.inner.serving.send_replace(queues.len());
        }
        self.context.inner.owners.changed();
        metrics::gauge!(crate::metrics::SHARD_SERVING, "shard" => partition.to_string()).set(0.0);
    }

    fn term(&self) -> WriterTerm {
        self.writer.as_ref().map(|writer| writer.term()).unwrap_or_default()
    }

    fn now(&mut self) -> Timestamp {
        self.last_now = self.last_now.max(clock::now());
        self.last_now
    }
}

enum Opened {
    Serving(Incoming),
    Ended(Option<Ack>),
}

/// The receiving ends of a shard's queue.
struct Incoming {
    singles: Receiver<Work>,
    bulks: Receiver<Work>,
}

impl Incoming {
    fn len(&self) -> usize {
        self.singles.len() + self.bulks.len()
    }

    fn refuse_all(&self, error: &HostError) {
        for work in self.singles.try_iter().chain(self.bulks.try_iter()) {
            if let Work::Command { reply, .. } = work {
                answer(reply, Err(error.clone()));
            }
        }
    }
}

impl ShardContext {
    /// What callers of a shard that is not served here are told.
    fn unavailable(&self) -> HostError {
        if self.inner.stop.is_requested() {
            HostError::ShuttingDown
        } else {
            HostError::ShardUnavailable { shard: self.shard.partition() }
        }
    }
}
