//! Answers an append before it is done: the batch is written with the next one, or never.

use std::collections::HashMap;
use std::sync::Arc;

use event_log::{AppendError, Appended, Batch, Error, Log, NewRecord, Shard, ShardWriter, WriterTerm};
use schemas::Position;

use super::faulty_log::Bug;

pub(crate) struct EarlyAnswers {
    /// How many offsets of a partition a batch takes beside its records.
    pub(crate) markers: u64,
}

impl Bug for EarlyAnswers {
    fn open_writer(&self, log: &dyn Log, shard: Shard) -> Result<Box<dyn ShardWriter>, Error> {
        let writer = log.open_writer(shard)?;
        let mut ends = HashMap::new();
        for topic in log.topics().all() {
            ends.insert(topic.clone(), log.stable_end(topic, shard.partition())?);
        }
        Ok(Box::new(EarlyWriter { writer, ends, answered: Vec::new(), markers: self.markers }))
    }
}

/// Knows where its records will go, for nobody else writes there. Dropped, it takes along what it has answered.
struct EarlyWriter {
    writer: Box<dyn ShardWriter>,
    ends: HashMap<Arc<str>, u64>,
    answered: Vec<NewRecord>,
    markers: u64,
}

impl ShardWriter for EarlyWriter {
    fn shard(&self) -> Shard {
        self.writer.shard()
    }

    fn term(&self) -> WriterTerm {
        self.writer.term()
    }

    fn append(&mut self, batch: Batch) -> Result<Appended, AppendError> {
        let before = self.writer.append(Batch::of(std::mem::take(&mut self.answered)))?;
        for position in before.positions() {
            self.ends.insert(position.topic.clone(), position.offset + 1 + self.markers);
        }
        self.answered = batch.records;
        let mut ends = self.ends.clone();
        let positions = self.answered.iter().map(|record| {
            let end = ends.get_mut(&record.topic).expect("one of the log's topics");
            let (topic, partition) = (record.topic.clone(), record.partition);
            let position = Position { topic, partition, offset: *end };
            *end += 1;
            position
        });
        Ok(Appended::new(positions.collect()))
    }

    fn is_open(&self) -> bool {
        self.writer.is_open()
    }
}
