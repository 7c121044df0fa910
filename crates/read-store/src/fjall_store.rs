//! The store in one folder of one process, on fjall.
//!
//! Rows and checkpoints lie in **one** keyspace. fjall flushes each keyspace's memory table on its own and does not
//! sync the journal before it does; with two keyspaces a power cut could keep a flushed checkpoint and lose the rows
//! that led to it. In one keyspace everything lies in one memory table and one order of writes, so that what a crash
//! leaves is always the state after some batch, never a checkpoint without its rows.
//!
//! A batch is handed to the operating system, not synced: it survives the end of the process, and a power cut costs
//! the last batches, rows and checkpoint alike, which the projector then folds again. Syncing would buy nothing, since
//! the log has it all.

mod encoding;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use serde::{Deserialize, Serialize};

use self::encoding::{
    Interner, checkpoint_key, checkpoint_prefix, checkpoint_source, row_key, row_prefix, table_prefix,
};
use crate::row::check_key;
use crate::{ChangeBatch, Checkpoint, Error, Page, PageCursor, ReadStore, Row, RowKey, Table};

/// The format of keys and values. A folder of another format is refused.
const FORMAT_VERSION: u64 = 1;
/// What batches leave free on the disk, bytes: a write that fails would stop the database until the process is started
/// again, while one that is refused is tried again by its projector.
const DISK_RESERVE_BYTES: u64 = 32 << 20;

/// Rows removed in one batch when a table goes.
const REMOVED_AT_ONCE: usize = 1_000;

/// The store's folder and limits. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FjallConfig {
    /// The store's own folder, made when missing. `millrace-data/read` by default.
    pub path: PathBuf,
    /// Cache of stored blocks, bytes. 16 MiB by default.
    pub cache_bytes_max: u64,
    /// Most bytes of rows in memory before they go to a file. 16 MiB by default.
    pub memory_table_bytes_max: u64,
}

impl Default for FjallConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("millrace-data/read"),
            cache_bytes_max: 16 << 20,
            memory_table_bytes_max: 16 << 20,
        }
    }
}

/// The store, open. Its folder stays locked until this is dropped.
///
/// Calls block for as long as the disk takes, and never wait for anything else: a page has a limit, and that bounds
/// how long a caller's thread is held.
pub struct FjallStore {
    path: PathBuf,
    database: Database,
    rows: Keyspace,
    topics: Interner,
}

impl FjallStore {
    /// Opens the store in its folder, making it when there is none.
    ///
    /// Fails with [`Error::FolderLocked`] when somebody has it open, with [`Error::FormatMismatch`] when another
    /// version of this program wrote it.
    pub fn open(config: FjallConfig) -> Result<Self, Error> {
        let opening = |e| Error::backend("opening the read models", e);
        std::fs::create_dir_all(&config.path)
            .map_err(|e| Error::backend("making the folder of the read models", e))?;
        // Of several worker threads the first would hand a waiting merge on, and get it back, for as long as another merge
        // lasts.
        let database = Database::builder(&config.path).cache_size(config.cache_bytes_max).worker_threads(1);
        let database = database.open().map_err(|e| match e {
            fjall::Error::Locked => Error::FolderLocked { path: config.path.clone() },
            other => opening(other),
        })?;
        let meta = database.keyspace("meta", KeyspaceCreateOptions::default).map_err(opening)?;
        match meta.get("format").map_err(opening)? {
            None => {
                meta.insert("format", FORMAT_VERSION.to_be_bytes()).map_err(opening)?;
                database.persist(PersistMode::SyncAll).map_err(opening)?;
            }
            Some(bytes) => {
                let found = encoding::number(&bytes, "the format")?;
                if found != FORMAT_VERSION {
                    return Err(Error::FormatMismatch { path: config.path, expected: FORMAT_VERSION, found });
                }
            }
        }
        let memory_table_bytes_max = config.memory_table_bytes_max;
        // Files no larger than a memory table: what several of them are merged with is then no larger than they are.
        let files = Arc::new(Leveled::default().with_table_target_size(memory_table_bytes_max));
        let options = || {
            let options = KeyspaceCreateOptions::default().max_memtable_size(memory_table_bytes_max);
            options.compaction_strategy(Arc::clone(&files) as _)
        };
        let rows = database.keyspace("rows", options).map_err(opening)?;
        Ok(Self { path: config.path, database, rows, topics: Interner::default() })
    }

    fn read(&self, key: &RowKey) -> Result<Option<Row>, Error> {
        let stored = self.rows.get(row_key(key)).map_err(reading)?;
        stored
            .map(|value| encoding::row(key.partition_key.clone(), key.sort_key.clone(), &value, &self.topics))
            .transpose()
    }

    fn read_range(&self, prefix: &[u8], range: fjall::Iter, limit: usize) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        for entry in range.take(limit) {
            let (key, value) = entry.into_inner().map_err(reading)?;
            let Some((partition_key, sort_key)) = encoding::keys_in_table(&key, prefix)? else { break };
            rows.push(encoding::row(partition_key, sort_key, &value, &self.topics)?);
        }
        Ok(rows)
    }

    fn stored_checkpoint(&self, checkpoint: &Checkpoint) -> Result<Option<u64>, Error> {
        let stored = self.rows.get(checkpoint_key(checkpoint.table, &checkpoint.source)).map_err(reading)?;
        stored.map(|bytes| encoding::number(&bytes, "a checkpoint")).transpose()
    }
}

#[async_trait]
impl ReadStore for FjallStore {
    async fn apply(&self, batch: ChangeBatch) -> Result<(), Error> {
        if service_kit::free_bytes(&self.path).is_some_and(|free| free < DISK_RESERVE_BYTES) {
            return Err(Error::backend("writing the read models", "the disk is full"));
        }
        for checkpoint in &batch.checkpoints {
            if let Some(stored) = self.stored_checkpoint(checkpoint)?
                && stored > checkpoint.next_offset
            {
                return Err(Error::CheckpointBehind {
                    table: checkpoint.table,
                    source_partition: checkpoint.source.clone(),
                    stored,
                    offered: checkpoint.next_offset,
                });
            }
        }
        // Handed to the operating system: the default leaves the batch in this process's own buffer.
        let mut writes = self.database.batch().durability(Some(PersistMode::Buffer));
        for change in batch.changes {
            change.key.check()?;
            match &change.document {
                Some(document) => writes.insert(
                    &self.rows,
                    row_key(&change.key),
                    encoding::value(document, &change.source, change.offset)?,
                ),
                None => writes.remove(&self.rows, row_key(&change.key)),
            }
        }
        for checkpoint in &batch.checkpoints {
            let key = checkpoint_key(checkpoint.table, &checkpoint.source);
            writes.insert(&self.rows, key, checkpoint.next_offset.to_be_bytes());
        }
        writes.commit().map_err(|e| Error::backend("writing the read models", e))
    }

    async fn get(&self, key: &RowKey) -> Result<Option<Row>, Error> {
        self.read(key)
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, Error> {
        keys.iter().map(|key| self.read(key)).collect()
    }

    async fn scan(
        &self,
        table: Table,
        partition_key: &str,
        from_sort_key: &str,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        check_key(partition_key)?;
        check_key(from_sort_key)?;
        let from = row_key(&RowKey::new(table, partition_key, from_sort_key));
        let end = encoding::after_prefix(row_prefix(table, partition_key));
        self.read_range(&table_prefix(table), self.rows.range(from..end), limit)
    }

    async fn scan_table(
        &self,
        table: Table,
        after: Option<&PageCursor>,
        limit: usize,
    ) -> Result<Page, Error> {
        let prefix = table_prefix(table);
        let from = match after {
            None => prefix.clone(),
            Some(cursor) => {
                let mut key = row_key(&RowKey::new(table, &*cursor.partition_key, &*cursor.sort_key));
                // No key lies between a key and itself with a zero byte behind it.
                key.push(0);
                key
            }
        };
        let end = encoding::after_prefix(prefix.clone());
        let rows = self.read_range(&prefix, self.rows.range(from..end), limit.saturating_add(1))?;
        Ok(Page::of_one_more(rows, limit))
    }

    async fn checkpoints(&self, table: Table) -> Result<Vec<Checkpoint>, Error> {
        let prefix = checkpoint_prefix(table);
        let mut checkpoints = Vec::new();
        for entry in self.rows.prefix(&prefix) {
            let (key, value) = entry.into_inner().map_err(reading)?;
            let source = checkpoint_source(&key, prefix.len(), &self.topics)?;
            let next_offset = encoding::number(&value, "a checkpoint")?;
            checkpoints.push(Checkpoint { table, source, next_offset });
        }
        Ok(checkpoints)
    }

    async fn drop_table(&self, table: Table) -> Result<(), Error> {
        for prefix in [checkpoint_prefix(table), table_prefix(table)] {
            let end = encoding::after_prefix(prefix.clone());
            let mut from = prefix;
            // In portions: a million tombstones of one batch would all lie in memory at once. Each begins behind the last one,
            // so as not to pass by what is removed already.
            loop {
                let mut removals = self.database.batch().durability(Some(PersistMode::Buffer));
                let mut last = None;
                for entry in self.rows.range(from.clone()..end.clone()).take(REMOVED_AT_ONCE) {
                    let key = entry.key().map_err(reading)?;
                    removals.remove(&self.rows, key.clone());
                    last = Some(key);
                }
                let Some(last) = last else { break };
                removals.commit().map_err(|e| Error::backend("dropping a table", e))?;
                from = last.to_vec();
                from.push(0);
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), Error> {
        self.database.persist(PersistMode::SyncAll).map_err(|e| Error::backend("syncing the read models", e))
    }
}

fn reading(error: fjall::Error) -> Error {
    Error::backend("reading the read models", error)
}
