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
use crate::turn::{Turn, answer};
use crate::work::{Control, Work};
use crate::{HostConfig, HostError, StartError, clock};

use self::checkpoints::Flusher;
use self::fold::CommandsMet;
use self::serve::{LastCommit, Served};

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
    last_commit: LastCommit,
    /// Recording times never go back within a shard, even when the clock does.
    last_now: Timestamp,
}

impl ShardWorker {
    fn new(context: ShardContext) -> Result<Self, StartError> {
        let topics = context.log.topics().clone();
        let store = StateStore::open(&context.state_folder, context.shard, &topics, &context.config)?;
        // What lies behind the checkpoint is folded later, and counts then.
        let last_now = store.time()?;
        let states = States::new(context.config.state_cache_bytes_max);
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
            last_commit: LastCommit::default(),
            last_now,
        };
        worker.go_back_to_the_store()?;
        Ok(worker)
    }

    /// From an assignment to its end. Returns what waits for the shard to be released, once memory holds nothing that
    /// the log lacks.
    fn own(&mut self, control: &Receiver<Control>, assigned: Ack) -> Result<Option<Ack>, StartError> {
        let mut opening = Opening::Assigned(assigned);
        loop {
            let work = match self.open_until(control, opening)? {
                Opened::Serving(work) => work,
                Opened::Ended(ack) => return Ok(ack),
            };
            let served = self.serve(&work, control);
            self.unpublish();
            let has_records = work.refuse_all(&self.context.inner.unavailable(self.context.shard));
            opening = match served? {
                Served::Released(ack) => return Ok(ack),
                Served::Failed { unknown, took_records } if !has_records && !took_records => {
                    Opening::Again { failed_at: Instant::now(), unknown }
                }
                Served::Failed { .. } => {
                    // Records of the commands topic that were not decided have to come again, from where the group is.
                    self.give_up();
                    return self.go_back_to_the_store().map(|()| None);
                }
                Served::Lost => return self.go_back_to_the_store().map(|()| None),
            };
        }
    }

    /// Opens and catches up, trying again while the log is away and the shard is this node's; then deals with what has
    /// waited for it, and publishes the queue.
    fn open_until(
        &mut self,
        control: &Receiver<Control>,
        mut opening: Opening,
    ) -> Result<Opened, StartError> {
        let mut pause = Duration::from_millis(20);
        // An assignment is its own proof once; afterwards the process may have slept.
        let mut is_proven = matches!(opening, Opening::Assigned(_));
        loop {
            let opened = if std::mem::take(&mut is_proven) { self.open() } else { self.reopen(&opening) };
            match opened {
                Ok(()) => break,
                Err(StartError::Stopped | StartError::Log(event_log::Error::NotOwner { .. })) => {
                    return Ok(Opened::Ended(None));
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    tracing::warn!(shard = %self.context.shard, error = %service_kit::Chain(&error), "shard not open yet");
                }
            }
            opening.lose_patience(Duration::from_millis(self.context.config.answer_timeout_ms / 2));
            select! {
                recv(control) -> message => match message {
                    Ok(Control::Drain(ack)) => return Ok(Opened::Ended(ack)),
                    Ok(Control::Own(ack)) => opening = Opening::Assigned(ack),
                    Ok(Control::Lost) | Err(_) => return Ok(Opened::Ended(None)),
                },
                default(pause) => {}
            }
            if self.context.inner.stop.is_requested() {
                return Ok(Opened::Ended(None));
            }
            pause = (pause * 2).min(Duration::from_millis(self.context.config.reopen_backoff_ms_max));
        }
        let work = match opening {
            Opening::Assigned(ack) => {
                let work = self.publish();
                ack.done();
                work
            }
            Opening::Again { unknown, .. } => {
                if let Some(turn) = unknown {
                    turn.resolve(&self.dedupe, &self.store)?;
                }
                self.publish()
            }
        };
        Ok(Opened::Serving(work))
    }

    /// Proves that the shard is still this node's before anything is fenced, then brings memory to the log.
    fn reopen(&mut self, opening: &Opening) -> Result<(), StartError> {
        self.go_back_to_the_store()?;
        self.context.membership.prove(self.context.shard)?;
        let is_usable = self.writer.as_ref().is_some_and(|writer| writer.is_open());
        if is_usable && !opening.is_in_doubt() { self.catch_up() } else { self.open() }
    }

    /// The shard may still be assigned here although it cannot be served: give it up, so that the group decides anew.
    fn give_up(&self) {
        if let Err(error) = self.context.membership.leave_and_rejoin() {
            tracing::warn!(shard = %self.context.shard, %error, "could not leave the group");
        }
    }

    /// Opens the writer (which fences every earlier one), then folds up to the stable end.
    fn open(&mut self) -> Result<(), StartError> {
        self.writer = None;
        self.writer = Some(self.context.log.open_writer(self.context.shard)?);
        self.catch_up().or_else(|error| match error {
            StartError::StateStore { .. } => {
                // Disposable: whatever is wrong with it, the log has it all.
                tracing::warn!(shard = %self.context.shard, error = %service_kit::Chain(&error), "state store dropped, refolding");
                self.drop_the_store()?;
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

/// Why a shard is opened.
enum Opening {
    /// The group has given it to this node, and waits for the answer.
    Assigned(Ack),
    /// An append has failed. Memory is ahead of the log; a turn whose outcome is not known waits for what the log says.
    Again { failed_at: Instant, unknown: Option<Turn> },
}

impl Opening {
    /// Callers of an unresolved turn are told that its outcome is not known when the log stays away for longer.
    fn lose_patience(&mut self, patience: Duration) {
        if let Self::Again { failed_at, unknown } = self
            && failed_at.elapsed() > patience
        {
            *unknown = None;
        }
    }

    fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Again { unknown: Some(_), .. })
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

    /// Refuses what waits; whether there were records of the commands topic, which nobody can be told about.
    fn refuse_all(&self, error: &HostError) -> bool {
        let mut has_records = false;
        for work in self.singles.try_iter().chain(self.bulks.try_iter()) {
            match work {
                Work::Command { reply, .. } => answer(reply, Err(error.clone())),
                Work::Record { .. } => has_records = true,
                Work::Read { .. } | Work::Outcome { .. } => {}
            }
        }
        has_records
    }
}
