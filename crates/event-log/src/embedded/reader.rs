//! Reads partitions of the embedded log up to their stable ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::Position;

use super::database::{LogDatabase, read_error};
use super::store::Store;
use super::stored_record::{decode, offset_of, row_key};
use crate::{Cursor, Error, LogReader, Record};

/// A reader of some partitions.
pub(crate) struct EmbeddedReader {
    store: Arc<Store>,
    partitions: Vec<Partition>,
    /// Which partition is read first next time, so that a busy one does not starve the others.
    turn: usize,
}

struct Partition {
    slot: usize,
    topic: Arc<str>,
    partition: u32,
    next_offset: u64,
    sampled_end: u64,
    is_paused: bool,
}

impl Partition {
    fn cursor(&self, next_offset: u64) -> Cursor {
        Cursor { topic: self.topic.clone(), partition: self.partition, next_offset }
    }
}

impl EmbeddedReader {
    pub(crate) fn open(store: Arc<Store>, from: &[Cursor]) -> Result<Self, Error> {
        let mut partitions: Vec<Partition> = Vec::with_capacity(from.len());
        for cursor in from {
            let slot = store.slot(&cursor.topic, cursor.partition)?;
            if partitions.iter().any(|known| known.slot == slot) {
                let reason =
                    format!("{}/{} is to be read twice by one reader", cursor.topic, cursor.partition);
                return Err(Error::Config { reason });
            }
            let sampled_end = store.end(slot);
            if cursor.next_offset > sampled_end {
                return Err(Error::OffsetOutOfRange {
                    topic: cursor.topic.to_string(),
                    partition: cursor.partition,
                    offset: cursor.next_offset,
                });
            }
            partitions.push(Partition {
                slot,
                topic: cursor.topic.clone(),
                partition: cursor.partition,
                next_offset: cursor.next_offset,
                sampled_end,
                is_paused: false,
            });
        }
        Ok(Self { store, partitions, turn: 0 })
    }

    /// Skips or takes up again the partition of a shard in all topics.
    pub(crate) fn set_paused(&mut self, partition: u32, is_paused: bool) {
        for known in self.partitions.iter_mut().filter(|known| known.partition == partition) {
            known.is_paused = is_paused;
        }
    }

    /// Goes on elsewhere in a partition that is read.
    pub(crate) fn seek(&mut self, to: &Cursor) -> Result<(), Error> {
        let slot = self.store.slot(&to.topic, to.partition)?;
        let known = self.partitions.iter_mut().find(|known| known.slot == slot);
        let known = known
            .ok_or_else(|| Error::NoSuchPartition { topic: to.topic.to_string(), partition: to.partition })?;
        known.next_offset = to.next_offset;
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.store.is_open()
            && self.partitions.iter().any(|p| !p.is_paused && p.next_offset < self.store.end(p.slot))
    }

    fn read_partition(
        &mut self,
        database: &LogDatabase,
        index: usize,
        records_max: usize,
        bytes: &mut usize,
        out: &mut Vec<Record>,
    ) -> Result<(), Error> {
        let bytes_max = self.store.config.log.read_bytes_max;
        let partition = &mut self.partitions[index];
        let end = self.store.end(partition.slot);
        if partition.is_paused || partition.next_offset >= end {
            return Ok(());
        }
        let key = |offset| row_key(self.store.topic_number(partition.slot), partition.partition, offset);
        for row in database.records.range(key(partition.next_offset)..key(end)) {
            if out.len() >= records_max || *bytes >= bytes_max {
                break;
            }
            let (row_key, value) = row.into_inner().map_err(read_error)?;
            let offset =
                offset_of(&row_key).filter(|offset| *offset == partition.next_offset).ok_or_else(|| {
                    let what = format!(
                        "{}/{} has no record {}",
                        partition.topic, partition.partition, partition.next_offset
                    );
                    Error::Damaged { what }
                })?;
            let position =
                Position { topic: partition.topic.clone(), partition: partition.partition, offset };
            *bytes += value.len();
            out.push(decode(position, value)?);
            partition.next_offset = offset + 1;
        }
        Ok(())
    }
}

impl LogReader for EmbeddedReader {
    fn read(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error> {
        let deadline = Instant::now() + timeout;
        if !self.is_ready() && !timeout.is_zero() {
            self.store.wait(deadline, || self.is_ready());
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        let count = self.partitions.len();
        let store = Arc::clone(&self.store);
        let read = store.with(|database| {
            (0..count).try_for_each(|i| {
                self.read_partition(database, (self.turn + i) % count, records_max, &mut bytes, &mut records)
            })
        });
        match read {
            // There is nothing to read until the log is open again, as if nobody wrote.
            Err(Error::Reopening) => {}
            outcome => outcome?,
        }
        self.turn = if count == 0 { 0 } else { (self.turn + 1) % count };
        if records.is_empty() && self.store.is_closed() {
            return Err(Error::Closed);
        }
        Ok(records)
    }

    fn next_offsets(&self) -> Vec<Cursor> {
        self.partitions.iter().map(|p| p.cursor(p.next_offset)).collect()
    }

    fn stable_ends(&self) -> Vec<Cursor> {
        self.partitions.iter().map(|p| p.cursor(p.sampled_end)).collect()
    }

    fn caught_up(&self) -> bool {
        self.partitions.iter().all(|p| p.next_offset >= p.sampled_end)
    }
}
