//! How far the events have come: which are being dealt with, and up to where all before are dealt with.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_log::Cursor;
use schemas::{Position, Timestamp};
use tokio::sync::watch;

type Partition = (Arc<str>, u32);

/// Progress of the partitions that this process has. Shared by the thread that reads, the task that deals with the
/// events, and the timers.
#[derive(Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
    /// Somebody has finished something.
    finished: Condvar,
    /// Counts the assignments.
    assignments: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    partitions: HashMap<Partition, PartitionState>,
    outstanding: usize,
}

struct PartitionState {
    assigned_at: Timestamp,
    /// Behind the last record read; none: nothing was read since the assignment.
    read_up_to: Option<u64>,
    /// Events that were read and are not dealt with: when work on them began, if it has.
    open: BTreeMap<u64, Option<Timestamp>>,
    committed: Option<u64>,
}

/// Where an event stands with this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its partition belongs to another process.
    Elsewhere,
    /// It was not taken up yet.
    Waiting,
    /// It is being worked on since then.
    Working(Timestamp),
    /// All its steps are answered.
    Done,
}

/// A partition from which nothing came for so long after it was assigned has nothing new, milliseconds.
const QUIET_AFTER_MS: i64 = 5_000;

impl Progress {
    pub(crate) fn assign(&self, partitions: impl IntoIterator<Item = Partition>, now: Timestamp) {
        let mut state = self.lock();
        let mut is_new = false;
        for partition in partitions {
            is_new = true;
            let fresh =
                PartitionState { assigned_at: now, read_up_to: None, open: BTreeMap::new(), committed: None };
            if let Some(old) = state.partitions.insert(partition, fresh) {
                state.outstanding -= old.open.len();
            }
        }
        drop(state);
        if is_new {
            self.assignments.send_modify(|count| *count += 1);
        }
    }

    /// How often partitions were assigned; changes wake who waits for them.
    pub(crate) fn assignments(&self) -> watch::Receiver<u64> {
        self.assignments.subscribe()
    }

    pub(crate) fn revoke(&self, partitions: impl IntoIterator<Item = Partition>) {
        let mut state = self.lock();
        for partition in partitions {
            if let Some(old) = state.partitions.remove(&partition) {
                state.outstanding -= old.open.len();
            }
        }
        self.finished.notify_all();
    }

    /// An event was read that has to be dealt with (`is_open`), or one that needs nothing.
    pub(crate) fn read(&self, position: &Position, is_open: bool) {
        let mut state = self.lock();
        let Some(partition) = state.partitions.get_mut(&(position.topic.clone(), position.partition)) else {
            return;
        };
        partition.read_up_to = Some(position.offset + 1);
        if is_open && partition.open.insert(position.offset, None).is_none() {
            state.outstanding += 1;
        }
    }

    /// Work on an event begins.
    pub(crate) fn begin(&self, position: &Position, now: Timestamp) {
        let mut state = self.lock();
        let partition = state.partitions.get_mut(&(position.topic.clone(), position.partition));
        if let Some(began) = partition.and_then(|partition| partition.open.get_mut(&position.offset)) {
            *began = Some(now);
        }
    }

    /// All steps of an event are answered. Of a partition that was taken away meanwhile it means nothing.
    pub(crate) fn finish(&self, position: &Position) {
        let mut state = self.lock();
        let partition = state.partitions.get_mut(&(position.topic.clone(), position.partition));
        if partition.is_some_and(|partition| partition.open.remove(&position.offset).is_some()) {
            state.outstanding -= 1;
            self.finished.notify_all();
        }
    }

    /// Events that were read and are not dealt with.
    pub(crate) fn outstanding(&self) -> usize {
        self.lock().outstanding
    }

    /// Waits until fewer than `max` events are outstanding, at most `timeout`; returns how many are.
    pub(crate) fn wait_below(&self, max: usize, timeout: Duration) -> usize {
        let state = self.lock();
        let waiting = self.finished.wait_timeout_while(state, timeout, |state| state.outstanding >= max);
        waiting.unwrap_or_else(PoisonError::into_inner).0.outstanding
    }

    /// Where the partitions go on whose checkpoint has moved: behind the last event before which all are dealt with.
    pub(crate) fn uncommitted(&self) -> Vec<Cursor> {
        let state = self.lock();
        let mut cursors: Vec<_> = state
            .partitions
            .iter()
            .filter_map(|((topic, partition), known)| {
                let next_offset = known.checkpoint()?;
                (known.committed != Some(next_offset)).then(|| Cursor {
                    topic: topic.clone(),
                    partition: *partition,
                    next_offset,
                })
            })
            .collect();
        cursors.sort();
        cursors
    }

    /// These checkpoints were noted.
    pub(crate) fn committed(&self, cursors: &[Cursor]) {
        let mut state = self.lock();
        for cursor in cursors {
            if let Some(partition) = state.partitions.get_mut(&(cursor.topic.clone(), cursor.partition)) {
                partition.committed = Some(cursor.next_offset);
            }
        }
    }

    /// Where an event stands.
    pub(crate) fn standing(&self, position: &Position, now: Timestamp) -> Standing {
        let state = self.lock();
        let Some(partition) = state.partitions.get(&(position.topic.clone(), position.partition)) else {
            return Standing::Elsewhere;
        };
        match (partition.open.get(&position.offset), partition.read_up_to) {
            (Some(Some(began)), _) => Standing::Working(*began),
            (Some(None), _) => Standing::Waiting,
            (None, Some(read_up_to)) if position.offset < read_up_to => Standing::Done,
            (None, Some(_)) => Standing::Waiting,
            (None, None) if now >= partition.assigned_at.plus_millis(QUIET_AFTER_MS) => Standing::Done,
            (None, None) => Standing::Waiting,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is changed in single steps that don't panic in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartitionState {
    fn checkpoint(&self) -> Option<u64> {
        let read_up_to = self.read_up_to?;
        Some(self.open.first_key_value().map_or(read_up_to, |(offset, _)| *offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: i64 = 1_000_000;

    fn at(offset: u64) -> Position {
        Position { topic: "t".into(), partition: 0, offset }
    }

    fn progress() -> Progress {
        let progress = Progress::default();
        progress.assign([("t".into(), 0)], Timestamp::from_millis(T0));
        progress
    }

    fn next(progress: &Progress) -> Option<u64> {
        progress.uncommitted().first().map(|cursor| cursor.next_offset)
    }

    #[test]
    fn the_checkpoint_moves_over_the_contiguous_prefix_only() {
        let progress = progress();
        assert_eq!(next(&progress), None);
        (0..4).for_each(|offset| progress.read(&at(offset), offset != 1));
        assert_eq!(next(&progress), Some(0));
        progress.finish(&at(3));
        progress.finish(&at(2));
        assert_eq!((next(&progress), progress.outstanding()), (Some(0), 1));
        progress.finish(&at(0));
        assert_eq!((next(&progress), progress.outstanding()), (Some(4), 0));
        progress.committed(&progress.uncommitted());
        assert_eq!(next(&progress), None);
    }

    #[test]
    fn what_is_finished_after_its_partition_went_away_counts_for_nothing() {
        let progress = progress();
        progress.read(&at(0), true);
        progress.revoke([("t".into(), 0)]);
        progress.finish(&at(0));
        assert_eq!((next(&progress), progress.outstanding()), (None, 0));
        assert_eq!(progress.standing(&at(0), Timestamp::from_millis(T0)), Standing::Elsewhere);
    }

    #[test]
    fn an_event_waits_is_worked_on_and_is_done() {
        let (progress, now) = (progress(), Timestamp::from_millis(T0));
        assert_eq!(progress.standing(&at(5), now), Standing::Waiting);
        // Nothing came for a while: whatever stands in the partition was dealt with before it was assigned.
        assert_eq!(progress.standing(&at(5), now.plus_millis(QUIET_AFTER_MS)), Standing::Done);
        progress.read(&at(5), true);
        assert_eq!(progress.standing(&at(4), now), Standing::Done);
        assert_eq!(progress.standing(&at(5), now), Standing::Waiting);
        progress.begin(&at(5), now);
        assert_eq!(progress.standing(&at(5), now), Standing::Working(now));
        progress.finish(&at(5));
        assert_eq!(progress.standing(&at(5), now), Standing::Done);
        assert_eq!(progress.standing(&at(6), now.plus_millis(QUIET_AFTER_MS)), Standing::Waiting);
    }
}
