//! The table of open matters, and the agenda over it: what is looked at next.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_log::Cursor;
use read_store::{Change, ChangeBatch, Checkpoint, ReadStore, Row, RowKey, Source, Table};
use schemas::{RecordedEvent, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::matters::{MatterChange, MatterKey, MatterKind, changes};
use crate::stored_event::StoredEvent;
use crate::{Error, TimerLimits};

const TABLE: Table = Table::new("process_matter", 1);
/// Rows of one page when the agenda is read.
const PAGE_ROWS: usize = 1_000;

/// An open matter.
pub(crate) struct Matter {
    pub(crate) kind: MatterKind,
    pub(crate) event: RecordedEvent,
}

#[derive(Serialize, Deserialize)]
struct Document {
    kind: MatterKind,
    due_at: Timestamp,
    event: StoredEvent,
}

/// The table: one row per open matter, with its event. A function of the log; deleting it costs a refold.
pub(crate) struct MatterTable {
    store: Arc<dyn ReadStore>,
    limits: TimerLimits,
    /// Only when and how often each is looked at is kept in memory.
    agenda: Mutex<Agenda>,
    changed: Notify,
}

#[derive(Default)]
struct Agenda {
    entries: HashMap<MatterKey, Entry>,
    due: BTreeSet<(Timestamp, MatterKey)>,
    /// Of partitions that another process has, as far as this one knows.
    aside: HashSet<MatterKey>,
}

struct Entry {
    /// None while somebody looks at it, or while it is set aside.
    next_at: Option<Timestamp>,
    looks: u32,
}

impl MatterTable {
    /// Opens the table and reads the agenda.
    pub(crate) async fn open(store: Arc<dyn ReadStore>, limits: TimerLimits) -> Result<Self, Error> {
        let mut agenda = Agenda::default();
        let mut after = None;
        loop {
            let page = store.scan_table(TABLE, after.as_ref(), PAGE_ROWS).await?;
            for row in &page.rows {
                agenda.open(MatterKey::of(row), document(row)?.due_at);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(Self { store, limits, agenda: Mutex::new(agenda), changed: Notify::new() })
    }

    /// Where the fold goes on in each of the partitions.
    pub(crate) async fn cursors(&self, topics: &[Arc<str>], partitions: u32) -> Result<Vec<Cursor>, Error> {
        let mut known: HashMap<_, _> = HashMap::new();
        for checkpoint in self.store.checkpoints(TABLE).await? {
            known.insert((checkpoint.source.topic, checkpoint.source.partition), checkpoint.next_offset);
        }
        let all =
            topics.iter().flat_map(|topic| (0..partitions).map(move |partition| (topic.clone(), partition)));
        Ok(all
            .map(|(topic, partition)| {
                let next_offset = known.get(&(topic.clone(), partition)).copied().unwrap_or(0);
                Cursor { topic, partition, next_offset }
            })
            .collect())
    }

    /// Folds events in, and notes where the fold goes on: both or neither.
    pub(crate) async fn fold(&self, events: &[RecordedEvent], progress: &[Cursor]) -> Result<(), Error> {
        // The last change of a row counts: one per row and batch.
        let mut rows: BTreeMap<MatterKey, (Option<MatterKind>, &RecordedEvent)> = BTreeMap::new();
        for event in events {
            for change in changes(event) {
                match change {
                    MatterChange::Open(key, kind) => rows.insert(key, (Some(kind), event)),
                    MatterChange::Close(key) => rows.insert(key, (None, event)),
                };
            }
        }
        let source =
            |event: &RecordedEvent| Source::new(event.position.topic.clone(), event.position.partition);
        let stored = rows.iter().map(|(key, (kind, event))| match kind {
            None => Change::delete(key.row(), source(event), event.position.offset),
            Some(kind) => {
                let document = Document {
                    kind: *kind,
                    due_at: self.due_at(*kind, event),
                    event: StoredEvent::new(event),
                };
                let document =
                    serde_json::to_vec(&document).expect("documents are made of strings, numbers and maps");
                Change::put(key.row(), document, source(event), event.position.offset)
            }
        });
        let checkpoints = progress.iter().map(|cursor| Checkpoint {
            table: TABLE,
            source: Source::new(cursor.topic.clone(), cursor.partition),
            next_offset: cursor.next_offset,
        });
        let batch = ChangeBatch { changes: stored.collect(), checkpoints: checkpoints.collect() };
        self.store.apply(batch).await?;
        let mut agenda = self.lock();
        for (key, (kind, event)) in rows {
            match kind {
                Some(kind) => agenda.open(key, self.due_at(kind, event)),
                None => agenda.close(&key),
            }
        }
        drop(agenda);
        self.changed.notify_one();
        Ok(())
    }

    /// Makes durable what was folded, for an ordered end.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        Ok(self.store.flush().await?)
    }

    /// How many matters are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// When the next matter is due.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.lock().due.first().map(|(at, _)| *at)
    }

    /// Waits until the fold has brought something.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes a matter that is due, and how often it was looked at before. It is nobody else's until
    /// [`MatterTable::put_back`] or [`MatterTable::settle`].
    pub(crate) fn take_due(&self, now: Timestamp) -> Option<(MatterKey, u32)> {
        let mut agenda = self.lock();
        if agenda.due.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, key) = agenda.due.pop_first()?;
        let entry = agenda.entries.get_mut(&key)?;
        entry.next_at = None;
        Some((key, entry.looks))
    }

    /// The matter; none when it was closed meanwhile.
    pub(crate) async fn get(&self, key: &MatterKey) -> Result<Option<Matter>, Error> {
        let Some(row) = self.store.get(&key.row()).await? else { return Ok(None) };
        let Document { kind, event, .. } = document(&row)?;
        let event = event.into_recorded().map_err(|reason| row_error(&row, reason))?;
        Ok(Some(Matter { kind, event }))
    }

    /// Looks at a taken matter again at `next_at`; `was_looked_at` counts.
    pub(crate) fn put_back(&self, key: &MatterKey, next_at: Timestamp, was_looked_at: bool) {
        let mut agenda = self.lock();
        // Closed or opened anew meanwhile: then that counts.
        let Some(entry) = agenda.entries.get_mut(key).filter(|entry| entry.next_at.is_none()) else { return };
        entry.next_at = Some(next_at);
        entry.looks += u32::from(was_looked_at);
        agenda.due.insert((next_at, key.clone()));
    }

    /// Sets a taken matter aside until [`MatterTable::take_up_again`].
    pub(crate) fn set_aside(&self, key: &MatterKey) {
        let mut agenda = self.lock();
        if agenda.entries.get(key).is_some_and(|entry| entry.next_at.is_none()) {
            agenda.aside.insert(key.clone());
        }
    }

    /// Makes due what was set aside.
    pub(crate) fn take_up_again(&self, now: Timestamp) {
        let mut agenda = self.lock();
        for key in std::mem::take(&mut agenda.aside) {
            if let Some(entry) = agenda.entries.get_mut(&key) {
                entry.next_at = Some(now);
                agenda.due.insert((now, key));
            }
        }
    }

    /// How many matters are set aside.
    #[cfg(test)]
    pub(crate) fn aside(&self) -> usize {
        self.lock().aside.len()
    }

    /// Closes a taken matter that no event closes.
    pub(crate) async fn settle(&self, key: &MatterKey, matter: &Matter) -> Result<(), Error> {
        let position = &matter.event.position;
        let source = Source::new(position.topic.clone(), position.partition);
        let changes = vec![Change::delete(key.row(), source, position.offset)];
        self.store.apply(ChangeBatch { changes, checkpoints: Vec::new() }).await?;
        self.lock().close(key);
        Ok(())
    }

    /// Forgets a taken matter that was closed meanwhile.
    pub(crate) fn forget(&self, key: &MatterKey) {
        let mut agenda = self.lock();
        if agenda.entries.get(key).is_some_and(|entry| entry.next_at.is_none()) {
            agenda.entries.remove(key);
        }
    }

    fn due_at(&self, kind: MatterKind, event: &RecordedEvent) -> Timestamp {
        event.metadata.recorded_at.plus_millis(kind.first_look_ms(&self.limits))
    }

    fn lock(&self) -> MutexGuard<'_, Agenda> {
        // The agenda is changed in steps that don't panic in between.
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agenda {
    fn open(&mut self, key: MatterKey, at: Timestamp) {
        self.close(&key);
        self.due.insert((at, key.clone()));
        self.entries.insert(key, Entry { next_at: Some(at), looks: 0 });
    }

    fn close(&mut self, key: &MatterKey) {
        self.aside.remove(key);
        if let Some(Entry { next_at: Some(at), .. }) = self.entries.remove(key) {
            self.due.remove(&(at, key.clone()));
        }
    }
}

impl MatterKey {
    fn row(&self) -> RowKey {
        RowKey::new(TABLE, self.stream.clone(), self.what.clone())
    }

    fn of(row: &Row) -> Self {
        Self { stream: row.partition_key.clone(), what: row.sort_key.clone() }
    }
}

fn document(row: &Row) -> Result<Document, Error> {
    serde_json::from_slice(&row.document).map_err(|error| row_error(row, error.to_string()))
}

fn row_error(row: &Row, reason: String) -> Error {
    Error::MatterRow { key: format!("{} {}", row.partition_key, row.sort_key), reason }
}
