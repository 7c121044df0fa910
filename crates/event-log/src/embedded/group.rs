//! Groups of one member: the durable subscription, and the ownership of every shard.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::committer::Request;
use super::reader::EmbeddedReader;
use super::store::Store;
use crate::ownership::{Ack, Membership, Ownership, OwnershipEvent};
use crate::{Cursor, Error, GroupToken, LogReader, Shard, Subscription, SubscriptionBatch};

/// Most commands that one event delivers.
const COMMANDS_PER_EVENT_MAX: usize = 1_000;
/// How often an ownership that waits looks for answers and pauses.
const ANSWER_POLL_MS: u64 = 20;

fn group_cursors(store: &Store, group: &str, topics: &[Arc<str>]) -> Result<Vec<Cursor>, Error> {
    let mut cursors = Vec::new();
    for topic in topics {
        for partition in 0..store.config.log.partitions {
            let slot = store.slot(topic, partition)?;
            let next_offset = store.group_offset(group, slot)?.unwrap_or(0);
            cursors.push(Cursor { topic: topic.clone(), partition, next_offset });
        }
    }
    Ok(cursors)
}

/// A durable subscription whose only member has every partition.
pub(crate) struct EmbeddedSubscription {
    store: Arc<Store>,
    requests: Sender<Request>,
    group: Box<str>,
    reader: EmbeddedReader,
    is_new: bool,
}

impl EmbeddedSubscription {
    pub(crate) fn open(
        store: Arc<Store>,
        requests: Sender<Request>,
        group: &str,
        topics: &[Arc<str>],
    ) -> Result<Self, Error> {
        let cursors = group_cursors(&store, group, topics)?;
        let reader = EmbeddedReader::open(Arc::clone(&store), &cursors)?;
        Ok(Self { store, requests, group: group.into(), reader, is_new: true })
    }
}

impl Subscription for EmbeddedSubscription {
    fn read(&mut self, records_max: usize, timeout: Duration) -> Result<SubscriptionBatch, Error> {
        let mut batch = SubscriptionBatch::default();
        if std::mem::take(&mut self.is_new) {
            batch.assigned = self.reader.next_offsets().into_iter().map(|c| (c.topic, c.partition)).collect();
            batch.rebalanced = true;
        }
        batch.records = self.reader.read(records_max, timeout)?;
        Ok(batch)
    }

    fn commit(&mut self, progress: &[Cursor]) -> Result<(), Error> {
        // Checked here, so that the commit thread meets nothing that it has to refuse.
        progress.iter().try_for_each(|c| self.store.slot(&c.topic, c.partition).map(drop))?;
        // Through the commit thread like everything else: whatever is written to the journal is synced in its order,
        // which is what the look at a damaged journal goes by.
        let (answer, answered) = crossbeam_channel::bounded(1);
        let request = Request::Progress { group: self.group.clone(), cursors: progress.to_vec(), answer };
        self.requests.send(request).map_err(|_| Error::Closed)?;
        answered.recv().unwrap_or(Err(Error::Closed))
    }

    fn rewind(&mut self, to: &[Cursor]) -> Result<(), Error> {
        to.iter().try_for_each(|cursor| self.reader.seek(cursor))
    }
}

/// Owns every shard: the folder's lock sees to it that there is no other node.
pub(crate) struct EmbeddedOwnership {
    reader: EmbeddedReader,
    token: GroupToken,
    events: VecDeque<OwnershipEvent>,
    answers: Receiver<Shard>,
    answer: Sender<Shard>,
    membership: Arc<EmbeddedMembership>,
    store: Arc<Store>,
    /// Shards whose revocation has not been answered yet, once the node leaves.
    leaving: Option<usize>,
}

struct EmbeddedMembership {
    store: Arc<Store>,
    /// Per shard: whether it has been answered for, and whether its commands may come.
    shards: Mutex<Vec<ShardState>>,
    leave: AtomicBool,
    rejoin: AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct ShardState {
    is_answered: bool,
    is_paused: bool,
}

impl EmbeddedOwnership {
    pub(crate) fn open(store: Arc<Store>) -> Result<Self, Error> {
        let commands = store.topics.commands().clone();
        let group: Arc<str> = format!("{}.shards", store.topics.namespace()).into();
        let mut reader =
            EmbeddedReader::open(Arc::clone(&store), &group_cursors(&store, &group, &[commands])?)?;
        let partitions = store.config.log.partitions;
        let (answer, answers) = crossbeam_channel::bounded(2 * partitions as usize);
        let membership = Arc::new(EmbeddedMembership {
            store: Arc::clone(&store),
            shards: Mutex::new(vec![ShardState::default(); partitions as usize]),
            leave: AtomicBool::new(false),
            rejoin: AtomicBool::new(false),
        });
        (0..partitions).for_each(|partition| reader.set_paused(partition, true));
        let mut ownership = Self {
            reader,
            token: GroupToken { group, metadata: None },
            events: VecDeque::new(),
            answers,
            answer,
            membership,
            store,
            leaving: None,
        };
        ownership.announce(OwnershipEvent::Assigned);
        Ok(ownership)
    }

    fn announce(&mut self, event: impl Fn(Shard, Ack) -> OwnershipEvent) {
        for shard in (0..self.store.config.log.partitions).map(Shard::new) {
            self.events.push_back(event(shard, Ack::new(shard, self.answer.clone())));
        }
    }

    /// Takes answers and pauses into account; returns whether the node has left.
    fn settle(&mut self) -> Result<bool, Error> {
        let membership = Arc::clone(&self.membership);
        if self.leaving.is_none() {
            let is_rejoin = membership.rejoin.swap(false, Ordering::SeqCst);
            if is_rejoin || membership.leave.load(Ordering::SeqCst) {
                self.events.clear();
                while self.answers.try_recv().is_ok() {}
                membership.lock().fill(ShardState::default());
                self.announce(OwnershipEvent::Revoked);
                self.leaving = Some(self.store.config.log.partitions as usize);
            }
        }
        while let Ok(shard) = self.answers.try_recv() {
            match &mut self.leaving {
                Some(open) => *open = open.saturating_sub(1),
                None => membership.lock()[shard.partition() as usize].is_answered = true,
            }
        }
        if self.leaving == Some(0) {
            if membership.leave.load(Ordering::SeqCst) {
                return Ok(true);
            }
            match group_cursors(&self.store, &self.token.group, &[self.store.topics.commands().clone()]) {
                // Where the group goes on is known again once the log is.
                Err(Error::Reopening) => {}
                cursors => {
                    for cursor in cursors? {
                        self.reader.seek(&cursor)?;
                    }
                    self.leaving = None;
                    self.announce(OwnershipEvent::Assigned);
                }
            }
        }
        for (partition, state) in membership.lock().iter().enumerate() {
            self.reader.set_paused(partition as u32, !state.is_answered || state.is_paused);
        }
        Ok(false)
    }
}

impl Ownership for EmbeddedOwnership {
    fn next(&mut self, timeout: Duration) -> Result<Option<OwnershipEvent>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.settle()? {
                return Err(Error::Closed);
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let records =
                self.reader.read(COMMANDS_PER_EVENT_MAX, left.min(Duration::from_millis(ANSWER_POLL_MS)))?;
            if !records.is_empty() {
                return Ok(Some(OwnershipEvent::Commands(records, self.token.clone())));
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    fn membership(&self) -> Arc<dyn Membership> {
        self.membership.clone()
    }
}

impl EmbeddedMembership {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ShardState>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_paused(&self, shard: Shard, is_paused: bool) -> Result<(), Error> {
        match self.lock().get_mut(shard.partition() as usize) {
            Some(state) => {
                state.is_paused = is_paused;
                Ok(())
            }
            None => Err(Error::NoSuchPartition {
                topic: self.store.topics.commands().to_string(),
                partition: shard.partition(),
            }),
        }
    }
}

impl Membership for EmbeddedMembership {
    fn prove(&self, _: Shard) -> Result<(), Error> {
        // The folder's lock is the proof.
        if self.store.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    fn leave_and_rejoin(&self) -> Result<(), Error> {
        self.rejoin.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn members(&self) -> Result<usize, Error> {
        Ok(1)
    }

    fn leave(&self) -> Result<(), Error> {
        self.leave.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn pause(&self, shard: Shard) -> Result<(), Error> {
        self.set_paused(shard, true)
    }

    fn resume(&self, shard: Shard) -> Result<(), Error> {
        self.set_paused(shard, false)
    }
}
