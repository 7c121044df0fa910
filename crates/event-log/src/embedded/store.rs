//! The database: keyspaces, the facts noted about the log, recovery, and the stable ends that readers wait for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::EmbeddedConfig;
use super::stored_record::{offset_of, partition_prefix};
use crate::{Cursor, Error, Shard, Topics, WriterTerm};

/// The format of the rows. A log of another format is refused.
const FORMAT_VERSION: u64 = 1;

/// The open database and the stable ends of its partitions.
pub(crate) struct Store {
    pub(crate) config: EmbeddedConfig,
    pub(crate) topics: Topics,
    pub(crate) database: Database,
    /// Facts about the log: `format`, `partitions`, `namespace`, `topic/<name>`, `term/<shard>`.
    meta: Keyspace,
    pub(crate) records: Keyspace,
    /// Where each group goes on: `<group>\0<topic number><partition>` → next offset.
    progress: Keyspace,
    /// The number under which each topic's rows lie, in the order of [`Topics::all`].
    topic_numbers: Vec<u16>,
    /// Offset after the last durable record, per topic and partition.
    ends: Vec<AtomicU64>,
    /// Guards nothing but the wait: an end that moves between a reader's look and its wait must wake it.
    moved: Mutex<()>,
    moved_signal: Condvar,
    poisoned: AtomicBool,
    closed: AtomicBool,
}

impl Store {
    pub(crate) fn open(config: EmbeddedConfig) -> Result<Self, Error> {
        std::fs::create_dir_all(&config.path).map_err(|e| Error::backend("making the log's folder", e))?;
        let database = Database::builder(&config.path).cache_size(config.cache_bytes_max).open().map_err(
            |e| match e {
                fjall::Error::Locked => Error::FolderLocked { path: config.path.clone() },
                other => Error::backend("opening the log's database", other),
            },
        )?;
        let keyspace = |name| {
            database
                .keyspace(name, KeyspaceCreateOptions::default)
                .map_err(|e| Error::backend("opening the log's database", e))
        };
        let (meta, records, progress) = (keyspace("meta")?, keyspace("records")?, keyspace("progress")?);
        let topics = Topics::new(&config.log.namespace);
        check_facts(&meta, &config)?;
        let topic_numbers = number_topics(&meta, &topics)?;
        database.persist(PersistMode::SyncAll).map_err(|e| Error::backend("syncing the log's facts", e))?;

        let mut ends = Vec::new();
        for number in &topic_numbers {
            for partition in 0..config.log.partitions {
                let last = records.prefix(partition_prefix(*number, partition)).next_back();
                let end = match last.map(|row| row.key()).transpose().map_err(backend_read)? {
                    None => 0,
                    Some(key) => {
                        let what = format!("a row of topic {number}, partition {partition} has no offset");
                        offset_of(&key).ok_or(Error::Damaged { what })? + 1
                    }
                };
                ends.push(AtomicU64::new(end));
            }
        }
        Ok(Self {
            config,
            topics,
            database,
            meta,
            records,
            progress,
            topic_numbers,
            ends,
            moved: Mutex::new(()),
            moved_signal: Condvar::new(),
            poisoned: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
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

    /// Waits until `ready`, the log is closed, or the deadline has passed.
    pub(crate) fn wait(&self, deadline: Instant, ready: impl Fn() -> bool) {
        let mut guard = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        while !ready() && !self.is_closed() {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                return;
            };
            guard = self.moved_signal.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// After a failed write nothing more is accepted: what lies in the journal behind it is known after recovery only.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::SeqCst)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.publish(std::iter::empty());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The term of the shard's last opened writer; 0 when there never was one.
    pub(crate) fn last_term(&self, shard: Shard) -> Result<WriterTerm, Error> {
        Ok(WriterTerm::new(read_number(&self.meta, &term_key(shard))?.unwrap_or(0)))
    }

    /// Adds the shard's new term to a batch.
    pub(crate) fn put_term(&self, batch: &mut fjall::OwnedWriteBatch, shard: Shard, term: WriterTerm) {
        batch.insert(&self.meta, term_key(shard).as_bytes(), term.get().to_be_bytes());
    }

    /// Where a group goes on in a partition; `None` when it never committed there.
    pub(crate) fn group_offset(&self, group: &str, slot: usize) -> Result<Option<u64>, Error> {
        let stored = self.progress.get(self.progress_key(group, slot)).map_err(backend_read)?;
        stored.map(|bytes| number(&bytes, "a group's progress")).transpose()
    }

    /// Adds a group's progress to a batch.
    pub(crate) fn put_progress(
        &self,
        batch: &mut fjall::OwnedWriteBatch,
        group: &str,
        cursor: &Cursor,
    ) -> Result<(), Error> {
        let slot = self.slot(&cursor.topic, cursor.partition)?;
        batch.insert(&self.progress, self.progress_key(group, slot), cursor.next_offset.to_be_bytes());
        Ok(())
    }

    fn progress_key(&self, group: &str, slot: usize) -> Vec<u8> {
        let partition = (slot % self.config.log.partitions as usize) as u32;
        let mut key = Vec::with_capacity(group.len() + 7);
        key.extend_from_slice(group.as_bytes());
        key.push(0);
        key.extend_from_slice(&partition_prefix(self.topic_number(slot), partition));
        key
    }
}

/// Notes what cannot change when the log is new, compares it when it is not.
fn check_facts(meta: &Keyspace, config: &EmbeddedConfig) -> Result<(), Error> {
    let facts = [
        ("format", "format version", FORMAT_VERSION),
        ("partitions", "partitions", config.log.partitions.into()),
    ];
    for (key, setting, expected) in facts {
        match read_number(meta, key)? {
            None => meta
                .insert(key, expected.to_be_bytes())
                .map_err(|e| Error::backend("noting the log's facts", e))?,
            Some(found) if found == expected => {}
            Some(found) => {
                return Err(Error::Mismatch {
                    setting,
                    expected: expected.to_string(),
                    found: found.to_string(),
                });
            }
        }
    }
    let expected = &config.log.namespace;
    match meta.get("namespace").map_err(backend_read)? {
        None => meta
            .insert("namespace", expected.as_bytes())
            .map_err(|e| Error::backend("noting the log's facts", e)),
        Some(found) if *found == *expected.as_bytes() => Ok(()),
        Some(found) => Err(Error::Mismatch {
            setting: "namespace",
            expected: expected.clone(),
            found: String::from_utf8_lossy(&found).into_owned(),
        }),
    }
}

/// The number of every topic; topics that are new since the log was made get the next free ones.
fn number_topics(meta: &Keyspace, topics: &Topics) -> Result<Vec<u16>, Error> {
    let key = |topic: &str| format!("topic/{topic}");
    let damaged = |topic: &str| Error::Damaged { what: format!("the number of topic {topic}") };
    let mut numbers = Vec::new();
    for topic in topics.all() {
        let number = read_number(meta, &key(topic))?;
        numbers.push(number.map(|n| u16::try_from(n).map_err(|_| damaged(topic))).transpose()?);
    }
    let mut next = numbers.iter().flatten().max().map_or(0, |last| last + 1);
    let mut all = Vec::new();
    for (topic, number) in topics.all().iter().zip(numbers) {
        all.push(match number {
            Some(number) => number,
            None => {
                meta.insert(key(topic), u64::from(next).to_be_bytes())
                    .map_err(|e| Error::backend("noting the log's facts", e))?;
                next += 1;
                next - 1
            }
        });
    }
    Ok(all)
}

fn term_key(shard: Shard) -> String {
    format!("term/{shard}")
}

fn read_number(meta: &Keyspace, key: &str) -> Result<Option<u64>, Error> {
    meta.get(key).map_err(backend_read)?.map(|bytes| number(&bytes, key)).transpose()
}

fn number(bytes: &[u8], what: &str) -> Result<u64, Error> {
    let bytes = bytes.try_into().map_err(|_| Error::Damaged { what: format!("{what} is not a number") })?;
    Ok(u64::from_be_bytes(bytes))
}

pub(crate) fn backend_read(error: fjall::Error) -> Error {
    Error::backend("reading the log's database", error)
}
