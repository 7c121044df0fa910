//! Checkpoints: what the state store lacks goes there now and then, on a thread of its own.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{ShardContext, ShardWorker};
use crate::StartError;
use crate::state_store::{Checkpoint, StateStore};

/// A checkpoint that was tried, and what came of it: the sizes of its states, bytes.
type Flushed = (Checkpoint, Result<Vec<usize>, StartError>);

/// The thread that writes checkpoints; one is under way at a time.
pub(super) struct Flusher {
    checkpoints: Sender<Checkpoint>,
    flushed: Receiver<Flushed>,
    is_busy: bool,
}

impl Flusher {
    pub(super) fn start(store: &StateStore, context: &ShardContext) -> Self {
        let (checkpoints, to_write) = bounded::<Checkpoint>(1);
        // One checkpoint is under way at a time, so one answer fits always.
        let (written, flushed) = bounded(1);
        let (store, config) = (store.clone(), context.config.clone());
        let name = format!("checkpoint-{}", context.shard);
        context.tasks.spawn_thread(name, service_kit::OnError::Log, move |_| {
            for checkpoint in to_write {
                let result = store.write(&checkpoint, &config);
                if written.send((checkpoint, result)).is_err() {
                    break;
                }
            }
            Ok::<_, StartError>(())
        });
        Self { checkpoints, flushed, is_busy: false }
    }
}

impl ShardWorker {
    /// Begins a checkpoint when enough has gathered or enough time has passed, and none is being written.
    pub(super) fn checkpoint_if_due(&mut self) {
        if self.flusher.is_busy {
            match self.flusher.flushed.try_recv() {
                // Told already; what it could not write belongs to the next one.
                Ok(flushed) => drop(self.flush_ended(flushed)),
                Err(_) => return,
            }
        }
        let unsaved = self.unsaved();
        let interval = Duration::from_millis(self.context.config.checkpoint_interval_ms);
        let due = unsaved >= self.context.config.checkpoint_commands_max
            || self.last_checkpoint.elapsed() >= interval;
        if due && unsaved > 0 {
            self.begin_checkpoint();
        }
    }

    /// Begins a checkpoint while the log is folded, once enough has gathered: after the one before it, so that memory is
    /// bounded, and only if that one was written.
    pub(super) fn checkpoint_behind(&mut self) -> Result<(), StartError> {
        if self.unsaved() >= self.context.config.checkpoint_commands_max {
            self.wait_for_flush()?;
            self.begin_checkpoint();
        }
        Ok(())
    }

    /// How much the store lacks.
    fn unsaved(&self) -> usize {
        self.states.unsaved().max(self.dedupe.unsaved())
    }

    fn begin_checkpoint(&mut self) {
        self.last_checkpoint = Instant::now();
        let checkpoint = self.checkpoint();
        self.flusher.is_busy = self.flusher.checkpoints.send(checkpoint).is_ok();
    }

    /// What the store lacks; it counts as saved until [`Self::flush_ended`] says otherwise.
    fn checkpoint(&mut self) -> Checkpoint {
        Checkpoint {
            states: self.states.begin_flush(),
            outcomes: self.dedupe.begin_flush(),
            cursors: self.cursors.clone(),
            now: self.now(),
        }
    }

    fn flush_ended(&mut self, (checkpoint, result): Flushed) -> Result<(), StartError> {
        self.flusher.is_busy = false;
        match result {
            Ok(sizes) => {
                self.dedupe.flushed();
                self.states.saved(&checkpoint.states, &sizes);
                self.states.trim();
                Ok(())
            }
            // Nothing has left memory since: all of it belongs to the next checkpoint again.
            Err(error) => {
                tracing::error!(shard = %self.context.shard, error = %service_kit::Chain(&error), "checkpoint failed");
                self.dedupe.not_flushed();
                for (stream, ..) in &checkpoint.states {
                    self.states.touch(stream);
                }
                Err(error)
            }
        }
    }

    /// Waits for the checkpoint that is being written, if one is; its error is told.
    pub(super) fn wait_for_flush(&mut self) -> Result<(), StartError> {
        match self.flusher.is_busy.then(|| self.flusher.flushed.recv()) {
            Some(Ok(flushed)) => self.flush_ended(flushed),
            _ => Ok(()),
        }
    }

    /// Brings the store up to date before going on. The store is disposable, and whoever comes next folds from the checkpoint
    /// before: when it cannot be written, that is told, and no more.
    pub(super) fn checkpoint_or_warn(&mut self) {
        let written = self.wait_for_flush();
        if written.is_ok() && !self.states.is_dirty() && self.dedupe.unsaved() == 0 {
            return;
        }
        let checkpoint = self.checkpoint();
        let result = self.store.write(&checkpoint, &self.context.config);
        if let Err(error) = self.flush_ended((checkpoint, result)) {
            tracing::warn!(shard = %self.context.shard, %error, "the last checkpoint of the state store was not written");
        }
    }
}
