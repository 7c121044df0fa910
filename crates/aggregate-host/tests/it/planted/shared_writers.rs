//! No fence: opening a shard's writer again leaves the earlier ones able to write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use event_log::{AppendError, Appended, Batch, Error, Log, Shard, ShardWriter, WriterTerm};

use super::faulty_log::Bug;

/// A writer that several hold, each under a term of its own.
type Shared = Arc<Mutex<Box<dyn ShardWriter>>>;

#[derive(Clone, Default)]
pub(crate) struct SharedWriters(Arc<Mutex<HashMap<Shard, (Shared, WriterTerm)>>>);

impl Bug for SharedWriters {
    fn open_writer(&self, log: &dyn Log, shard: Shard) -> Result<Box<dyn ShardWriter>, Error> {
        let mut writers = self.0.lock().unwrap();
        if let Some((writer, term)) = writers.get_mut(&shard) {
            *term = term.next();
            return Ok(Box::new(SharedWriter { shard, term: *term, writer: Arc::clone(writer) }));
        }
        let writer = log.open_writer(shard)?;
        let term = writer.term();
        let writer = Arc::new(Mutex::new(writer));
        writers.insert(shard, (Arc::clone(&writer), term));
        Ok(Box::new(SharedWriter { shard, term, writer }))
    }
}

struct SharedWriter {
    shard: Shard,
    term: WriterTerm,
    writer: Shared,
}

impl ShardWriter for SharedWriter {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn term(&self) -> WriterTerm {
        self.term
    }

    fn append(&mut self, batch: Batch) -> Result<Appended, AppendError> {
        self.writer.lock().unwrap().append(batch)
    }

    fn is_open(&self) -> bool {
        self.writer.lock().unwrap().is_open()
    }
}
