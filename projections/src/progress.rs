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
    /// Next offset by source.
    applied: watch::Sender<BTreeMap<Source, u64>>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition of all event topics.
    pub partition: u32,
    /// What it is doing.
    pub state: PartitionState,
    /// Events between the log's stable end and what is applied, as last measured.
    pub lag_events: u64,
    /// Age of the last applied event while there are newer ones, as last measured, seconds.
    pub lag_seconds: u64,
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
    /// Nothing applied yet. `topics` and `partitions` are those of the log.
    pub fn new(topics: Topics, partitions: u32, catalogue: &Catalogue) -> Self {
        let status = |partition| PartitionStatus {
            partition,
            state: PartitionState::Starting,
            lag_events: 0,
            lag_seconds: 0,
        };
        Self::with(topics, partitions, catalogue, (0..partitions).map(status).collect())
    }

    /// As [`Progress::new`], of projectors that run elsewhere: nothing is known of them.
    pub(crate) fn of_others(topics: Topics, partitions: u32, catalogue: &Catalogue) -> Self {
        Self::with(topics, partitions, catalogue, Vec::new())
    }

    fn with(topics: Topics, partitions: u32, catalogue: &Catalogue, states: Vec<PartitionStatus>) -> Self {
        let tables = catalogue
            .tables()
            .map(|(table, aggregates)| {
                let topics = aggregates.iter().map(|a: &AggregateType| topics.events(*a).clone()).collect();
                (table, TableProgress { topics, applied: watch::Sender::new(BTreeMap::new()) })
            })
            .collect();
        Self(Arc::new(Inner { topics, partitions, tables, states: Mutex::new(states) }))
    }

    /// The topics of the log.
    pub fn topics(&self) -> &Topics {
        &self.0.topics
    }

    /// How many partitions every topic has.
    pub fn partitions(&self) -> u32 {
        self.0.partitions
    }

    /// Notes checkpoints that are stored. They never go back.
    pub fn advance(&self, checkpoints: &[Checkpoint]) {
        let mut rest = checkpoints;
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|c| c.table == first.table).count();
            let (of_table, others) = rest.split_at(same);
            rest = others;
            let Some(table) = self.0.tables.get(&first.table) else { continue };
            table.applied.send_if_modified(|applied| {
                let mut moved = false;
                for checkpoint in of_table {
                    let next = applied.entry(checkpoint.source.clone()).or_insert(0);
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
                    let next = applied.get(&source).copied().unwrap_or(0);
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
                let reached = |applied: &BTreeMap<Source, u64>| {
                    wanted
                        .iter()
                        .all(|(source, offset)| applied.get(source).is_some_and(|next| next > offset))
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

    /// Every partition's projector; none where they run elsewhere.
    pub fn statuses(&self) -> Vec<PartitionStatus> {
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
