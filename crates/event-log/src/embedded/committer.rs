//! The commit thread: the only writer of the database. What the shards have queued is committed together, so that
//! concurrent batches share one sync.
//!
//! Before a group is written nothing can be in doubt: a disk without room, a database that has stopped, or one that does
//! not keep up, refuses it as not written. A write or a sync that fails leaves the group unknown, whatever the error
//! says; then the database is closed and opened again (`reopening.rs`), and what is found there is the truth.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use schemas::Position;
use service_kit::{Chain, FailPoint, Fault, free_bytes};

use super::database::LogDatabase;
use super::store::Store;
use super::stored_record::{encode, row_key};
use crate::error::Source;
use crate::log::Enqueued;
use crate::{AppendError, Appended, Batch, Cursor, Error, NewRecord, Shard, WriterTerm};

/// How long a group waits for a database that does not keep up.
const BEHIND_WAIT_MAX: Duration = Duration::from_secs(10);
const BEHIND_PAUSE: Duration = Duration::from_millis(10);

/// What the commit thread is asked for.
pub(crate) enum Request {
    /// Append a (checked) batch under a term.
    Append { shard: Shard, term: WriterTerm, batch: Batch, answer: Sender<Result<Appended, AppendError>> },
    /// Add a (checked) command.
    Enqueue { record: NewRecord, done: Enqueued },
    /// Note where a group goes on.
    Progress { group: Box<str>, cursors: Vec<Cursor>, answer: Sender<Result<(), Error>> },
    /// Begin a new term of a shard.
    Open { shard: Shard, answer: Sender<Result<WriterTerm, Error>> },
    /// End.
    Stop,
}

impl Request {
    /// Answers that nothing was done.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Append { answer, .. } => drop(answer.send(Err(AppendError::not_written(error)))),
            Self::Enqueue { done, .. } => done(Err(AppendError::not_written(error))),
            Self::Progress { answer, .. } => drop(answer.send(Err(error))),
            Self::Open { answer, .. } => drop(answer.send(Err(error))),
            Self::Stop => {}
        }
    }
}

/// Starts the commit thread.
pub(crate) fn start(store: Arc<Store>, queue: Receiver<Request>) -> Result<JoinHandle<()>, Error> {
    let mut committer = Committer::new(store);
    std::thread::Builder::new()
        .name("log-commit".to_owned())
        .spawn(move || committer.run(&queue))
        .map_err(|e| Error::backend("starting the commit thread", e))
}

pub(super) struct Committer {
    pub(super) store: Arc<Store>,
    /// The current term of each shard opened since the start.
    terms: HashMap<Shard, WriterTerm>,
    /// Whether the last look at the disk found it full: told once.
    is_disk_full: bool,
    /// Whether the end was asked for while the database was opened again.
    pub(super) is_ending: bool,
}

/// Writes that one sync covers.
#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    bytes: usize,
}

enum Write {
    Append { shard: Shard, term: WriterTerm, batch: Batch, answer: Sender<Result<Appended, AppendError>> },
    Enqueue { batch: Batch, done: Enqueued },
    Progress { group: Box<str>, cursors: Vec<Cursor>, answer: Sender<Result<(), Error>> },
}

impl Write {
    fn answer(self, outcome: Result<Vec<Position>, &Failure>) {
        match self {
            Self::Append { shard, term, answer, .. } => {
                let failed = |failure: &Failure| failure.as_append_error(shard, term);
                drop(answer.send(outcome.map(Appended::new).map_err(failed)));
            }
            Self::Enqueue { done, .. } => done(match outcome {
                Ok(positions) => positions
                    .into_iter()
                    .next()
                    .ok_or_else(|| AppendError::unknown("a command got no position")),
                // No fence holds a command back.
                Err(failure) => Err(failure.as_append_error(Shard::new(0), WriterTerm::default())),
            }),
            Self::Progress { answer, .. } => {
                let failed = |failure: &Failure| Error::backend("noting progress", failure.source());
                drop(answer.send(outcome.map(drop).map_err(failed)));
            }
        }
    }
}

/// Why a group was not committed, or may not have been.
enum Failure {
    /// Nothing was handed to the database, which is sound.
    Refused(Arc<Error>),
    /// Nothing was handed to the database, which takes nothing any more.
    Stopped(Arc<Error>),
    /// The write or the sync failed: it may have reached the disk.
    Broken(Arc<Error>),
    /// An armed fail point says so.
    Injected(Fault),
}

/// What opening the database again takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mending {
    /// One of its own threads has failed; what the journals hold was synced.
    Reopen,
    /// A write or a sync of the newest journal has failed.
    RewriteJournal,
}

impl Failure {
    fn as_append_error(&self, shard: Shard, term: WriterTerm) -> AppendError {
        match self {
            Self::Refused(error) | Self::Stopped(error) => AppendError::not_written(Arc::clone(error)),
            Self::Injected(Fault::NotWritten) => AppendError::not_written("a fail point is armed"),
            Self::Broken(error) => AppendError::unknown(Arc::clone(error)),
            Self::Injected(Fault::Fenced) => AppendError::Fenced { shard, term, source: None },
            Self::Injected(Fault::Unknown) => AppendError::unknown("a fail point is armed"),
        }
    }

    fn source(&self) -> Source {
        match self {
            Self::Refused(error) | Self::Stopped(error) | Self::Broken(error) => Arc::clone(error).into(),
            Self::Injected(_) => "a fail point is armed".into(),
        }
    }

    /// How the database has to be opened again, if it has.
    fn mending(&self) -> Option<Mending> {
        match self {
            Self::Broken(_) | Self::Injected(Fault::Unknown) => Some(Mending::RewriteJournal),
            Self::Stopped(_) => Some(Mending::Reopen),
            Self::Refused(_) | Self::Injected(_) => None,
        }
    }
}

impl Committer {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, terms: HashMap::new(), is_disk_full: false, is_ending: false }
    }

    fn run(&mut self, queue: &Receiver<Request>) {
        let mut group = Group::default();
        while !self.is_ending {
            // Wait only with empty hands: whatever has been queued during the last sync goes into the next one.
            let request = if group.writes.is_empty() {
                queue.recv().ok()
            } else if group.bytes < self.store.config.commit_bytes_max {
                match queue.try_recv() {
                    Ok(request) => Some(request),
                    Err(_) => {
                        self.commit(std::mem::take(&mut group), queue);
                        continue;
                    }
                }
            } else {
                self.commit(std::mem::take(&mut group), queue);
                continue;
            };
            match request {
                Some(Request::Open { shard, answer }) => {
                    // Appends queued before belong to earlier terms and are committed under them.
                    self.commit(std::mem::take(&mut group), queue);
                    if !self.is_ending {
                        self.open(shard, &answer, queue);
                    }
                }
                Some(Request::Stop) | None => {
                    self.commit(std::mem::take(&mut group), queue);
                    return;
                }
                Some(request) => self.add(&mut group, request),
            }
        }
    }

    fn add(&mut self, group: &mut Group, request: Request) {
        let bytes = match &request {
            Request::Append { batch, .. } => batch.records.iter().map(|record| record.size_bytes()).sum(),
            Request::Enqueue { record, .. } => record.size_bytes(),
            _ => 0,
        };
        if let Err(error) = self.check_room(group.bytes + bytes) {
            return request.refuse(error);
        }
        match request {
            Request::Append { shard, term, answer, .. } if self.terms.get(&shard) != Some(&term) => {
                drop(answer.send(Err(AppendError::Fenced { shard, term, source: None })));
            }
            Request::Append { shard, term, batch, answer } => {
                group.bytes += bytes;
                group.writes.push(Write::Append { shard, term, batch, answer });
            }
            Request::Enqueue { record, done } => {
                group.bytes += bytes;
                group.writes.push(Write::Enqueue { batch: Batch::of(vec![record]), done });
            }
            Request::Progress { group: name, cursors, answer } => {
                group.writes.push(Write::Progress { group: name, cursors, answer });
            }
            Request::Open { .. } | Request::Stop => {}
        }
    }

    /// Refuses, before anything is written, what the disk has no room for beside the reserve. Says so once, and once
    /// when there is room again.
    fn check_room(&mut self, bytes: usize) -> Result<(), Error> {
        let reserve_bytes = self.store.config.disk_reserve_bytes;
        if reserve_bytes == 0 {
            return Ok(());
        }
        let needed = reserve_bytes.saturating_add(bytes as u64);
        let free_bytes = free_bytes(self.store.folder.path()).unwrap_or(u64::MAX);
        if free_bytes >= needed {
            if std::mem::take(&mut self.is_disk_full) {
                tracing::warn!(free_bytes, "there is room on the disk again; the log goes on");
            }
            return Ok(());
        }
        let path = self.store.folder.path().to_owned();
        let error = Error::DiskFull { path, free_bytes, reserve_bytes };
        if !std::mem::replace(&mut self.is_disk_full, true) {
            tracing::error!(%error, "the log takes nothing until there is room; nothing is lost");
        }
        Err(error)
    }

    /// Writes, syncs, publishes, answers; opens the database again when that failed.
    fn commit(&mut self, group: Group, queue: &Receiver<Request>) {
        if group.writes.is_empty() {
            return;
        }
        let mut ends = HashMap::new();
        let written = self.write(&group.writes, &mut ends).and_then(|positions| {
            self.store.publish(ends.into_iter());
            match FailPoint::EMBEDDED_BEFORE_ANSWER.pass(&self.scope()) {
                Some(fault) => Err(Failure::Injected(fault)),
                None => Ok(positions),
            }
        });
        match written {
            Ok(positions) => {
                for (write, positions) in group.writes.into_iter().zip(positions) {
                    write.answer(Ok(positions));
                }
            }
            Err(failure) => {
                let mending = failure.mending();
                if mending.is_some() {
                    let error = failure.source();
                    tracing::error!(error = %Chain(&*error), "a write of the log failed; it is opened again");
                    // Before anybody is answered: whoever then asks again must not find it open.
                    self.store.close_database();
                }
                for write in group.writes {
                    write.answer(Err(&failure));
                }
                if let Some(mending) = mending {
                    self.reopen(mending, queue);
                }
            }
        }
    }

    /// Puts the writes into one database batch and syncs it; returns their records' positions and the new ends.
    fn write(&self, writes: &[Write], ends: &mut HashMap<usize, u64>) -> Result<Vec<Vec<Position>>, Failure> {
        let mut all = Vec::with_capacity(writes.len());
        self.write_with(
            FailPoint::EMBEDDED_BEFORE_WRITE,
            FailPoint::EMBEDDED_AFTER_WRITE,
            |database, rows| {
                for write in writes {
                    let mut positions = Vec::new();
                    let consumed = match write {
                        Write::Append { batch, .. } => {
                            positions = self.add_records(database, rows, batch, ends)?;
                            batch.consumed.as_ref().map(|c| (&**c.group.group(), &c.offsets))
                        }
                        Write::Enqueue { batch, .. } => {
                            positions = self.add_records(database, rows, batch, ends)?;
                            None
                        }
                        Write::Progress { group, cursors, .. } => Some((&**group, cursors)),
                    };
                    for (group, cursor) in
                        consumed.iter().flat_map(|(g, cursors)| cursors.iter().map(|c| (*g, c)))
                    {
                        self.store.put_progress(rows, database, group, cursor)?;
                    }
                    all.push(positions);
                }
                Ok(())
            },
        )?;
        Ok(all)
    }

    fn add_records(
        &self,
        database: &LogDatabase,
        rows: &mut fjall::OwnedWriteBatch,
        batch: &Batch,
        ends: &mut HashMap<usize, u64>,
    ) -> Result<Vec<Position>, Error> {
        let store = &self.store;
        let mut positions = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let slot = store.slot(&record.topic, record.partition)?;
            let end = ends.entry(slot).or_insert_with(|| store.end(slot));
            let value = encode(record).map_err(|e| Error::backend("encoding a record", e))?;
            rows.insert(&database.records, row_key(store.topic_number(slot), record.partition, *end), value);
            // Positions share the log's own topic names, not the callers'.
            let topic = store.partition(slot).0.clone();
            positions.push(Position { topic, partition: record.partition, offset: *end });
            *end += 1;
        }
        Ok(positions)
    }

    /// Commits what `fill` puts into a batch; durable when it returns.
    fn write_with(
        &self,
        before: FailPoint,
        after: FailPoint,
        fill: impl FnOnce(&LogDatabase, &mut fjall::OwnedWriteBatch) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        let refused = |error: Error| Failure::Refused(Arc::new(error));
        let mut failure = None;
        let looked = self.store.with(|database| {
            failure = self.write_to(database, before, after, fill).err();
            Ok(())
        });
        looked.map_err(refused)?;
        failure.map_or(Ok(()), Err)
    }

    fn write_to(
        &self,
        database: &LogDatabase,
        before: FailPoint,
        after: FailPoint,
        fill: impl FnOnce(&LogDatabase, &mut fjall::OwnedWriteBatch) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        self.wait_until_ready(database)?;
        let mut rows = database.batch();
        fill(database, &mut rows).map_err(|error| Failure::Refused(Arc::new(error)))?;
        if let Some(fault) = before.pass(&self.scope()) {
            return Err(Failure::Injected(fault));
        }
        rows.commit().map_err(|error| match error {
            // Looked at under the journal's lock, before anything is written to it.
            fjall::Error::Poisoned => Failure::Stopped(Arc::new(stopped())),
            error => Failure::Broken(Arc::new(Error::backend("writing to the log's journal", error))),
        })?;
        after.pass(&self.scope()).map_or(Ok(()), |fault| Err(Failure::Injected(fault)))
    }

    /// Waits for a database that is behind with its files, for a bounded time.
    fn wait_until_ready(&self, database: &LogDatabase) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            if !database.is_sound() {
                return Err(Failure::Stopped(Arc::new(stopped())));
            }
            if !database.is_behind() {
                return Ok(());
            }
            if began.elapsed() > BEHIND_WAIT_MAX {
                let timeout_ms = BEHIND_WAIT_MAX.as_millis() as u64;
                let error = Error::Timeout { what: "writing the log's records to files", timeout_ms };
                return Err(Failure::Refused(Arc::new(error)));
            }
            std::thread::sleep(BEHIND_PAUSE);
        }
    }

    /// Begins a new term and answers with it.
    fn open(&mut self, shard: Shard, answer: &Sender<Result<WriterTerm, Error>>, queue: &Receiver<Request>) {
        let opened = self.check_room(0).and_then(|()| self.store.with(|database| database.last_term(shard)));
        let term = match opened {
            Ok(last) => last.next(),
            Err(error) => return drop(answer.send(Err(error))),
        };
        let fill = |database: &LogDatabase, rows: &mut fjall::OwnedWriteBatch| {
            database.put_term(rows, shard, term);
            Ok(())
        };
        match self.write_with(FailPoint::EMBEDDED_BEFORE_TERM, FailPoint::EMBEDDED_AFTER_TERM, fill) {
            Ok(()) => {
                self.terms.insert(shard, term);
                drop(answer.send(Ok(term)));
            }
            Err(failure) => {
                let error = Error::backend("noting the writer's term", failure.source());
                tracing::error!(%shard, error = %Chain(&error), "a writer of the log was not opened");
                let mending = failure.mending();
                if mending.is_some() {
                    self.store.close_database();
                }
                drop(answer.send(Err(error)));
                if let Some(mending) = mending {
                    self.reopen(mending, queue);
                }
            }
        }
    }

    /// What fail points of this log are armed under.
    fn scope(&self) -> std::path::Display<'_> {
        self.store.config.path.display()
    }
}

fn stopped() -> Error {
    Error::backend("writing to the log", "its database has stopped; its own messages say why")
}
