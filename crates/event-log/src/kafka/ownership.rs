//! Ownership of shards by consumer group: a thread polls the member and turns rebalances into messages.
//!
//! The member reads the commands topic alone, so its partitions are the shards. A rebalance callback runs within a poll
//! on that thread; a revocation waits in it until every shard has answered, so that the group hands a shard over only
//! after its owner has drained it. Heartbeats go on meanwhile (librdkafka sends them from a thread of its own).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;

use super::Shared;
use super::client::{code_of, is_stale_member, is_unsettled};
use super::ends::OFFSET_ANSWER_MAX;
use super::subscription::{committed_offset, read_message};
use super::writer::offset_list;
use crate::ownership::{Ack, Membership, Ownership, OwnershipEvent};
use crate::{Cursor, Error, GroupToken, Record, Shard};

/// Events that may wait for the node; a thread that finds no room keeps its records and pauses the partitions.
const EVENTS_MAX: usize = 16;
/// Most commands that one event delivers.
const COMMANDS_PER_EVENT_MAX: usize = 1_000;
/// How long a poll waits for a record.
const POLL_MS: u64 = 50;

/// This node's membership in the group of shard owners.
pub(crate) struct KafkaOwnership {
    events: Receiver<OwnershipEvent>,
    membership: Arc<KafkaMembership>,
    thread: Option<JoinHandle<()>>,
}

/// Asks the group, from any thread.
struct KafkaMembership {
    shared: Arc<Shared>,
    consumer: Arc<BaseConsumer<Rebalances>>,
}

/// The consumer's context: what rebalances and the node's requests have in common.
struct Rebalances {
    commands: Arc<str>,
    drain: Duration,
    events: Sender<OwnershipEvent>,
    /// Answers to assignments come back here.
    assigned: Sender<Shard>,
    state: Mutex<State>,
    leave: AtomicBool,
    rejoin: AtomicBool,
}

#[derive(Default)]
struct State {
    assigned: HashSet<Shard>,
    /// Assigned, but its writer is not caught up yet.
    unanswered: HashSet<Shard>,
    /// Paused by the node because its queue is full.
    paused: HashSet<Shard>,
    /// Assignments were revoked: records that were polled before belong to nobody here.
    generation: u64,
}

impl Rebalances {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shards(&self, list: &TopicPartitionList) -> Vec<Shard> {
        let partitions = list.elements().iter().map(|element| element.partition()).collect::<Vec<_>>();
        partitions.into_iter().filter_map(|partition| u32::try_from(partition).ok()).map(Shard::new).collect()
    }

    fn revoke(&self, shards: &[Shard], is_lost: bool) {
        let deadline = Instant::now() + self.drain;
        let (answer, answers) = crossbeam_channel::bounded(shards.len().max(1));
        let mut open = HashSet::new();
        for shard in shards {
            let event = if is_lost {
                OwnershipEvent::Lost(*shard)
            } else {
                open.insert(*shard);
                OwnershipEvent::Revoked(*shard, Ack::new(*shard, answer.clone()))
            };
            if self.events.send_deadline(event, deadline).is_err() {
                tracing::error!(%shard, "nobody takes the news that a shard was revoked");
            }
        }
        drop(answer);
        while !open.is_empty() {
            match answers.recv_deadline(deadline) {
                Ok(shard) => {
                    open.remove(&shard);
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    // Whatever they still write is fenced by the next owner.
                    tracing::warn!(shards = ?open, "shards did not drain in time and are handed over");
                    return;
                }
            }
        }
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        super::client::log_error(&error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let shards = self.shards(list);
            {
                let mut state = self.lock();
                state.generation += 1;
                for shard in &shards {
                    state.assigned.remove(shard);
                    state.unanswered.remove(shard);
                    state.paused.remove(shard);
                }
            }
            self.revoke(&shards, consumer.assignment_lost());
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                // No commands before the shard has answered: its writer has to catch up first.
                if let Err(error) = consumer.pause(list) {
                    tracing::error!(%error, "the new shards' commands could not be held back");
                }
                let shards = self.shards(list);
                let mut state = self.lock();
                state.assigned.extend(&shards);
                state.unanswered.extend(&shards);
                drop(state);
                let deadline = Instant::now() + self.drain;
                for shard in shards {
                    let event = OwnershipEvent::Assigned(shard, Ack::new(shard, self.assigned.clone()));
                    if self.events.send_deadline(event, deadline).is_err() {
                        tracing::error!(%shard, "nobody takes the news that a shard was assigned");
                    }
                }
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "a rebalance failed"),
        }
    }
}

impl KafkaOwnership {
    pub(crate) fn open(shared: Arc<Shared>) -> Result<Self, Error> {
        let (events_in, events) =
            crossbeam_channel::bounded(EVENTS_MAX + 2 * shared.config.log.partitions as usize);
        let (assigned, answers) = crossbeam_channel::bounded(4 * shared.config.log.partitions as usize);
        let context = Rebalances {
            commands: shared.topics.commands().clone(),
            drain: Duration::from_millis(shared.config.revoke_drain_ms_max),
            events: events_in,
            assigned,
            state: Mutex::new(State::default()),
            leave: AtomicBool::new(false),
            rejoin: AtomicBool::new(false),
        };
        let consumer: BaseConsumer<Rebalances> = shared
            .config
            .member_client("owner", &shared.config.shards_group())
            .create_with_context(context)
            .map_err(|e| Error::backend("making a consumer", e))?;
        let consumer = Arc::new(consumer);
        consumer
            .subscribe(&[shared.topics.commands()])
            .map_err(|e| Error::backend("joining the shards' group", e))?;
        let membership =
            Arc::new(KafkaMembership { shared: Arc::clone(&shared), consumer: Arc::clone(&consumer) });
        let mut member = Member {
            shared,
            consumer,
            answers,
            pending: Vec::new(),
            pending_token: None,
            is_full: false,
            generation: 0,
        };
        let thread = std::thread::Builder::new()
            .name("shard-ownership".to_owned())
            .spawn(move || member.run())
            .map_err(|e| Error::backend("starting the ownership thread", e))?;
        Ok(Self { events, membership, thread: Some(thread) })
    }
}

impl Ownership for KafkaOwnership {
    fn next(&mut self, timeout: Duration) -> Result<Option<OwnershipEvent>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left.min(Duration::from_millis(POLL_MS))) {
                Ok(event) => return Ok(Some(event)),
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Closed),
                Err(RecvTimeoutError::Timeout) => {
                    // The context keeps a sender alive, so a thread that has left shows by having ended.
                    if self.thread.as_ref().is_none_or(JoinHandle::is_finished) && self.events.is_empty() {
                        return Err(Error::Closed);
                    }
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn membership(&self) -> Arc<dyn Membership> {
        self.membership.clone()
    }
}

impl Drop for KafkaOwnership {
    fn drop(&mut self) {
        self.membership.consumer.context().leave.store(true, Ordering::SeqCst);
        // Events that nobody takes any more answer themselves when they are dropped.
        let deadline = Instant::now() + self.membership.consumer.context().drain;
        while let Some(thread) = &self.thread {
            if thread.is_finished() || Instant::now() > deadline {
                break;
            }
            let _ = self.events.recv_timeout(Duration::from_millis(POLL_MS));
        }
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

/// The polling thread.
struct Member {
    shared: Arc<Shared>,
    consumer: Arc<BaseConsumer<Rebalances>>,
    answers: Receiver<Shard>,
    /// Commands that found no room yet.
    pending: Vec<Record>,
    /// The group's generation when the first of them was polled.
    pending_token: Option<GroupToken>,
    /// Whether all partitions are paused because nobody takes the commands.
    is_full: bool,
    generation: u64,
}

impl Member {
    fn run(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        let context = consumer.context();
        while !context.leave.load(Ordering::SeqCst) && !self.shared.is_closed() {
            if context.rejoin.swap(false, Ordering::SeqCst) {
                self.leave_group();
                if let Err(error) = consumer.subscribe(&[&context.commands]) {
                    tracing::error!(%error, "the shards' group could not be joined again");
                    return;
                }
            }
            if let Err(error) = self.turn() {
                tracing::error!(%error, "the membership in the shards' group ended");
                return;
            }
        }
        self.leave_group();
    }

    /// One poll, and what follows from it.
    fn turn(&mut self) -> Result<(), Error> {
        let wait = if self.pending.is_empty() || self.is_full {
            Duration::from_millis(POLL_MS)
        } else {
            Duration::ZERO
        };
        if self.pending_token.is_none() {
            // Before the poll: taken later, it could be a newer generation than the records'.
            self.pending_token = self.token();
        }
        let consumer = Arc::clone(&self.consumer);
        let polled = consumer.poll(wait);
        self.drop_revoked();
        let is_dry = polled.is_none();
        match polled {
            Some(Ok(message)) => {
                let record = read_message(&message, &self.shared.topics)?;
                let shard = Shard::new(record.position.partition);
                if consumer.context().lock().assigned.contains(&shard) {
                    self.pending.push(record);
                }
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                return Err(Error::backend("reading the commands topic", code));
            }
            Some(Err(error)) => tracing::debug!(%error, "reading the commands topic goes on after an error"),
            None => {}
        }
        if self.pending.is_empty() {
            // Renewed with every idle turn, so that a rebalance leaves no old one behind.
            self.pending_token = None;
        } else if is_dry || self.pending.len() >= COMMANDS_PER_EVENT_MAX {
            self.deliver();
        }
        self.resume_answered();
        Ok(())
    }

    fn token(&self) -> Option<GroupToken> {
        let metadata = self.consumer.group_metadata()?;
        Some(GroupToken {
            group: self.shared.config.shards_group().into(),
            metadata: Some(Arc::new(metadata)),
        })
    }

    /// After a revocation what was polled under it is read again by the next owner.
    fn drop_revoked(&mut self) {
        let state = self.consumer.context().lock();
        if state.generation != self.generation {
            self.generation = state.generation;
            self.pending.clear();
            self.pending_token = None;
        }
    }

    /// Hands the commands over, or holds the partitions back until there is room.
    fn deliver(&mut self) {
        let (Some(token), records) = (self.pending_token.clone(), std::mem::take(&mut self.pending)) else {
            return;
        };
        match self.consumer.context().events.try_send(OwnershipEvent::Commands(records, token)) {
            Ok(()) => {
                self.pending_token = None;
                if std::mem::take(&mut self.is_full) {
                    self.set_paused(false);
                }
            }
            Err(TrySendError::Full(OwnershipEvent::Commands(records, _))) => {
                self.pending = records;
                if !std::mem::replace(&mut self.is_full, true) {
                    self.set_paused(true);
                }
            }
            Err(_) => tracing::debug!("nobody takes commands any more"),
        }
    }

    /// Holds back or lets go the partitions that nothing else holds back.
    fn set_paused(&self, is_paused: bool) {
        let context = self.consumer.context();
        let state = context.lock();
        let shards =
            state.assigned.iter().filter(|s| !state.unanswered.contains(s) && !state.paused.contains(s));
        let list = shard_list(&context.commands, shards.copied());
        drop(state);
        let result = if is_paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        if let Err(error) = result {
            tracing::error!(%error, is_paused, "the shards' commands could not be paused or resumed");
        }
    }

    fn resume_answered(&self) {
        let context = self.consumer.context();
        while let Ok(shard) = self.answers.try_recv() {
            let mut state = context.lock();
            let is_ready = state.unanswered.remove(&shard) && !state.paused.contains(&shard);
            drop(state);
            if is_ready && !self.is_full {
                resume(&self.consumer, shard);
            }
        }
    }

    /// Unsubscribes, and polls until the revocations have been answered.
    fn leave_group(&mut self) {
        self.consumer.unsubscribe();
        let deadline = Instant::now() + self.consumer.context().drain;
        while !self.consumer.context().lock().assigned.is_empty() && Instant::now() < deadline {
            let _ = self.consumer.poll(Duration::from_millis(POLL_MS));
        }
        self.drop_revoked();
        self.is_full = false;
    }
}

fn resume(consumer: &BaseConsumer<Rebalances>, shard: Shard) {
    let list = shard_list(&consumer.context().commands, std::iter::once(shard));
    if let Err(error) = consumer.resume(&list) {
        tracing::error!(%shard, %error, "the shard's commands could not be resumed");
    }
}

fn shard_list(commands: &str, shards: impl Iterator<Item = Shard>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for shard in shards {
        list.add_partition(commands, shard.partition() as i32);
    }
    list
}

impl KafkaMembership {
    /// Something to commit that changes nothing: what is committed already. A transaction of ours whose outcome is unknown
    /// may land afterwards with a higher offset, or before with a lower one: commands that come twice are known by their
    /// ids. While such a transaction has not ended nobody can tell what is committed; then it is an offset that nobody
    /// reads, and whoever opens the shard's writer sees to the end.
    fn cursor_to_commit(&self, shard: Shard) -> Result<Cursor, Error> {
        let commands = &self.consumer.context().commands;
        let wanted = shard_list(commands, std::iter::once(shard));
        let answered = self.consumer.committed_offsets(wanted, OFFSET_ANSWER_MAX);
        let committed = answered.and_then(|list| committed_offset(&list, commands, shard.partition() as i32));
        match committed {
            Ok(offset) => {
                let next_offset = offset.and_then(|offset| u64::try_from(offset).ok()).unwrap_or(0);
                Ok(Cursor { topic: Arc::clone(commands), partition: shard.partition(), next_offset })
            }
            Err(error) if is_unsettled(&error) => {
                Ok(Cursor::start(self.shared.topics.shard_owners().clone(), shard.partition()))
            }
            Err(error) => Err(Error::backend("asking for the group's progress", error)),
        }
    }

    fn not_owner(&self, shard: Shard, source: Option<KafkaError>) -> Error {
        let group = self.shared.config.shards_group();
        Error::NotOwner { group, shard, source: source.map(Into::into) }
    }
}

impl Membership for KafkaMembership {
    fn prove(&self, shard: Shard) -> Result<(), Error> {
        let context = self.consumer.context();
        if !context.lock().assigned.contains(&shard) {
            return Err(self.not_owner(shard, None));
        }
        let list = offset_list(&[self.cursor_to_commit(shard)?])
            .map_err(|e| Error::backend("proving the membership", e))?;
        match self.consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => Ok(()),
            Err(error) if code_of(&error).is_some_and(is_stale_member) => {
                Err(self.not_owner(shard, Some(error)))
            }
            Err(error) => Err(Error::backend("proving the membership", error)),
        }
    }

    fn leave_and_rejoin(&self) -> Result<(), Error> {
        self.consumer.context().rejoin.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn members(&self) -> Result<usize, Error> {
        let group = self.shared.config.shards_group();
        let timeout = Duration::from_millis(self.shared.config.request_timeout_ms);
        let groups = self
            .consumer
            .fetch_group_list(Some(&group), timeout)
            .map_err(|e| Error::backend("asking for the group's members", e))?;
        Ok(groups
            .groups()
            .iter()
            .find(|found| found.name() == group)
            .map_or(0, |found| found.members().len()))
    }

    fn leave(&self) -> Result<(), Error> {
        self.consumer.context().leave.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn pause(&self, shard: Shard) -> Result<(), Error> {
        let context = self.consumer.context();
        let mut state = context.lock();
        if state.assigned.contains(&shard) && state.paused.insert(shard) {
            drop(state);
            let list = shard_list(&context.commands, std::iter::once(shard));
            self.consumer.pause(&list).map_err(|e| Error::backend("pausing a shard's commands", e))?;
        }
        Ok(())
    }

    fn resume(&self, shard: Shard) -> Result<(), Error> {
        let context = self.consumer.context();
        let mut state = context.lock();
        if state.paused.remove(&shard) && !state.unanswered.contains(&shard) {
            drop(state);
            resume(&self.consumer, shard);
        }
        Ok(())
    }
}
