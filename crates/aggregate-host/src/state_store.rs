//! One shard's disposable store: states, outcomes, and the place in the log up to which they hold.
//!
//! Everything of a checkpoint is one atomic batch without a sync: after a crash the store is at an earlier checkpoint,
//! never between two. A store of another shape, of another log, or ahead of the log is dropped and refolded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aggregates::{STATE_SHAPE, State};
use event_log::{Cursor, Shard, Topics};
use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use schemas::{CommandId, StreamId, Timestamp, Version};
use service_kit::FailPoint;

use crate::dedupe::Remembered;
use crate::{HostConfig, StartError};

/// The store's own layout; a change drops old stores.
const FORMAT: u32 = 2;

/// Journals are read back at every start; this is the least that fjall allows.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// What checkpoints leave free on the disk, bytes: less than the log's own reserve, so that what the log took can be
/// checkpointed.
const DISK_RESERVE_BYTES: u64 = 32 << 20;

/// How long a database that this process has just closed may hold its lock, and how often it is asked for meanwhile.
const CLOSING_MAX: Duration = Duration::from_secs(1);
const CLOSING_PAUSE: Duration = Duration::from_millis(2);

const SHAPE_KEY: &[u8] = b"shape";
const COUNT_KEY: &[u8] = b"outcomes";
const TIME_KEY: &[u8] = b"time";

const ID_BYTES: usize = 16;

/// The store of one shard. Clones share it.
#[derive(Clone)]
pub(crate) struct StateStore {
    path: PathBuf,
    topics: Topics,
    database: Database,
    /// `<aggregate>/<id>` → version and state.
    states: Keyspace,
    /// Command id → outcome.
    outcomes: Keyspace,
    /// The order in which outcomes are forgotten: for each checkpoint the time of its youngest outcome and that one's
    /// command id → all its command ids, oldest first.
    by_time: Keyspace,
    /// `shape`, `outcomes` (how many), `time` (of the last checkpoint), and `@<topic>` → next offset.
    meta: Keyspace,
}

/// What a checkpoint writes.
pub(crate) struct Checkpoint {
    pub(crate) states: Vec<(StreamId, Version, State)>,
    pub(crate) outcomes: Arc<HashMap<CommandId, Remembered>>,
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) now: Timestamp,
}

impl StateStore {
    /// Opens the store of `shard` under `folder`, empty if it is new or of another shape.
    pub(crate) fn open(
        folder: &Path,
        shard: Shard,
        topics: &Topics,
        config: &HostConfig,
    ) -> Result<Self, StartError> {
        let path = folder.join(format!("shard-{shard}"));
        let store = Self::open_at(&path, topics, config)?;
        match store.read(&store.meta, SHAPE_KEY)? {
            Some(found) if found == store.shape().as_bytes() => {}
            None => store.meta.insert(SHAPE_KEY, store.shape()).map_err(|e| store.failed(e))?,
            Some(found) => {
                let found = String::from_utf8_lossy(&found).into_owned();
                tracing::info!(%shard, found, "the state store has another shape, refolding from the log");
                store.reset()?;
            }
        }
        Ok(store)
    }

    /// What the stored bytes look like: layout, state types, and whose log they are from.
    fn shape(&self) -> String {
        format!("{FORMAT}/{STATE_SHAPE}/{}", self.topics.namespace())
    }

    /// Forgets everything: the log holds it all. A crash half-way leaves a shape that nobody accepts.
    pub(crate) fn reset(&self) -> Result<(), StartError> {
        let failed = |e: fjall::Error| self.failed(e);
        self.meta.insert(SHAPE_KEY, "resetting").map_err(failed)?;
        self.database.persist(fjall::PersistMode::SyncAll).map_err(failed)?;
        for keyspace in [&self.states, &self.outcomes, &self.by_time, &self.meta] {
            keyspace.clear().map_err(failed)?;
        }
        self.meta.insert(SHAPE_KEY, self.shape()).map_err(failed)
    }

    fn open_at(path: &Path, topics: &Topics, config: &HostConfig) -> Result<Self, StartError> {
        let failed = |error: fjall::Error| StartError::StateStore {
            path: path.into(),
            source: match error {
                fjall::Error::Locked => "it is in use by another process".into(),
                other => other.into(),
            },
        };
        let deadline = Instant::now() + CLOSING_MAX;
        let database = loop {
            let database = Database::builder(path)
                .cache_size(config.state_store_cache_bytes)
                .worker_threads(1)
                .max_journaling_size(JOURNAL_BYTES_MAX);
            match database.open() {
                Err(fjall::Error::Locked) if Instant::now() < deadline => std::thread::sleep(CLOSING_PAUSE),
                opened => break opened.map_err(failed)?,
            }
        };
        let table_bytes_max = config.state_store_memory_table_bytes_max;
        // Files no larger than a memory table: what several of them are merged with is then no larger than they are.
        let files = Arc::new(Leveled::default().with_table_target_size(table_bytes_max));
        let options = || {
            let options = KeyspaceCreateOptions::default().max_memtable_size(table_bytes_max);
            options.compaction_strategy(Arc::clone(&files) as _)
        };
        let keyspace = |name: &str| database.keyspace(name, options).map_err(failed);
        Ok(Self {
            path: path.to_owned(),
            topics: topics.clone(),
            states: keyspace("states")?,
            outcomes: keyspace("outcomes")?,
            by_time: keyspace("by_time")?,
            meta: keyspace("meta")?,
            database,
        })
    }

    /// The state of a stream as of the last checkpoint, and its size, bytes.
    pub(crate) fn state(&self, stream: &StreamId) -> Result<Option<(Version, State, usize)>, StartError> {
        let Some(bytes) = self.read(&self.states, stream.to_string().as_bytes())? else { return Ok(None) };
        let (version, state) = postcard::from_bytes(&bytes).map_err(|e| self.failed(e))?;
        Ok(Some((version, state, bytes.len())))
    }

    /// The outcome of a command as of the last checkpoint.
    pub(crate) fn outcome(&self, id: CommandId) -> Result<Option<Remembered>, StartError> {
        let bytes = self.read(&self.outcomes, id.as_uuid().as_bytes())?;
        Ok(bytes.and_then(|bytes| Remembered::from_bytes(&bytes, &self.topics)))
    }

    /// No record that the last checkpoint holds was recorded later; the beginning of time when there was no checkpoint.
    pub(crate) fn time(&self) -> Result<Timestamp, StartError> {
        let stored = self.read(&self.meta, TIME_KEY)?;
        let millis = stored.and_then(|bytes| Some(i64::from_be_bytes(bytes.as_slice().try_into().ok()?)));
        Ok(Timestamp::from_millis(millis.unwrap_or(0)))
    }

    /// Where folding goes on in `topic` (0 when nothing was folded).
    pub(crate) fn cursor(&self, topic: &Arc<str>, shard: Shard) -> Result<Cursor, StartError> {
        let stored = self.read(&self.meta, cursor_key(topic).as_bytes())?;
        let next_offset =
            stored.and_then(|b| Some(u64::from_be_bytes(b.as_slice().try_into().ok()?))).unwrap_or(0);
        Ok(Cursor { topic: topic.clone(), partition: shard.partition(), next_offset })
    }

    /// Writes a checkpoint, and forgets outcomes beyond the window and the limit. Returns the sizes of its states, bytes.
    ///
    /// On a full disk nothing is written at all: a write that fails would stop the database for good, while this one is
    /// tried again with the next checkpoint.
    pub(crate) fn write(
        &self,
        checkpoint: &Checkpoint,
        config: &HostConfig,
    ) -> Result<Vec<usize>, StartError> {
        if service_kit::free_bytes(&self.path).is_some_and(|free| free < DISK_RESERVE_BYTES) {
            return Err(self.failed("the disk is full"));
        }
        if FailPoint::HOST_BEFORE_CHECKPOINT.pass(&self.path.display()).is_some() {
            return Err(self.failed("a fail point is armed"));
        }
        let mut batch = self.database.batch();
        let mut sizes = Vec::with_capacity(checkpoint.states.len());
        for (stream, version, state) in &checkpoint.states {
            let bytes = postcard::to_stdvec(&(version, state)).map_err(|e| self.failed(e))?;
            sizes.push(bytes.len());
            batch.insert(&self.states, stream.to_string().as_bytes(), bytes);
        }
        let mut decided: Vec<_> = checkpoint.outcomes.iter().collect();
        decided.sort_unstable_by_key(|(id, remembered)| (remembered.decided_at, **id));
        if let Some((id, youngest)) = decided.last() {
            let ids: Vec<u8> = decided.iter().flat_map(|(id, _)| *id.as_uuid().as_bytes()).collect();
            batch.insert(&self.by_time, time_key(youngest.decided_at, **id), ids);
        }
        for (id, remembered) in &decided {
            batch.insert(
                &self.outcomes,
                id.as_uuid().as_bytes().as_slice(),
                remembered.to_bytes(&self.topics),
            );
        }
        for cursor in &checkpoint.cursors {
            batch.insert(&self.meta, cursor_key(&cursor.topic).as_bytes(), cursor.next_offset.to_be_bytes());
        }
        let count = self.forget(&mut batch, checkpoint, config)?;
        batch.insert(&self.meta, COUNT_KEY, count.to_be_bytes());
        batch.insert(&self.meta, TIME_KEY, checkpoint.now.as_millis().to_be_bytes());
        batch.commit().map_err(|e| self.failed(e))?;
        match FailPoint::HOST_AFTER_CHECKPOINT.pass(&self.path.display()) {
            // Written again with the next one: a checkpoint is a function of the log.
            Some(_) => Err(self.failed("a fail point is armed")),
            None => Ok(sizes),
        }
    }

    /// Adds to the batch that outcomes beyond the window and the limit are forgotten; returns how many there are then.
    fn forget(
        &self,
        batch: &mut OwnedWriteBatch,
        checkpoint: &Checkpoint,
        config: &HostConfig,
    ) -> Result<u64, StartError> {
        let counted = self.read(&self.meta, COUNT_KEY)?;
        let counted = counted.and_then(|b| Some(u64::from_be_bytes(b.as_slice().try_into().ok()?)));
        let mut count = counted.unwrap_or(0) + checkpoint.outcomes.len() as u64;
        let oldest = config.oldest_remembered(checkpoint.now);
        for entry in self.by_time.iter() {
            let (key, ids) = entry.into_inner().map_err(|e| self.failed(e))?;
            let millis = key.get(..8).and_then(|b| Some(i64::from_be_bytes(b.try_into().ok()?)));
            let is_old = Timestamp::from_millis(millis.unwrap_or(0)) < oldest;
            let too_many = count.saturating_sub(config.dedupe_entries_max as u64);
            let (ids, rest) = ids.as_chunks::<ID_BYTES>();
            debug_assert!(rest.is_empty(), "whole ids were written");
            let forgotten = if is_old { ids.len() } else { ids.len().min(too_many as usize) };
            for id in &ids[..forgotten] {
                batch.remove(&self.outcomes, id.as_slice());
            }
            count = count.saturating_sub(forgotten as u64);
            if forgotten < ids.len() {
                if forgotten > 0 {
                    batch.insert(&self.by_time, key, ids[forgotten..].as_flattened());
                }
                break;
            }
            batch.remove(&self.by_time, key);
        }
        Ok(count)
    }

    fn read(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StartError> {
        Ok(keyspace.get(key).map_err(|e| self.failed(e))?.map(|value| value.to_vec()))
    }

    fn failed(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
        StartError::StateStore { path: self.path.clone(), source: source.into() }
    }
}

fn cursor_key(topic: &str) -> String {
    format!("@{topic}")
}

fn time_key(decided_at: Timestamp, id: CommandId) -> Vec<u8> {
    // Times before 1970 don't occur: the clock of the host gives them.
    let mut key = decided_at.as_millis().to_be_bytes().to_vec();
    key.extend_from_slice(id.as_uuid().as_bytes());
    key
}

#[cfg(test)]
mod tests;
