//! The commit thread: the only writer of the database. What the shards have queued is committed together, so that
//! concurrent batches share one sync.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use fjall::PersistMode;
use schemas::Position;

use super::store::Store;
use super::stored_record::{encode, row_key};
use crate::batch_check::check_batch;
use crate::log::Enqueued;
use crate::{AppendError, Appended, Batch, BatchError, Error, NewRecord, Shard, ShardWriter, WriterTerm};

/// What the commit thread is asked for.
pub(crate) enum Request {
    /// Append a (checked) batch under a term.
    Append { shard: Shard, term: WriterTerm, batch: Batch, answer: Sender<Result<Appended, AppendError>> },
    /// Add a (checked) command.
    Enqueue { record: NewRecord, done: Enqueued },
    /// Begin a new term of a shard.
    Open { shard: Shard, answer: Sender<Result<WriterTerm, Error>> },
    /// End.
    Stop,
}

/// Starts the commit thread.
pub(crate) fn start(store: Arc<Store>, queue: Receiver<Request>) -> Result<JoinHandle<()>, Error> {
    let mut committer = Committer { store, terms: HashMap::new() };
    std::thread::Builder::new()
        .name("log-commit".to_owned())
        .spawn(move || committer.run(&queue))
        .map_err(|e| Error::backend("starting the commit thread", e))
}

struct Committer {
    store: Arc<Store>,
    /// The current term of each shard opened since the start.
    terms: HashMap<Shard, WriterTerm>,
}

/// Appends that one sync covers.
#[derive(Default)]
struct Group {
    appends: Vec<(Batch, Answer)>,
    bytes: usize,
}

/// Who hears how an append went.
enum Answer {
    Writer(Sender<Result<Appended, AppendError>>),
    Sender(Enqueued),
}

impl Answer {
    fn give(self, outcome: Result<Vec<Position>, AppendError>) {
        match self {
            Self::Writer(answer) => drop(answer.send(outcome.map(Appended::new))),
            Self::Sender(done) => done(outcome.and_then(|positions| {
                positions.into_iter().next().ok_or_else(|| AppendError::unknown("a command got no position"))
            })),
        }
    }
}

impl Committer {
    fn run(&mut self, queue: &Receiver<Request>) {
        let mut group = Group::default();
        loop {
            // Wait only with empty hands: whatever has been queued during the last sync goes into the next one.
            let request = if group.appends.is_empty() {
                queue.recv().ok()
            } else if group.bytes < self.store.config.commit_bytes_max {
                match queue.try_recv() {
                    Ok(request) => Some(request),
                    Err(_) => {
                        self.commit(std::mem::take(&mut group));
                        continue;
                    }
                }
            } else {
                self.commit(std::mem::take(&mut group));
                continue;
            };
            match request {
                Some(Request::Append { shard, term, batch, answer }) => {
                    self.add(&mut group, shard, term, batch, answer)
                }
                Some(Request::Enqueue { record, done }) if self.store.is_poisoned() => {
                    drop(record);
                    done(Err(AppendError::not_written(Error::Poisoned)));
                }
                Some(Request::Enqueue { record, done }) => {
                    group.bytes += record.size_bytes();
                    group.appends.push((Batch::of(vec![record]), Answer::Sender(done)));
                }
                Some(Request::Open { shard, answer }) => {
                    // Appends queued before belong to earlier terms and are committed under them.
                    self.commit(std::mem::take(&mut group));
                    let _ = answer.send(self.open(shard));
                }
                Some(Request::Stop) | None => {
                    self.commit(std::mem::take(&mut group));
                    return;
                }
            }
        }
    }

    fn add(
        &self,
        group: &mut Group,
        shard: Shard,
        term: WriterTerm,
        batch: Batch,
        answer: Sender<Result<Appended, AppendError>>,
    ) {
        if self.store.is_poisoned() {
            let _ = answer.send(Err(AppendError::not_written(Error::Poisoned)));
        } else if self.terms.get(&shard) != Some(&term) {
            let _ = answer.send(Err(AppendError::Fenced { shard, term, source: None }));
        } else {
            group.bytes += batch.records.iter().map(|record| record.size_bytes()).sum::<usize>();
            group.appends.push((batch, Answer::Writer(answer)));
        }
    }

    /// Writes, syncs, publishes, answers.
    fn commit(&mut self, group: Group) {
        if group.appends.is_empty() {
            return;
        }
        let batches: Vec<&Batch> = group.appends.iter().map(|(batch, _)| batch).collect();
        let mut ends = HashMap::new();
        let positions = match self.write(&batches, &mut ends) {
            Ok(positions) => positions,
            Err(Failure::Encoding(error)) => {
                // Nothing was handed to the database.
                for (_, answer) in group.appends {
                    answer.give(Err(AppendError::not_written(error.to_string())));
                }
                return;
            }
            Err(Failure::Write(error)) => {
                self.store.poison();
                tracing::error!(%error, "a write of the log failed; the log takes nothing more until it is opened again");
                for (_, answer) in group.appends {
                    answer.give(Err(AppendError::unknown(error.clone())));
                }
                return;
            }
        };
        self.store.publish(ends.into_iter());
        for ((_, answer), positions) in group.appends.into_iter().zip(positions) {
            answer.give(Ok(positions));
        }
    }

    /// Puts the batches into one database batch and syncs it; returns their records' positions and the new ends.
    fn write(
        &self,
        batches: &[&Batch],
        ends: &mut HashMap<usize, u64>,
    ) -> Result<Vec<Vec<Position>>, Failure> {
        let store = &self.store;
        let mut rows = store.database.batch().durability(Some(PersistMode::SyncData));
        let mut all = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut positions = Vec::with_capacity(batch.records.len());
            for record in &batch.records {
                let slot =
                    store.slot(&record.topic, record.partition).map_err(|e| Failure::Encoding(e.into()))?;
                let end = ends.entry(slot).or_insert_with(|| store.end(slot));
                let value = encode(record).map_err(|e| Failure::Encoding(e.into()))?;
                rows.insert(&store.records, row_key(store.topic_number(slot), record.partition, *end), value);
                // Positions share the log's own topic names, not the callers'.
                let topic = store.topics.all()[slot / store.config.log.partitions as usize].clone();
                positions.push(Position { topic, partition: record.partition, offset: *end });
                *end += 1;
            }
            if let Some(consumed) = &batch.consumed {
                for cursor in &consumed.offsets {
                    store
                        .put_progress(&mut rows, consumed.group.group(), cursor)
                        .map_err(|e| Failure::Encoding(e.into()))?;
                }
            }
            all.push(positions);
        }
        self.sync(rows)?;
        Ok(all)
    }

    fn sync(&self, rows: fjall::OwnedWriteBatch) -> Result<(), Failure> {
        let injected = self.store.config.fail_point.take();
        if injected == 1 {
            return Err(Failure::Write("injected failure before the sync".into()));
        }
        rows.commit().map_err(|e| Failure::Write(e.to_string()))?;
        if injected == 2 {
            return Err(Failure::Write("injected failure after the sync".into()));
        }
        Ok(())
    }

    fn open(&mut self, shard: Shard) -> Result<WriterTerm, Error> {
        if self.store.is_poisoned() {
            return Err(Error::Poisoned);
        }
        let term = self.store.last_term(shard)?.next();
        let mut rows = self.store.database.batch().durability(Some(PersistMode::SyncData));
        self.store.put_term(&mut rows, shard, term);
        match self.sync(rows) {
            Ok(()) => {
                self.terms.insert(shard, term);
                Ok(term)
            }
            Err(Failure::Encoding(source)) => Err(Error::backend("noting the writer's term", source)),
            Err(Failure::Write(error)) => {
                self.store.poison();
                Err(Error::backend("noting the writer's term", error))
            }
        }
    }
}

enum Failure {
    /// Before anything was handed to the database.
    Encoding(crate::error::Source),
    /// While it was written: it may have reached the disk.
    Write(String),
}

/// A shard's writer of the embedded log.
pub(crate) struct EmbeddedWriter {
    store: Arc<Store>,
    requests: Sender<Request>,
    shard: Shard,
    term: WriterTerm,
    is_open: bool,
}

impl EmbeddedWriter {
    pub(crate) fn open(store: Arc<Store>, requests: Sender<Request>, shard: Shard) -> Result<Self, Error> {
        let commands = store.topics.commands().clone();
        store.slot(&commands, shard.partition())?;
        let (answer, answered) = crossbeam_channel::bounded(1);
        requests.send(Request::Open { shard, answer }).map_err(|_| Error::Closed)?;
        let term = answered.recv().map_err(|_| Error::Closed)??;
        Ok(Self { store, requests, shard, term, is_open: true })
    }
}

impl ShardWriter for EmbeddedWriter {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn term(&self) -> WriterTerm {
        self.term
    }

    fn append(&mut self, batch: Batch) -> Result<Appended, AppendError> {
        if !self.is_open {
            return Err(AppendError::not_written(BatchError::WriterClosed));
        }
        if batch.is_empty() {
            return Ok(Appended::new(Vec::new()));
        }
        check_batch(&batch, self.shard, &self.store.topics, &self.store.config.log)
            .map_err(AppendError::not_written)?;
        let (answer, answered) = crossbeam_channel::bounded(1);
        let request = Request::Append { shard: self.shard, term: self.term, batch, answer };
        let result = match self.requests.send(request) {
            // Nobody has taken it.
            Err(_) => Err(AppendError::not_written(Error::Closed)),
            // The queue was dropped with the request in it (not taken), or the commit thread died over it: who knows.
            Ok(()) => answered.recv().unwrap_or_else(|_| Err(AppendError::unknown(Error::Closed))),
        };
        self.is_open = result.is_ok();
        result
    }

    fn is_open(&self) -> bool {
        self.is_open
    }
}
