//! How far the read models are: for the header of every answer, and for readers that wait to see their own writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_log::Topics;
use read_store::{Checkpoint, Source, Table};
use schemas::{AggregateType, Positions};
use tokio::sync::watch;

use crate::Catalogue;

/// How far each table has come with each partition. Cheap to clone; all clones show the same.
///
/// What it says is stored already: rows read afterwards reflect at least the positions told before.
#[derive(Clone)]
pub struct Progress(Arc<Inner>);

struct Inner {
    topics: Topics,
    partitions: u32,
    tables: BTreeMap<Table, TableProgress>,
    states: Mutex<Vec<PartitionStatus>>,
}

struct TableProgress {
    topics: Vec<Arc<str>>,
    applied: watch::Sender<Applied>,
}

/// How far the table that is read has come.
struct Applied {
    /// Which generation is read.
    generation: u32,
    /// Next offset by source.
    next_offsets: BTreeMap<Source, u64>,
}

/// What a partition's projector is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionState {
    /// It has not read anything yet.
    Starting,
    /// It reads what lay in the log when it started.
    CatchingUp,
    /// It follows the log.
    Live,
    /// It failed and goes on from its checkpoint soon; the reason.
    Retrying(String),
    /// It cannot go on; the reason, with the position of the event at fault.
    Stopped(String),
}

/// A partition's projector, and how far it is behind.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionStatus {
    /// The partition of all event topics.
    pub partition: u32,
    /// What it is doing.
    pub state: PartitionState,
    /// Events between the log's stable end and what is applied, as last measured.
    pub lag_events: u64,
    /// Age of the last applied event while there are newer ones, as last measured, seconds.
    pub lag_seconds: u64,
    /// Events applied in a second, as last measured.
    pub events_per_s: f64,
    /// Each projection, as last measured.
    pub projections: Vec<ProjectionStatus>,
}

/// One projection of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// Its name and version, such as `order_v1`.
    pub projection: String,
    /// The generation of its table that is written.
    pub generation: u32,
    /// Events between the log's stable end and what is applied.
    pub lag_events: u64,
    /// Age of the last applied event while there are newer ones, seconds.
    pub lag_seconds: u64,
    /// Streams that wait in the dead letters.
    pub parked_keys: u64,
    /// Events of theirs.
    pub waiting_events: u64,
    /// Events that are left out for ever.
    pub skipped_events: u64,
    /// Where it waits in front of an event; at most one a topic.
    pub holds: Vec<HoldStatus>,
}

/// An event in front of which a projection waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldStatus {
    /// Where it stands.
    pub position: schemas::Position,
    /// Why it cannot be taken.
    pub reason: String,
}

/// The view has not come as far as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the view has come to {reached}, asked for is {asked}")]
pub struct Behind {
    /// Where the view is.
    pub reached: Positions,
    /// The asked positions that it has not reached.
    pub asked: Positions,
}

impl Progress {
    /// Nothing applied yet, and nobody who would. `topics` and `partitions` are those of the log.
    pub fn new(topics: Topics, partitions: u32, catalogue: &Catalogue) -> Self {
        let tables = catalogue
            .tables()
            .map(|(table, aggregates)| {
                let topics = aggregates.iter().map(|a: &AggregateType| topics.events(*a).clone()).collect();
                let applied = Applied { generation: 1, next_offsets: BTreeMap::new() };
                (table, TableProgress { topics, applied: watch::Sender::new(applied) })
            })
            .collect();
        Self(Arc::new(Inner { topics, partitions, tables, states: Mutex::default() }))
    }

    /// The topics of the log.
    pub fn topics(&self) -> &Topics {
        &self.0.topics
    }

    /// How many partitions every topic has.
    pub fn partitions(&self) -> u32 {
        self.0.partitions
    }

    /// The generation of `table` that is read.
    pub fn serving(&self, table: Table) -> Table {
        let known = self.0.tables.get(&table);
        known.map_or(table, |known| table.of_generation(known.applied.borrow().generation))
    }

    /// Has `table`, whose checkpoints these are, read from now on, unless it lacks something that readers may have seen. Says
    /// whether it is read.
    pub(crate) fn switch(&self, table: Table, checkpoints: &[Checkpoint]) -> bool {
        let Some(known) = self.0.tables.get(&table.of_generation(1)) else { return false };
        let mut serves = true;
        known.applied.send_if_modified(|applied| {
            if applied.generation == table.generation() {
                return false;
            }
            let offset =
                |source: &Source| checkpoints.iter().find(|c| c.source == *source).map(|c| c.next_offset);
            serves = applied.next_offsets.iter().all(|(source, next)| offset(source) >= Some(*next));
            if serves {
                applied.generation = table.generation();
                let next = checkpoints.iter().map(|c| (c.source.clone(), c.next_offset));
                applied.next_offsets = next.collect();
            }
            serves
        });
        serves
    }

    /// Notes checkpoints that are stored. They never go back. Those of tables that are not read are ignored.
    pub fn advance(&self, checkpoints: &[Checkpoint]) {
        let mut rest = checkpoints;
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|c| c.table == first.table).count();
            let (of_table, others) = rest.split_at(same);
            rest = others;
            let Some(table) = self.0.tables.get(&first.table.of_generation(1)) else { continue };
            table.applied.send_if_modified(|applied| {
                let mut moved = false;
                if applied.generation != first.table.generation() {
                    return moved;
                }
                for checkpoint in of_table {
                    let next = applied.next_offsets.entry(checkpoint.source.clone()).or_insert(0);
                    moved |= checkpoint.next_offset > *next;
                    *next = checkpoint.next_offset.max(*next);
                }
                moved
            });
        }
    }

    /// The last positions that all of `tables` reflect: where several read a partition, the least of them.
    pub fn positions(&self, tables: &[Table]) -> Positions {
        let mut least: BTreeMap<Source, u64> = BTreeMap::new();
        for table in tables.iter().filter_map(|table| self.0.tables.get(table)) {
            let applied = table.applied.borrow();
            for topic in &table.topics {
                for partition in 0..self.0.partitions {
                    let source = Source { topic: topic.clone(), partition };
                    let next = applied.next_offsets.get(&source).copied().unwrap_or(0);
                    least.entry(source).and_modify(|known| *known = next.min(*known)).or_insert(next);
                }
            }
        }
        let mut positions = Positions::new();
        for (source, next) in least {
            if let Some(last) = next.checked_sub(1) {
                positions.advance_to(source.topic, source.partition, last);
            }
        }
        positions
    }

    /// Waits until all of `tables` reflect `asked`, at most `timeout`. Topics that a table does not read are ignored.
    pub async fn wait(&self, tables: &[Table], asked: &Positions, timeout: Duration) -> Result<(), Behind> {
        if asked.is_empty() {
            return Ok(());
        }
        let all = async {
            for table in tables.iter().filter_map(|table| self.0.tables.get(table)) {
                let wanted: Vec<(Source, u64)> = asked
                    .iter()
                    .filter(|position| table.topics.contains(&position.topic))
                    .map(|position| {
                        (Source { topic: position.topic, partition: position.partition }, position.offset)
                    })
                    .collect();
                let reached = |applied: &Applied| {
                    let next = |source| applied.next_offsets.get(source);
                    wanted.iter().all(|(source, offset)| next(source).is_some_and(|next| next > offset))
                };
                // The sender lives as long as `self`.
                let _ = table.applied.subscribe().wait_for(reached).await;
            }
        };
        match tokio::time::timeout(timeout, all).await {
            Ok(()) => Ok(()),
            Err(_elapsed) => {
                let reached = self.positions(tables);
                let missing = |position: &schemas::Position| {
                    self.reads(tables, &position.topic)
                        && reached
                            .offset(&position.topic, position.partition)
                            .is_none_or(|o| o < position.offset)
                };
                let asked = asked.iter().filter(missing).collect();
                Err(Behind { reached, asked })
            }
        }
    }

    /// Whether any of `tables` reads `topic`.
    pub fn reads(&self, tables: &[Table], topic: &str) -> bool {
        let mut tables = tables.iter().filter_map(|table| self.0.tables.get(table));
        tables.any(|table| table.topics.iter().any(|known| **known == *topic))
    }

    /// The projectors of this process, by partition.
    pub fn statuses(&self) -> Vec<PartitionStatus> {
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The partition is projected in this process from now on.
    pub(crate) fn begin(&self, partition: u32) {
        let mut states = self.0.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.retain(|status| status.partition != partition);
        states.push(PartitionStatus {
            partition,
            state: PartitionState::Starting,
            lag_events: 0,
            lag_seconds: 0,
            events_per_s: 0.0,
            projections: Vec::new(),
        });
        states.sort_by_key(|status| status.partition);
    }

    /// The partition is no longer projected in this process.
    pub(crate) fn end(&self, partition: u32) {
        let mut states = self.0.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.retain(|status| status.partition != partition);
    }

    pub(crate) fn update(&self, partition: u32, change: impl FnOnce(&mut PartitionStatus)) {
        let mut states = self.0.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = states.iter_mut().find(|status| status.partition == partition) {
            change(status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Orders, Payments, Projection, Streams};

    fn progress() -> Progress {
        Progress::new(Topics::new("ns"), 2, &Catalogue::standard())
    }

    fn checkpoint(table: Table, topic: &str, partition: u32, next_offset: u64) -> Checkpoint {
        Checkpoint { table, source: Source::new(topic, partition), next_offset }
    }

    #[test]
    fn a_view_of_several_tables_reflects_the_least_of_them() {
        let progress = progress();
        progress.advance(&[
            checkpoint(Orders::TABLE, "ns.order.events", 0, 8),
            checkpoint(Orders::TABLE, "ns.order.events", 1, 3),
            checkpoint(Streams::TABLE, "ns.order.events", 0, 6),
            checkpoint(Payments::TABLE, "ns.payment.events", 0, 1),
        ]);
        assert_eq!(
            progress.positions(&[Orders::TABLE]).to_string(),
            "ns.order.events/0@7,ns.order.events/1@2"
        );
        assert_eq!(progress.positions(&[Orders::TABLE, Streams::TABLE]).to_string(), "ns.order.events/0@5");
        let joined = progress.positions(&[Orders::TABLE, Payments::TABLE]).to_string();
        assert_eq!(joined, "ns.order.events/0@7,ns.order.events/1@2,ns.payment.events/0@0");
    }

    #[test]
    fn progress_never_goes_back() {
        let progress = progress();
        progress.advance(&[checkpoint(Orders::TABLE, "ns.order.events", 0, 8)]);
        progress.advance(&[checkpoint(Orders::TABLE, "ns.order.events", 0, 2)]);
        assert_eq!(progress.positions(&[Orders::TABLE]).offset("ns.order.events", 0), Some(7));
    }

    #[test]
    fn another_generation_is_read_once_it_lacks_nothing_that_was_seen() {
        let progress = progress();
        let (old, new) = (Orders::TABLE, Orders::TABLE.of_generation(2));
        progress.advance(&[checkpoint(old, "ns.order.events", 0, 8)]);
        progress.advance(&[checkpoint(new, "ns.order.events", 0, 99)]);
        assert_eq!(progress.positions(&[old]).offset("ns.order.events", 0), Some(7), "not read yet");
        assert!(!progress.switch(new, &[checkpoint(new, "ns.order.events", 0, 7)]));
        assert!(!progress.switch(new, &[checkpoint(new, "ns.order.events", 1, 9)]));
        assert_eq!(progress.serving(old), old);
        assert!(progress.switch(new, &[checkpoint(new, "ns.order.events", 0, 8)]));
        assert!(progress.switch(new, &[]), "it is read already");
        assert_eq!(progress.serving(old), new);
        progress.advance(&[checkpoint(old, "ns.order.events", 0, 20)]);
        progress.advance(&[checkpoint(new, "ns.order.events", 0, 9)]);
        assert_eq!(progress.positions(&[old]).offset("ns.order.events", 0), Some(8));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_position_and_ignores_topics_that_are_not_read() {
        let progress = progress();
        let asked: Positions =
            "ns.order.events/1@4,ns.payment.events/0@99,other.order.events/0@9".parse().unwrap();
        let waiting = {
            let (progress, asked) = (progress.clone(), asked.clone());
            tokio::spawn(
                async move { progress.wait(&[Orders::TABLE], &asked, Duration::from_secs(60)).await },
            )
        };
        progress.advance(&[checkpoint(Orders::TABLE, "ns.order.events", 1, 4)]);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        progress.advance(&[checkpoint(Orders::TABLE, "ns.order.events", 1, 5)]);
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn waiting_in_vain_says_what_is_missing() {
        let progress = progress();
        progress.advance(&[checkpoint(Orders::TABLE, "ns.order.events", 1, 5)]);
        let asked: Positions = "ns.order.events/0@0,ns.order.events/1@4".parse().unwrap();
        let behind = progress.wait(&[Orders::TABLE], &asked, Duration::ZERO).await.unwrap_err();
        assert_eq!(behind.asked.to_string(), "ns.order.events/0@0");
        assert_eq!(behind.reached.to_string(), "ns.order.events/1@4");
    }
}
