//! A log with a bug: everything goes to an honest one, but for what the bug takes over.

use std::sync::Arc;

use event_log::{
    Cursor, Enqueued, Error, Log, LogReader, NewRecord, Ownership, Shard, ShardWriter, Subscription, Topics,
};

/// What a bug takes over.
pub(crate) trait Bug: Send + Sync + 'static {
    fn open_writer(&self, log: &dyn Log, shard: Shard) -> Result<Box<dyn ShardWriter>, Error> {
        log.open_writer(shard)
    }

    fn open_reader(&self, log: &dyn Log, from: &[Cursor]) -> Result<Box<dyn LogReader>, Error> {
        log.open_reader(from)
    }
}

/// No bug.
#[derive(Clone)]
pub(crate) struct Honest;

impl Bug for Honest {}

pub(crate) struct FaultyLog<B> {
    log: Arc<dyn Log>,
    bug: B,
}

impl<B: Bug> FaultyLog<B> {
    pub(crate) fn around(log: Arc<dyn Log>, bug: B) -> Arc<dyn Log> {
        Arc::new(Self { log, bug })
    }
}

impl<B: Bug> Log for FaultyLog<B> {
    fn topics(&self) -> &Topics {
        self.log.topics()
    }

    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn is_shared(&self) -> bool {
        self.log.is_shared()
    }

    fn enqueue(&self, record: NewRecord, done: Enqueued) {
        self.log.enqueue(record, done);
    }

    fn open_writer(&self, shard: Shard) -> Result<Box<dyn ShardWriter>, Error> {
        self.bug.open_writer(&*self.log, shard)
    }

    fn open_reader(&self, from: &[Cursor]) -> Result<Box<dyn LogReader>, Error> {
        self.bug.open_reader(&*self.log, from)
    }

    fn stable_end(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.log.stable_end(topic, partition)
    }

    fn subscribe(&self, group: &str, topics: &[Arc<str>]) -> Result<Box<dyn Subscription>, Error> {
        self.log.subscribe(group, topics)
    }

    fn ownership(&self) -> Result<Box<dyn Ownership>, Error> {
        self.log.ownership()
    }

    fn close(&self) {
        self.log.close();
    }
}
