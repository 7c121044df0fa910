//! A write whose fate is unknown lands after the shard's writer was opened again: behind its own fence.

use std::sync::{Arc, Mutex};

use event_log::{AppendError, Appended, Batch, Error, Log, Shard, ShardWriter, WriterTerm};

use super::faulty_log::Bug;

#[derive(Clone)]
pub(crate) struct LateWrites(Arc<Mutex<State>>);

struct State {
    /// Whose next append gets lost.
    fails: Option<Shard>,
    lost: Option<Batch>,
    lands: bool,
}

impl LateWrites {
    /// What got lost is written behind the next append.
    pub(crate) fn that_land_late() -> Self {
        Self(Arc::new(Mutex::new(State { fails: None, lost: None, lands: true })))
    }

    /// What got lost stays lost: the log may do that.
    pub(crate) fn that_never_land() -> Self {
        Self(Arc::new(Mutex::new(State { fails: None, lost: None, lands: false })))
    }

    /// Lets the shard's next append get lost.
    pub(crate) fn fail_next(&self, shard: &Shard) {
        self.0.lock().unwrap().fails = Some(*shard);
    }
}

impl Bug for LateWrites {
    fn open_writer(&self, log: &dyn Log, shard: Shard) -> Result<Box<dyn ShardWriter>, Error> {
        let writer = log.open_writer(shard)?;
        Ok(Box::new(LateWriter { writer, state: Arc::clone(&self.0), is_open: true }))
    }
}

struct LateWriter {
    writer: Box<dyn ShardWriter>,
    state: Arc<Mutex<State>>,
    is_open: bool,
}

impl ShardWriter for LateWriter {
    fn shard(&self) -> Shard {
        self.writer.shard()
    }

    fn term(&self) -> WriterTerm {
        self.writer.term()
    }

    fn append(&mut self, batch: Batch) -> Result<Appended, AppendError> {
        let mut state = self.state.lock().unwrap();
        if state.fails == Some(self.shard()) {
            state.fails = None;
            state.lost = Some(batch);
            self.is_open = false;
            return Err(AppendError::Unknown { source: "planted".into() });
        }
        let appended = self.writer.append(batch)?;
        if state.lands
            && let Some(late) = state.lost.take()
        {
            self.writer.append(late)?;
        }
        Ok(appended)
    }

    fn is_open(&self) -> bool {
        self.is_open && self.writer.is_open()
    }
}
