//! The embedded log: one fjall database in a folder, one process.
//!
//! A commit thread is the only writer. It takes what the shards have queued, assigns offsets and terms, writes one
//! atomic fjall batch, syncs it once, and only then moves the stable ends that readers may read up to. So an append is
//! durable when it returns, and a reader never sees what a crash could take back.
//!
//! Of fsync's two strengths the batch needs `fdatasync` ([`fjall::PersistMode::SyncData`]): the journal file is
//! created, sized and fsynced together with its folder before the first write to it, and `fdatasync` flushes the
//! metadata that reading the data back needs (allocated extents, a grown size); only timestamps stay behind.

mod committer;
mod database;
mod folder;
mod group;
mod journal;
mod reader;
mod reopening;
mod store;
mod stored_record;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, TrySendError};
use serde::{Deserialize, Serialize};

use self::committer::Request;
use self::group::{EmbeddedOwnership, EmbeddedSubscription};
use self::reader::EmbeddedReader;
use self::store::Store;
use self::writer::EmbeddedWriter;
use crate::batch_check::check_command;
use crate::log::Enqueued;
use crate::{
    AppendError, Cursor, Error, Log, LogConfig, LogReader, NewRecord, Ownership, Shard, ShardWriter,
    Subscription, Topics,
};

/// The embedded log's folder, limits and name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Name, partitions and limits.
    pub log: LogConfig,
    /// The log's own folder, made when missing. `millrace-data/log` by default.
    pub path: PathBuf,
    /// Most appends and enqueued commands waiting for the commit thread; more appends wait in [`ShardWriter::append`], more
    /// commands are refused. 4,096 by default.
    pub commit_queue_len_max: usize,
    /// Most bytes of records that one sync covers (a single batch may be larger). 16 MiB by default.
    pub commit_bytes_max: usize,
    /// Cache of stored blocks, bytes. 32 MiB by default.
    pub cache_bytes_max: u64,
    /// Most bytes of records in memory before they go to a file; up to three tables wait for theirs. 16 MiB by default.
    pub memory_table_bytes_max: u64,
    /// Bytes of the disk that are left free: what would take from them is refused before it is written, so that a disk
    /// that fills up leaves nothing in doubt, and the database can still merge its files. 256 MiB by default; with 0 the
    /// disk is not looked at.
    pub disk_reserve_bytes: u64,
    /// How long a failed write is followed by attempts to open the log again before the log gives up and the process ends,
    /// milliseconds; a full disk is waited for without end. 20,000 by default.
    pub reopen_timeout_ms: u64,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            log: LogConfig::default(),
            path: PathBuf::from("millrace-data/log"),
            commit_queue_len_max: 4_096,
            commit_bytes_max: 16 << 20,
            cache_bytes_max: 32 << 20,
            memory_table_bytes_max: 16 << 20,
            disk_reserve_bytes: 256 << 20,
            reopen_timeout_ms: 20_000,
        }
    }
}

/// The embedded log, open. Its folder stays locked until this handle and all writers and readers are dropped.
///
/// A disk that is full, or fails for a while, costs no restart: what cannot be written is refused, what may have been
/// written is unknown until the log has read its own disk again, and then it goes on.
pub struct EmbeddedLog {
    store: Arc<Store>,
    requests: Sender<Request>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedLog {
    /// Opens the log in its folder, making it when there is none.
    ///
    /// Fails with [`Error::FolderLocked`] when somebody has it open, with [`Error::Mismatch`] when it was made with
    /// another namespace, number of partitions or format, with [`Error::ReadOnly`] when it cannot be written to, and with
    /// [`Error::Damaged`] when something acknowledged cannot be read. A batch that a crash has left unfinished is cut off.
    pub fn open(config: EmbeddedConfig) -> Result<Self, Error> {
        config.log.check()?;
        if config.commit_queue_len_max == 0 || config.commit_bytes_max == 0 {
            let reason = "commit_queue_len_max and commit_bytes_max must not be 0".to_owned();
            return Err(Error::Config { reason });
        }
        let (requests, queue) = crossbeam_channel::bounded(config.commit_queue_len_max);
        let store = Arc::new(Store::open(config)?);
        let committer = committer::start(Arc::clone(&store), queue)?;
        Ok(Self { store, requests, committer: Mutex::new(Some(committer)) })
    }
}

impl Log for EmbeddedLog {
    fn topics(&self) -> &Topics {
        &self.store.topics
    }

    fn partitions(&self) -> u32 {
        self.store.config.log.partitions
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn open_writer(&self, shard: Shard) -> Result<Box<dyn ShardWriter>, Error> {
        let writer = EmbeddedWriter::open(Arc::clone(&self.store), self.requests.clone(), shard)?;
        Ok(Box::new(writer))
    }

    fn open_reader(&self, from: &[Cursor]) -> Result<Box<dyn LogReader>, Error> {
        Ok(Box::new(EmbeddedReader::open(Arc::clone(&self.store), from)?))
    }

    fn stable_end(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.store.stable_end(topic, partition)
    }

    fn subscribe(&self, group: &str, topics: &[Arc<str>]) -> Result<Box<dyn Subscription>, Error> {
        Ok(Box::new(EmbeddedSubscription::open(
            Arc::clone(&self.store),
            self.requests.clone(),
            group,
            topics,
        )?))
    }

    fn ownership(&self) -> Result<Box<dyn Ownership>, Error> {
        Ok(Box::new(EmbeddedOwnership::open(Arc::clone(&self.store))?))
    }

    fn enqueue(&self, record: NewRecord, done: Enqueued) {
        if let Err(error) = check_command(&record, &self.store.topics, &self.store.config.log) {
            return done(Err(AppendError::not_written(error)));
        }
        match self.requests.try_send(Request::Enqueue { record, done }) {
            Ok(()) => {}
            Err(TrySendError::Full(Request::Enqueue { done, .. })) => {
                done(Err(AppendError::not_written("the commit thread's queue is full")));
            }
            Err(TrySendError::Disconnected(Request::Enqueue { done, .. })) => {
                done(Err(AppendError::not_written(Error::Closed)));
            }
            Err(_) => unreachable!("what was not sent is what was given"),
        }
    }

    fn close(&self) {
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(committer) = committer {
            // Requests before this one are answered; those behind it find the queue closed.
            let _ = self.requests.send(Request::Stop);
            if committer.join().is_err() {
                tracing::error!("the log's commit thread panicked");
            }
            self.store.close();
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}
