//! The open fjall database: its keyspaces, and the facts noted about the log.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use super::EmbeddedConfig;
use super::folder::{io_error, sync_folder};
use crate::{Error, Shard, Topics, WriterTerm};

/// The format of the rows. A log of another format is refused.
const FORMAT_VERSION: u64 = 1;

/// Memory tables that wait for their file, and files that wait for being merged, from which on fjall's own commit could
/// wait without end if the threads that work them off have failed: writers wait in front of it instead. fjall halts at 4
/// and 30.
const WAITING_MEMORY_TABLES_MAX: usize = 3;
const WAITING_FILES_MAX: usize = 28;

/// How long fjall may hold its lock after its database was closed, and how often it is asked for meanwhile.
const CLOSING_MAX: Duration = Duration::from_secs(10);
const CLOSING_PAUSE: Duration = Duration::from_millis(2);

/// The database, open.
pub(crate) struct LogDatabase {
    database: Database,
    /// Facts about the log: `format`, `partitions`, `namespace`, `topic/<name>`, `term/<shard>`.
    pub(crate) meta: Keyspace,
    pub(crate) records: Keyspace,
    /// Where each group goes on: `<group>\0<topic number><partition>` → next offset.
    pub(crate) progress: Keyspace,
}

impl LogDatabase {
    /// Opens the database in its folder, which is ours, making it when there is none. Its journals must be whole.
    pub(crate) fn open(path: &Path, config: &EmbeddedConfig) -> Result<Self, Error> {
        let failed = |error| database_error(path, "opening the log's database", error);
        let deadline = Instant::now() + CLOSING_MAX;
        let database = loop {
            // Of several worker threads the first would hand a waiting merge on, and get it back, for as long as another
            // merge lasts.
            match Database::builder(path).cache_size(config.cache_bytes_max).worker_threads(1).open() {
                // Nobody else can hold it, for the folder has a lock of its own: it is this database as it was opened
                // before, whose threads let go of it a moment after it was closed.
                Err(fjall::Error::Locked) if Instant::now() < deadline => std::thread::sleep(CLOSING_PAUSE),
                opened => break opened.map_err(failed)?,
            }
        };
        // Files no larger than a memory table: what several of them are merged with is then no larger than they are.
        let files = Arc::new(Leveled::default().with_table_target_size(config.memory_table_bytes_max));
        let options = || {
            let options = KeyspaceCreateOptions::default().max_memtable_size(config.memory_table_bytes_max);
            options.compaction_strategy(Arc::clone(&files) as _)
        };
        let keyspace = |name| database.keyspace(name, options).map_err(failed);
        let (meta, records, progress) = (keyspace("meta")?, keyspace("records")?, keyspace("progress")?);
        // fjall syncs a keyspace's folder, but not its name.
        sync_folder(&path.join("keyspaces"))
            .map_err(|error| io_error(path, "syncing the log's folder", error))?;
        Ok(Self { database, meta, records, progress })
    }

    /// A batch that is durable once it is committed.
    pub(crate) fn batch(&self) -> OwnedWriteBatch {
        self.database.batch().durability(Some(PersistMode::SyncData))
    }

    /// Whether the database still takes writes: one of its own threads may have failed (on a full disk, say). What is
    /// written stays readable, and nothing that was acknowledged depends on those threads.
    pub(crate) fn is_sound(&self) -> bool {
        // Nothing is buffered between batches, so this looks at the mark and does nothing else.
        self.database.persist(PersistMode::Buffer).is_ok()
    }

    /// Whether more is waiting to be written to files than a commit may add to.
    pub(crate) fn is_behind(&self) -> bool {
        self.records.sealed_memtable_count() >= WAITING_MEMORY_TABLES_MAX
            || self.records.l0_table_count() >= WAITING_FILES_MAX
    }

    /// Notes what cannot change when the log is new, compares it when it is not; returns the number of every topic.
    pub(crate) fn check(&self, config: &EmbeddedConfig, topics: &Topics) -> Result<Vec<u16>, Error> {
        let mut news = self.batch();
        self.check_facts(config, &mut news)?;
        let numbers = self.number_topics(topics, &mut news)?;
        // One batch, so that the rule of the journals holds from the first row on. An empty one writes nothing.
        news.commit().map_err(|error| database_error(&config.path, "noting the log's facts", error))?;
        Ok(numbers)
    }

    fn check_facts(&self, config: &EmbeddedConfig, news: &mut OwnedWriteBatch) -> Result<(), Error> {
        let facts = [
            ("format", "format version", FORMAT_VERSION),
            ("partitions", "partitions", config.log.partitions.into()),
        ];
        for (key, setting, expected) in facts {
            match self.number(key)? {
                None => news.insert(&self.meta, key, expected.to_be_bytes()),
                Some(found) if found == expected => {}
                Some(found) => {
                    let (expected, found) = (expected.to_string(), found.to_string());
                    return Err(Error::Mismatch { setting, expected, found });
                }
            }
        }
        let expected = &config.log.namespace;
        match self.meta.get("namespace").map_err(read_error)? {
            None => news.insert(&self.meta, "namespace", expected.as_bytes()),
            Some(found) if *found == *expected.as_bytes() => {}
            Some(found) => {
                let found = String::from_utf8_lossy(&found).into_owned();
                return Err(Error::Mismatch { setting: "namespace", expected: expected.clone(), found });
            }
        }
        Ok(())
    }

    /// The number of every topic; topics that are new since the log was made get the next free ones.
    fn number_topics(&self, topics: &Topics, news: &mut OwnedWriteBatch) -> Result<Vec<u16>, Error> {
        let key = |topic: &str| format!("topic/{topic}");
        let damaged = |topic: &str| Error::Damaged { what: format!("the number of topic {topic}") };
        let mut numbers = Vec::new();
        for topic in topics.all() {
            let number = self.number(&key(topic))?;
            numbers.push(number.map(|n| u16::try_from(n).map_err(|_| damaged(topic))).transpose()?);
        }
        let taken: HashSet<u16> = numbers.iter().flatten().copied().collect();
        if taken.len() < numbers.iter().flatten().count() {
            return Err(Error::Damaged { what: "two topics have one number".to_owned() });
        }
        let mut next = taken.iter().max().map_or(0, |last| last + 1);
        let mut all = Vec::new();
        for (topic, number) in topics.all().iter().zip(numbers) {
            all.push(number.unwrap_or_else(|| {
                news.insert(&self.meta, key(topic).as_bytes(), u64::from(next).to_be_bytes());
                next += 1;
                next - 1
            }));
        }
        Ok(all)
    }

    /// The term of the shard's last opened writer; 0 when there never was one.
    pub(crate) fn last_term(&self, shard: Shard) -> Result<WriterTerm, Error> {
        Ok(WriterTerm::new(self.number(&term_key(shard))?.unwrap_or(0)))
    }

    /// Adds the shard's new term to a batch.
    pub(crate) fn put_term(&self, batch: &mut OwnedWriteBatch, shard: Shard, term: WriterTerm) {
        batch.insert(&self.meta, term_key(shard).as_bytes(), term.get().to_be_bytes());
    }

    fn number(&self, key: &str) -> Result<Option<u64>, Error> {
        self.meta.get(key).map_err(read_error)?.map(|bytes| number(&bytes, key)).transpose()
    }
}

fn term_key(shard: Shard) -> String {
    format!("term/{shard}")
}

pub(crate) fn number(bytes: &[u8], what: &str) -> Result<u64, Error> {
    let bytes = bytes.try_into().map_err(|_| Error::Damaged { what: format!("{what} is not a number") })?;
    Ok(u64::from_be_bytes(bytes))
}

pub(crate) fn read_error(error: fjall::Error) -> Error {
    damage(&error).unwrap_or_else(|| Error::backend("reading the log's database", error))
}

pub(crate) fn database_error(path: &Path, what: &'static str, error: fjall::Error) -> Error {
    match error {
        fjall::Error::Locked => Error::FolderLocked { path: path.to_owned() },
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            io_error(path, what, error)
        }
        error => damage(&error).unwrap_or_else(|| Error::backend(what, error)),
    }
}

/// What fjall finds by its checksums.
fn damage(error: &fjall::Error) -> Option<Error> {
    use fjall::LsmError;
    let is_damage = match error {
        fjall::Error::Storage(error) => !matches!(error, LsmError::Io(_)),
        fjall::Error::JournalRecovery(_)
        | fjall::Error::InvalidVersion(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidTag(_)
        | fjall::Error::Decompress(_)
        | fjall::Error::Unrecoverable => true,
        _ => false,
    };
    is_damage.then(|| Error::Damaged { what: error.to_string() })
}
