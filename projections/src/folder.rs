//! Folds a batch of events into the rows of one table, keeping them typed in memory meanwhile and between batches.
//!
//! A batch passes in three steps, so that what is stored is read at once for all events: [`Folder::collect`] the rows
//! that are touched, [`Folder::load`] those not in memory, [`Folder::fold`] the events in order. [`Folder::changes`]
//! then holds each changed row once, as it is after the batch.

use std::collections::HashMap;

use read_store::{Change, Row, RowKey, Source, Table};
use schemas::{AggregateType, RecordedEvent};

use crate::{Error, FoldError, Key, Projection, RowId};

/// A projection without its type.
pub(crate) trait Folder: Send {
    fn table(&self) -> Table;
    fn topics(&self) -> &'static [AggregateType];
    fn key(&self) -> Key;
    /// Notes which rows the events touch; adds the keys of those that must be read.
    fn collect(&mut self, events: &[&RecordedEvent], missing: &mut Vec<RowKey>);
    /// Takes the rows read, in the order in which [`Folder::collect`] asked for them.
    fn load(&mut self, rows: Vec<Option<Row>>);
    /// Folds the collected events, in order. After a failure the rows in memory are worth nothing: forget them.
    fn fold(&mut self, events: &[&RecordedEvent]) -> Result<(), FoldFailure>;
    /// The row after those of the events that touch it; none: it goes, or cannot be folded.
    fn fold_row(&self, row: Row, events: &[RecordedEvent]) -> Option<Row>;
    /// Adds the changed rows.
    fn changes(&mut self, out: &mut Vec<Change>) -> Result<(), Error>;
    /// Forgets rows when there are more than `rows_max`.
    fn trim(&mut self, rows_max: usize);
    /// Forgets everything: what is stored may be something else.
    fn forget(&mut self);
}

/// An event that cannot be folded.
pub(crate) struct FoldFailure {
    /// Its index among the collected ones.
    pub(crate) index: usize,
    /// The table and row.
    pub(crate) row: String,
    /// Why.
    pub(crate) source: FoldError,
}

/// The rows of one table in memory.
pub(crate) struct TableFolder<P: Projection> {
    table: Table,
    index: HashMap<RowId, usize>,
    slots: Vec<Slot<P::Document>>,
    /// Index of the event, slot of the row; in the order of the events.
    touched: Vec<(usize, usize)>,
    /// Slots whose rows were asked for.
    asked: Vec<usize>,
    /// Slots that have changed since the last [`Folder::changes`].
    dirty: Vec<usize>,
    ids: Vec<RowId>,
}

struct Slot<D> {
    id: RowId,
    document: Option<D>,
    /// Why what is stored cannot be read.
    damage: Option<serde_json::Error>,
    /// Source and last offset; none: nothing was folded yet.
    last: Option<(Source, u64)>,
    is_dirty: bool,
}

impl<P: Projection> TableFolder<P> {
    /// Folds into the given generation of the projection's table.
    pub(crate) fn new(generation: u32) -> Self {
        Self {
            table: P::TABLE.of_generation(generation),
            index: HashMap::new(),
            slots: Vec::new(),
            touched: Vec::new(),
            asked: Vec::new(),
            dirty: Vec::new(),
            ids: Vec::new(),
        }
    }

    fn row_key(&self, id: &RowId) -> RowKey {
        RowKey::new(self.table, &*id.partition_key, &*id.sort_key)
    }
}

impl<P: Projection> Folder for TableFolder<P> {
    fn table(&self) -> Table {
        self.table
    }

    fn topics(&self) -> &'static [AggregateType] {
        P::TOPICS
    }

    fn key(&self) -> Key {
        P::KEY
    }

    fn collect(&mut self, events: &[&RecordedEvent], missing: &mut Vec<RowKey>) {
        self.touched.clear();
        self.asked.clear();
        let mut ids = std::mem::take(&mut self.ids);
        for (index, event) in events.iter().enumerate() {
            P::rows(event, &mut ids);
            for id in ids.drain(..) {
                let slot = match self.index.get(&id) {
                    Some(slot) => *slot,
                    None => {
                        let slot = self.slots.len();
                        if !P::WRITE_ONCE {
                            missing.push(self.row_key(&id));
                            self.asked.push(slot);
                        }
                        self.index.insert(id.clone(), slot);
                        self.slots.push(Slot {
                            id,
                            document: None,
                            damage: None,
                            last: None,
                            is_dirty: false,
                        });
                        slot
                    }
                };
                self.touched.push((index, slot));
            }
        }
        self.ids = ids;
    }

    fn load(&mut self, rows: Vec<Option<Row>>) {
        for (slot, row) in self.asked.drain(..).zip(rows) {
            let Some(row) = row else { continue };
            let slot = &mut self.slots[slot];
            match serde_json::from_slice(&row.document) {
                Ok(document) => slot.document = Some(document),
                Err(error) => slot.damage = Some(error),
            }
            slot.last = Some((row.source, row.last_offset));
        }
    }

    fn fold(&mut self, events: &[&RecordedEvent]) -> Result<(), FoldFailure> {
        for (event, index) in std::mem::take(&mut self.touched) {
            let slot = &mut self.slots[index];
            if let Err(source) = fold_slot::<P>(slot, events[event]) {
                let row = RowKey::new(self.table, &*slot.id.partition_key, &*slot.id.sort_key).to_string();
                return Err(FoldFailure { index: event, row, source });
            }
            if slot.is_dirty && self.dirty.last() != Some(&index) {
                self.dirty.push(index);
            }
        }
        Ok(())
    }

    fn fold_row(&self, row: Row, events: &[RecordedEvent]) -> Option<Row> {
        let id = RowId::new(&*row.partition_key, &*row.sort_key);
        let document = serde_json::from_slice(&row.document).ok()?;
        let last = Some((row.source.clone(), row.last_offset));
        let mut slot =
            Slot::<P::Document> { id, document: Some(document), damage: None, last, is_dirty: false };
        let mut ids = Vec::new();
        for event in events {
            ids.clear();
            P::rows(event, &mut ids);
            if ids.contains(&slot.id) {
                fold_slot::<P>(&mut slot, event).ok()?;
            }
        }
        let document = serde_json::to_vec(&slot.document?).ok()?.into();
        Some(Row { document, last_offset: slot.last?.1, ..row })
    }

    fn changes(&mut self, out: &mut Vec<Change>) -> Result<(), Error> {
        for index in std::mem::take(&mut self.dirty) {
            let slot = &mut self.slots[index];
            let (true, Some((source, offset))) = (slot.is_dirty, slot.last.clone()) else { continue };
            slot.is_dirty = false;
            let key = RowKey::new(self.table, &*slot.id.partition_key, &*slot.id.sort_key);
            let document = slot.document.as_ref().map(serde_json::to_vec).transpose();
            let document = document.map_err(|error| Error::Unfoldable {
                position: schemas::Position {
                    topic: source.topic.clone(),
                    partition: source.partition,
                    offset,
                },
                row: key.to_string(),
                source: error.into(),
            })?;
            out.push(Change { key, document: document.map(Into::into), source, offset });
        }
        Ok(())
    }

    fn trim(&mut self, rows_max: usize) {
        if P::WRITE_ONCE || self.slots.len() > rows_max {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.index.clear();
        self.slots.clear();
        self.touched.clear();
        self.asked.clear();
        self.dirty.clear();
    }
}

fn fold_slot<P: Projection>(slot: &mut Slot<P::Document>, event: &RecordedEvent) -> Result<(), FoldError> {
    let position = &event.position;
    if let Some(damage) = slot.damage.take() {
        return Err(damage.into());
    }
    match &mut slot.last {
        Some((source, _)) if *source.topic != *position.topic || source.partition != position.partition => {
            let offered = Source { topic: position.topic.clone(), partition: position.partition };
            return Err(FoldError::SecondSource { stored: source.clone(), offered });
        }
        Some((_, last_offset)) if *last_offset >= position.offset => return Ok(()),
        Some((_, last_offset)) => *last_offset = position.offset,
        None => {
            let source = Source { topic: position.topic.clone(), partition: position.partition };
            slot.last = Some((source, position.offset));
        }
    }
    slot.document = P::fold(&slot.id, slot.document.take(), event)?;
    slot.is_dirty = true;
    Ok(())
}
