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
mod group;
mod reader;
mod store;
mod stored_record;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use serde::{Deserialize, Serialize};

use self::committer::{EmbeddedWriter, Request};
use self::group::{EmbeddedOwnership, EmbeddedSubscription};
use self::reader::EmbeddedReader;
use self::store::Store;
use crate::{Cursor, Error, Log, LogConfig, LogReader, Ownership, Shard, ShardWriter, Subscription, Topics};

/// The embedded log's folder, limits and name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Name, partitions and limits.
    pub log: LogConfig,
    /// The log's own folder, made when missing. `millrace-data/log` by default.
    pub path: PathBuf,
    /// Most appends waiting for the commit thread; more wait in [`ShardWriter::append`]. 64 by default.
    pub commit_queue_len_max: usize,
    /// Most bytes of records that one sync covers (a single batch may be larger). 16 MiB by default.
    pub commit_bytes_max: usize,
    /// Cache of stored blocks, bytes. 32 MiB by default.
    pub cache_bytes_max: u64,
    /// Where tests let a write fail.
    #[serde(skip)]
    pub fail_point: FailPoint,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            log: LogConfig::default(),
            path: PathBuf::from("millrace-data/log"),
            commit_queue_len_max: 64,
            commit_bytes_max: 16 << 20,
            cache_bytes_max: 32 << 20,
            fail_point: FailPoint::default(),
        }
    }
}

/// Lets a test make the next write fail, before or after it reached the disk. Disarmed by default.
#[derive(Clone, Debug, Default)]
pub struct FailPoint(Arc<AtomicU8>);

impl FailPoint {
    /// The next commit fails, and nothing of it is written.
    pub fn fail_before_sync(&self) {
        self.0.store(1, Ordering::SeqCst);
    }

    /// The next commit is written and synced, and then reported as failed.
    pub fn fail_after_sync(&self) {
        self.0.store(2, Ordering::SeqCst);
    }

    fn take(&self) -> u8 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// The embedded log, open. Its folder stays locked until this handle and all writers and readers are dropped.
pub struct EmbeddedLog {
    store: Arc<Store>,
    requests: Sender<Request>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedLog {
    /// Opens the log in its folder, making it when there is none.
    ///
    /// Fails with [`Error::FolderLocked`] when somebody has it open, with [`Error::Mismatch`] when it was made with
    /// another namespace, number of partitions or format.
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
        Ok(Box::new(EmbeddedSubscription::open(Arc::clone(&self.store), group, topics)?))
    }

    fn ownership(&self) -> Result<Box<dyn Ownership>, Error> {
        Ok(Box::new(EmbeddedOwnership::open(Arc::clone(&self.store))?))
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
