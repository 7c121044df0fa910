//! What the parts of the embedded log share: the database while it is open, and the stable ends that readers wait for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, RwLock};
use std::time::Instant;

use service_kit::FailPoint;

use super::EmbeddedConfig;
use super::committer::Mending;
use super::database::{LogDatabase, number, read_error};
use super::folder::{Folder, io_error};
use super::journal::{Journals, remove_unfinished_creation};
use super::stored_record::{offset_of, partition_prefix};
use crate::{Cursor, Error, Topics};

/// The log's shared state.
pub(crate) struct Store {
    pub(crate) config: EmbeddedConfig,
    pub(crate) topics: Topics,
    pub(crate) folder: Folder,
    /// `None` while it is opened again after a failed write, or when that did not help.
    database: RwLock<Option<LogDatabase>>,
    /// The number under which each topic's rows lie, in the order of [`Topics::all`].
    topic_numbers: Vec<u16>,
    /// Offset after the last durable record, per topic and partition.
    ends: Vec<AtomicU64>,
    /// Guards nothing but the wait: an end that moves between a reader's look and its wait must wake it.
    moved: Mutex<()>,
    moved_signal: Condvar,
    /// Whether there is a database to read.
    is_open: AtomicBool,
    /// Whether it will never be opened again.
    failed: AtomicBool,
    closed: AtomicBool,
}

impl Store {
    pub(crate) fn open(config: EmbeddedConfig) -> Result<Self, Error> {
        let folder = Folder::open(&config.path)?;
        remove_unfinished_creation(folder.path())?;
        let journals = Journals::read(folder.path())?;
        journals.cut().map_err(|error| io_error(folder.path(), "cutting off an unfinished batch", error))?;
        let database = LogDatabase::open(folder.path(), &config)?;
        let topics = Topics::new(&config.log.namespace);
        let topic_numbers = database.check(&config, &topics)?;
        let ends = read_ends(&database, &topic_numbers, config.log.partitions)?;
        Ok(Self {
            config,
            topics,
            folder,
            database: RwLock::new(Some(database)),
            topic_numbers,
            ends: ends.into_iter().map(AtomicU64::new).collect(),
            moved: Mutex::new(()),
            moved_signal: Condvar::new(),
            is_open: AtomicBool::new(true),
            failed: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// Works with the database. [`Error::Reopening`] while it is closed after a failed write, [`Error::Poisoned`] once it
    /// stays closed.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&LogDatabase) -> Result<T, Error>) -> Result<T, Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match &*database {
            Some(database) => work(database),
            None if self.has_failed() => Err(Error::Poisoned),
            None => Err(Error::Reopening),
        }
    }

    /// Closes the database after a failed write. Waits for those who read it, and for its own threads.
    pub(crate) fn close_database(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        drop(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Opens the closed database again. After a failed write, what can be read of the newest journal is written to a fresh
    /// file and synced first, and only that is what the log holds from here on.
    pub(crate) fn reopen_database(&self, mending: Mending) -> Result<(), Error> {
        let path = self.folder.path();
        if FailPoint::EMBEDDED_BEFORE_REOPEN.pass(&path.display()).is_some() {
            return Err(Error::backend("opening the log again", "a fail point is armed"));
        }
        let journals = Journals::read(path)?;
        match mending {
            Mending::Reopen => journals.cut(),
            Mending::RewriteJournal => journals.rewrite_newest(path),
        }
        .map_err(|error| io_error(path, "mending the newest journal", error))?;
        let database = LogDatabase::open(path, &self.config)?;
        let ends = read_ends(&database, &self.topic_numbers, self.config.log.partitions)?;
        for (slot, end) in ends.iter().enumerate() {
            if *end < self.end(slot) {
                let (topic, partition) = self.partition(slot);
                let what = format!("{topic}/{partition} ends at {end}, {} was durable", self.end(slot));
                return Err(Error::Damaged { what });
            }
        }
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        self.is_open.store(true, Ordering::SeqCst);
        self.publish(ends.into_iter().enumerate());
        Ok(())
    }

    /// The database stays closed: everything that needs it fails from here on.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.publish(std::iter::empty());
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// The place of a partition in the vector of ends.
    pub(crate) fn slot(&self, topic: &str, partition: u32) -> Result<usize, Error> {
        match self.topics.index_of(topic) {
            Some(index) if partition < self.config.log.partitions => {
                Ok(index * self.config.log.partitions as usize + partition as usize)
            }
            _ => Err(Error::NoSuchPartition { topic: topic.to_owned(), partition }),
        }
    }

    /// The topic and the partition at `slot`.
    pub(crate) fn partition(&self, slot: usize) -> (&std::sync::Arc<str>, u32) {
        let partitions = self.config.log.partitions as usize;
        (&self.topics.all()[slot / partitions], (slot % partitions) as u32)
    }

    /// The number of the topic at `slot`.
    pub(crate) fn topic_number(&self, slot: usize) -> u16 {
        self.topic_numbers[slot / self.config.log.partitions as usize]
    }

    pub(crate) fn stable_end(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        Ok(self.end(self.slot(topic, partition)?))
    }

    /// The stable end of the partition at `slot`.
    pub(crate) fn end(&self, slot: usize) -> u64 {
        self.ends[slot].load(Ordering::Acquire)
    }

    /// Moves stable ends, after what lies below them is durable, and wakes the readers.
    pub(crate) fn publish(&self, ends: impl Iterator<Item = (usize, u64)>) {
        for (slot, end) in ends {
            self.ends[slot].store(end, Ordering::Release);
        }
        drop(self.moved.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved_signal.notify_all();
    }

    /// Waits until `ready`, the log is closed or has failed, or the deadline has passed.
    pub(crate) fn wait(&self, deadline: Instant, ready: impl Fn() -> bool) {
        let mut guard = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        while !ready() && !self.is_closed() && !self.has_failed() {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                return;
            };
            guard = self.moved_signal.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.publish(std::iter::empty());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Where a group goes on in a partition; `None` when it never committed there.
    pub(crate) fn group_offset(&self, group: &str, slot: usize) -> Result<Option<u64>, Error> {
        let key = self.progress_key(group, slot);
        let stored = self.with(|database| database.progress.get(key).map_err(read_error))?;
        stored.map(|bytes| number(&bytes, "a group's progress")).transpose()
    }

    /// Adds a group's progress to a batch.
    pub(crate) fn put_progress(
        &self,
        batch: &mut fjall::OwnedWriteBatch,
        database: &LogDatabase,
        group: &str,
        cursor: &Cursor,
    ) -> Result<(), Error> {
        let slot = self.slot(&cursor.topic, cursor.partition)?;
        batch.insert(&database.progress, self.progress_key(group, slot), cursor.next_offset.to_be_bytes());
        Ok(())
    }

    fn progress_key(&self, group: &str, slot: usize) -> Vec<u8> {
        let (_, partition) = self.partition(slot);
        let mut key = Vec::with_capacity(group.len() + 7);
        key.extend_from_slice(group.as_bytes());
        key.push(0);
        key.extend_from_slice(&partition_prefix(self.topic_number(slot), partition));
        key
    }
}

/// The end of every partition, as the rows say.
fn read_ends(database: &LogDatabase, topic_numbers: &[u16], partitions: u32) -> Result<Vec<u64>, Error> {
    let mut ends = Vec::new();
    for number in topic_numbers {
        for partition in 0..partitions {
            let last = database.records.prefix(partition_prefix(*number, partition)).next_back();
            ends.push(match last.map(|row| row.key()).transpose().map_err(read_error)? {
                None => 0,
                Some(key) => {
                    let what = format!("a row of topic {number}, partition {partition} has no offset");
                    offset_of(&key).ok_or(Error::Damaged { what })? + 1
                }
            });
        }
    }
    Ok(ends)
}
