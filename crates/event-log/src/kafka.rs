//! The Kafka log.
//!
//! A shard's writer has two transactional producers, `<ns>.shard.<k>.a` and `.b`, initialised in that order before
//! anything is read, and used in turn: a transaction that begins on the id of the last one waits 20 ms for its markers.
//! They are used strictly one after the other, and the first transaction of a writer is on `.a`, so that a writer whose
//! `.a` was taken meanwhile never writes.
//!
//! librdkafka (2.12) speaks the old transaction protocol: a delayed request of one transaction can land in the next one
//! of the same epoch. So any result but success discards both producers; the next opening bumps their epochs, which
//! fences the stragglers.

mod client;
mod command_queue;
mod config;
mod deliveries;
mod ends;
mod native;
mod ownership;
mod reader;
mod settle;
mod shard_owner;
mod subscription;
mod topic_admin;
mod transaction_log;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use self::command_queue::CommandQueue;
pub use self::config::KafkaConfig;
use self::ends::{Asker, End};
use self::ownership::KafkaOwnership;
use self::reader::KafkaReader;
pub use self::shard_owner::{ShardOwner, decode_shard_owner};
use self::subscription::KafkaSubscription;
pub use self::topic_admin::TopicsInit;
use self::writer::KafkaWriter;
use crate::batch_check::check_command;
use crate::log::Enqueued;
use crate::{
    AppendError, Cursor, Error, Log, LogReader, NewRecord, Ownership, Shard, ShardWriter, Subscription,
    Topics,
};

/// The Kafka log, open.
pub struct KafkaLog {
    shared: Arc<Shared>,
}

/// What writers and readers of one log share.
pub(crate) struct Shared {
    pub(crate) config: KafkaConfig,
    pub(crate) topics: Topics,
    stable: Asker,
    /// Made when the first writer is opened.
    replicated: Mutex<Option<Arc<Asker>>>,
    closed: AtomicBool,
    /// Made when the first command is enqueued.
    command_queue: Mutex<Option<Arc<CommandQueue>>>,
}

impl KafkaLog {
    /// Creates the topics that are missing, with explicit settings, and checks those that are there. Doing it again
    /// changes nothing.
    pub fn init_topics(config: &KafkaConfig) -> Result<TopicsInit, Error> {
        config.check()?;
        topic_admin::init(config)
    }

    /// Opens the log: all topics must exist ([`Error::TopicMissing`]) with the settings needed
    /// ([`Error::TopicMismatch`]).
    pub fn open(config: KafkaConfig) -> Result<Self, Error> {
        config.check()?;
        topic_admin::check(&config)?;
        let stable = Asker::connect(&config, End::Stable)?;
        let topics = Topics::new(&config.log.namespace);
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                topics,
                stable,
                replicated: Mutex::default(),
                closed: AtomicBool::new(false),
                command_queue: Mutex::default(),
            }),
        })
    }
}

impl Shared {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn command_queue(&self) -> Result<Arc<CommandQueue>, Error> {
        let mut queue = self.command_queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = &*queue {
            return Ok(Arc::clone(queue));
        }
        let opened = Arc::new(CommandQueue::open(&self.config, &self.topics)?);
        Ok(Arc::clone(queue.insert(opened)))
    }

    pub(crate) fn check_partition(&self, topic: &str, partition: u32) -> Result<(), Error> {
        if self.topics.index_of(topic).is_some() && partition < self.config.log.partitions {
            Ok(())
        } else {
            Err(Error::NoSuchPartition { topic: topic.to_owned(), partition })
        }
    }

    /// The last stable offsets, in the order of `partitions`.
    pub(crate) fn stable_ends(&self, partitions: &[(Arc<str>, u32)]) -> Result<Vec<u64>, Error> {
        partitions.iter().try_for_each(|(topic, partition)| self.check_partition(topic, *partition))?;
        self.stable.ends(partitions)
    }

    /// The high watermarks, in the order of `partitions`.
    pub(crate) fn replicated_ends(&self, partitions: &[(Arc<str>, u32)]) -> Result<Vec<u64>, Error> {
        let asker = {
            let mut replicated = self.replicated.lock().unwrap_or_else(PoisonError::into_inner);
            match &*replicated {
                Some(asker) => Arc::clone(asker),
                None => {
                    Arc::clone(replicated.insert(Arc::new(Asker::connect(&self.config, End::Replicated)?)))
                }
            }
        };
        asker.ends(partitions)
    }
}

impl Log for KafkaLog {
    fn topics(&self) -> &Topics {
        &self.shared.topics
    }

    fn partitions(&self) -> u32 {
        self.shared.config.log.partitions
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn open_writer(&self, shard: Shard) -> Result<Box<dyn ShardWriter>, Error> {
        Ok(Box::new(KafkaWriter::open(Arc::clone(&self.shared), shard)?))
    }

    fn open_reader(&self, from: &[Cursor]) -> Result<Box<dyn LogReader>, Error> {
        Ok(Box::new(KafkaReader::open(Arc::clone(&self.shared), from, self.shared.config.fetch_wait_ms_max)?))
    }

    fn stable_end(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        Ok(self.shared.stable_ends(&[(Arc::from(topic), partition)])?[0])
    }

    fn subscribe(&self, group: &str, topics: &[Arc<str>]) -> Result<Box<dyn Subscription>, Error> {
        Ok(Box::new(KafkaSubscription::open(Arc::clone(&self.shared), group, topics)?))
    }

    fn ownership(&self) -> Result<Box<dyn Ownership>, Error> {
        Ok(Box::new(KafkaOwnership::open(Arc::clone(&self.shared))?))
    }

    fn enqueue(&self, record: NewRecord, done: Enqueued) {
        match check_command(&record, &self.shared.topics, &self.shared.config.log) {
            Ok(()) => match self.shared.command_queue() {
                Ok(queue) => queue.send(&self.shared, &record, done),
                Err(error) => done(Err(AppendError::not_written(error))),
            },
            Err(error) => done(Err(AppendError::not_written(error))),
        }
    }

    fn close(&self) {
        // Writers look before each append; those that run finish on their own threads.
        self.shared.closed.store(true, Ordering::SeqCst);
        let queue = self.shared.command_queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(queue) = queue {
            queue.flush();
        }
    }
}
