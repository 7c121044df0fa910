//! Folds a batch of events into the rows of one table, keeping them typed in memory meanwhile and between batches.
//!
//! A batch passes in three steps, so that what is stored is read at once for all events: [`Folder::collect`] the rows
//! that are touched, [`Folder::load`] those not in memory, [`Folder::fold`] the events in order. [`Folder::changes`]
//! then holds each changed row once, as it is after the batch.

use std::collections::HashMap;

use read_store::{Change, Row, RowKey, Source, Table};
use schemas::{AggregateType, RecordedEvent};

use crate::{Error, FoldError, Projection, RowId};

/// A projection without its type.
pub(crate) trait Folder: Send {
    fn table(&self) -> Table;
    fn topics(&self) -> &'static [AggregateType];
    /// Notes which rows the events touch, by index of the event; adds the keys of those that must be read.
    fn collect(&mut self, events: &[(usize, &RecordedEvent)], missing: &mut Vec<RowKey>);
    /// Takes the rows read, in the order in which [`Folder::collect`] asked for them.
    fn load(&mut self, rows: Vec<Option<Row>>) -> Result<(), Error>;
    /// Folds the collected events, in order.
    fn fold(&mut self, events: &[RecordedEvent]) -> Result<(), Error>;
    /// Adds the changed rows.
    fn changes(&mut self, out: &mut Vec<Change>) -> Result<(), Error>;
    /// Forgets rows when there are more than `rows_max`.
    fn trim(&mut self, rows_max: usize);
    /// Forgets everything: what is stored may be something else.
    fn forget(&mut self);
}

/// The rows of one table in memory.
pub(crate) struct TableFolder<P: Projection> {
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
    /// Source and last offset; none: nothing was folded yet.
    last: Option<(Source, u64)>,
    is_dirty: bool,
}

impl<P: Projection> TableFolder<P> {
    pub(crate) fn new() -> Self {
        Self {
            index: HashMap::new(),
            slots: Vec::new(),
            touched: Vec::new(),
            asked: Vec::new(),
            dirty: Vec::new(),
            ids: Vec::new(),
        }
    }

    fn key(id: &RowId) -> RowKey {
        RowKey::new(P::TABLE, &*id.partition_key, &*id.sort_key)
    }
}

impl<P: Projection> Folder for TableFolder<P> {
    fn table(&self) -> Table {
        P::TABLE
    }

    fn topics(&self) -> &'static [AggregateType] {
        P::TOPICS
    }

    fn collect(&mut self, events: &[(usize, &RecordedEvent)], missing: &mut Vec<RowKey>) {
        self.touched.clear();
        self.asked.clear();
        for (index, event) in events {
            self.ids.clear();
            P::rows(event, &mut self.ids);
            for id in self.ids.drain(..) {
                let slot = match self.index.get(&id) {
                    Some(slot) => *slot,
                    None => {
                        let slot = self.slots.len();
                        if !P::WRITE_ONCE {
                            missing.push(Self::key(&id));
                            self.asked.push(slot);
                        }
                        self.index.insert(id.clone(), slot);
                        self.slots.push(Slot { id, document: None, last: None, is_dirty: false });
                        slot
                    }
                };
                self.touched.push((*index, slot));
            }
        }
    }

    fn load(&mut self, rows: Vec<Option<Row>>) -> Result<(), Error> {
        for (slot, row) in self.asked.drain(..).zip(rows) {
            let Some(row) = row else { continue };
            let slot = &mut self.slots[slot];
            let position = || schemas::Position {
                topic: row.source.topic.clone(),
                partition: row.source.partition,
                offset: row.last_offset,
            };
            slot.document =
                Some(serde_json::from_slice(&row.document).map_err(|source| Error::Unfoldable {
                    position: position(),
                    row: Self::key(&slot.id).to_string(),
                    source: source.into(),
                })?);
            slot.last = Some((row.source, row.last_offset));
        }
        Ok(())
    }

    fn fold(&mut self, events: &[RecordedEvent]) -> Result<(), Error> {
        for (event, index) in std::mem::take(&mut self.touched) {
            let event = &events[event];
            let slot = &mut self.slots[index];
            fold_slot::<P>(slot, event).map_err(|source| Error::Unfoldable {
                position: event.position.clone(),
                row: Self::key(&slot.id).to_string(),
                source,
            })?;
            let slot = &mut self.slots[index];
            if slot.is_dirty && self.dirty.last() != Some(&index) {
                self.dirty.push(index);
            }
        }
        Ok(())
    }

    fn changes(&mut self, out: &mut Vec<Change>) -> Result<(), Error> {
        for index in std::mem::take(&mut self.dirty) {
            let slot = &mut self.slots[index];
            let (true, Some((source, offset))) = (slot.is_dirty, slot.last.clone()) else { continue };
            slot.is_dirty = false;
            let key = Self::key(&slot.id);
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
