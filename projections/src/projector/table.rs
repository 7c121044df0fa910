//! One table of a partition's projector: which of a batch's events it folds, which go to the dead letters, and in front of
//! which it waits.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use event_log::{Cursor, Record};
use read_store::{ChangeBatch, Checkpoint, ReadStore, Source, Table};
use schemas::{AggregateType, RecordedEvent};
use service_kit::Chain;

use super::letters::Letters;
use crate::dead_letter::LetterState;
use crate::folder::{FoldFailure, Folder};
use crate::{Error, Key, ProjectorConfig};

/// What becomes of an event that cannot be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnPoison {
    /// It goes to the dead letters.
    SetAside,
    /// The projector stops: what is built anew must be complete.
    Stop,
}

/// A record and what it says.
pub(super) struct Item {
    pub(super) record: Record,
    pub(super) aggregate: AggregateType,
    pub(super) event: Result<RecordedEvent, event_log::FramingError>,
}

/// A table and where it goes on in each of its topics.
pub(super) struct TableState {
    pub(super) folder: Box<dyn Folder>,
    /// The name under which its dead letters lie: without the generation.
    pub(super) projection: String,
    pub(super) topics: BTreeMap<AggregateType, TopicState>,
}

/// One topic of a table.
pub(super) struct TopicState {
    pub(super) source: Source,
    pub(super) next_offset: u64,
    pub(super) letters: Letters,
}

/// What a table does with the events of a batch.
#[derive(Default)]
struct Plan<'a> {
    fold: Vec<(usize, &'a RecordedEvent)>,
    letters: Vec<(usize, LetterState, Option<String>)>,
    holds: Vec<(usize, LetterState, String)>,
}

impl TableState {
    /// At the stored checkpoints, with the stored dead letters.
    pub(super) async fn open(
        folder: Box<dyn Folder>,
        store: &dyn ReadStore,
        topic: impl Fn(AggregateType) -> Arc<str>,
        partition: u32,
        on_poison: OnPoison,
    ) -> Result<(Self, Vec<Checkpoint>), Error> {
        let table = folder.table();
        let stored = store.checkpoints(table).await?;
        let projection = table.of_generation(1).to_string();
        let mut topics = BTreeMap::new();
        for aggregate in folder.topics() {
            let source = Source { topic: topic(*aggregate), partition };
            let next_offset = stored.iter().find(|c| c.source == source).map_or(0, |c| c.next_offset);
            let letters = Letters::load(store, &projection, &source).await?;
            let letters = if on_poison == OnPoison::Stop { letters.only_skipped() } else { letters };
            topics.insert(*aggregate, TopicState { source, next_offset, letters });
        }
        Ok((Self { folder, projection, topics }, stored))
    }

    pub(super) fn table(&self) -> Table {
        self.folder.table()
    }

    /// Folds the events that are new to this table; adds the changed rows and new dead letters to the batch.
    pub(super) async fn fold(
        &mut self,
        items: &[Item],
        store: &dyn ReadStore,
        config: &ProjectorConfig,
        on_poison: OnPoison,
        batch: &mut ChangeBatch,
    ) -> Result<(), Error> {
        let mut failed = BTreeMap::new();
        let plan = loop {
            let plan = self.plan(items, &failed, config);
            if on_poison == OnPoison::Stop {
                refuse_poison(items, &plan)?;
            }
            let events: Vec<_> = plan.fold.iter().map(|(_, event)| *event).collect();
            let Err(failure) = self.fold_all(&events, store).await? else { break plan };
            self.folder.forget();
            let (index, event) = plan.fold[failure.index];
            let error = Error::Unfoldable {
                position: event.position.clone(),
                row: failure.row,
                source: failure.source,
            };
            if on_poison == OnPoison::Stop {
                return Err(error);
            }
            failed.insert(index, Chain(&error).to_string());
        };
        self.folder.changes(&mut batch.changes)?;
        self.settle(plan, items, batch)
    }

    /// Folds into the rows in memory, reading those that are not there. After a failure forget them.
    pub(super) async fn fold_all(
        &mut self,
        events: &[&RecordedEvent],
        store: &dyn ReadStore,
    ) -> Result<Result<(), FoldFailure>, Error> {
        let mut missing = Vec::new();
        self.folder.collect(events, &mut missing);
        if !missing.is_empty() {
            self.folder.load(store.get_many(&missing).await?);
        }
        Ok(self.folder.fold(events))
    }

    fn plan<'a>(
        &self,
        items: &'a [Item],
        failed: &BTreeMap<usize, String>,
        config: &ProjectorConfig,
    ) -> Plan<'a> {
        let mut plan = Plan::default();
        // What this batch adds: streams that wait, letters by topic, topics that are held.
        let mut waiting: HashSet<(AggregateType, &Bytes)> = HashSet::new();
        let mut added: BTreeMap<AggregateType, (usize, usize)> = BTreeMap::new();
        let mut held: Vec<AggregateType> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Some(topic) = self.topics.get(&item.aggregate) else { continue };
            let offset = item.record.position.offset;
            if offset < topic.next_offset
                || topic.letters.hold().is_some()
                || topic.letters.is_skipped(offset)
                || held.contains(&item.aggregate)
            {
                continue;
            }
            let key = &item.record.key;
            let is_behind =
                topic.letters.waits(key) || !waiting.is_empty() && waiting.contains(&(item.aggregate, key));
            let reason = match (&item.event, failed.get(&index)) {
                _ if is_behind => None,
                (_, Some(reason)) => Some(reason.clone()),
                (Err(error), None) => Some(undecodable(item, error)),
                (Ok(event), None) => {
                    plan.fold.push((index, event));
                    continue;
                }
            };
            let taken = added.entry(item.aggregate).or_default();
            if self.folder.key() == Key::Partition {
                held.push(item.aggregate);
                plan.holds.push((index, LetterState::Holding, reason.unwrap_or_default()));
            } else if let Some(full) = topic.letters.no_room(&item.record, *taken, config) {
                held.push(item.aggregate);
                plan.holds.push((index, LetterState::Blocked, full));
            } else {
                *taken = (taken.0 + 1, taken.1 + item.record.size_bytes());
                waiting.insert((item.aggregate, key));
                let state = if is_behind { LetterState::Queued } else { LetterState::Parked };
                plan.letters.push((index, state, reason));
            }
        }
        plan
    }

    /// Notes what the plan sets aside, in memory and in the batch.
    fn settle(&mut self, plan: Plan<'_>, items: &[Item], batch: &mut ChangeBatch) -> Result<(), Error> {
        for (index, state, reason) in plan.letters {
            let item = &items[index];
            let Some(topic) = self.topics.get_mut(&item.aggregate) else { continue };
            if let Some(reason) = &reason {
                tracing::error!(
                    projection = self.projection,
                    reason,
                    "an event is parked in the dead letters"
                );
            }
            let letter = topic.letters.set_aside(&self.projection, &item.record, state, reason);
            batch.changes.push(letter.change()?);
        }
        for (index, state, reason) in plan.holds {
            let item = &items[index];
            let Some(topic) = self.topics.get_mut(&item.aggregate) else { continue };
            tracing::error!(projection = self.projection, reason, "a projection waits in front of an event");
            if let Some(letter) = topic.letters.hold_at(&self.projection, &item.record, state, reason) {
                batch.changes.push(letter.change()?);
            }
        }
        Ok(())
    }

    /// Adds the checkpoints that move, and removes the letters of holds that are passed.
    pub(super) fn advance(&mut self, cursors: &[Cursor], batch: &mut ChangeBatch) {
        let table = self.folder.table();
        for topic in self.topics.values_mut() {
            let Some(cursor) = cursors.iter().find(|cursor| cursor.topic == topic.source.topic) else {
                continue;
            };
            let held_at = topic.letters.hold().map_or(u64::MAX, |hold| hold.offset);
            let next_offset = cursor.next_offset.min(held_at);
            if next_offset > topic.next_offset {
                topic.next_offset = next_offset;
                let source = topic.source.clone();
                batch.checkpoints.push(Checkpoint { table, source, next_offset });
                batch.changes.extend(topic.letters.passed(next_offset).map(|letter| letter.removal()));
            }
        }
    }
}

fn undecodable(item: &Item, error: &event_log::FramingError) -> String {
    format!("the record at {} cannot be read as an event: {}", item.record.position, Chain(error))
}

/// Fails if anything of the batch is to be set aside.
fn refuse_poison(items: &[Item], plan: &Plan<'_>) -> Result<(), Error> {
    let set_aside = plan.letters.iter().map(|(index, ..)| *index).chain(plan.holds.iter().map(|(i, ..)| *i));
    match set_aside.map(|index| &items[index]).find_map(|item| item.event.as_ref().err().map(|e| (item, e))) {
        Some((item, error)) => Err(Error::Undecodable {
            position: item.record.position.clone(),
            reason: Chain(error).to_string(),
        }),
        None => Ok(()),
    }
}
