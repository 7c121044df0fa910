//! Waiting for the shard: its part of a shared log is folded meanwhile, so that taking it over is quick.

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use event_log::{Ack, LogReader};

use super::fold::{FoldBatch, read_batch};
use super::{IDLE, ShardWorker};
use crate::StartError;
use crate::work::Control;

/// What a look at the control channel brought.
enum Told {
    Nothing,
    Own(Ack),
    End,
}

impl ShardWorker {
    /// Follows the log until the shard is assigned to this node; `None` when the host has ended.
    pub(super) fn stand_by(&mut self, control: &Receiver<Control>) -> Result<Option<Ack>, StartError> {
        let is_warm = self.context.config.standby && self.context.log.is_shared();
        let mut reader = None;
        loop {
            // Following the log waits by itself; otherwise the message is what is waited for.
            let told = if is_warm { told(control.try_recv()) } else { told(control.recv_timeout(IDLE)) };
            match told {
                Told::Own(ack) => return Ok(Some(ack)),
                Told::End => return Ok(None),
                Told::Nothing if is_warm => self.follow(&mut reader)?,
                Told::Nothing => {}
            }
        }
    }

    /// One read of the log, and what follows from it. A log that is away is asked again.
    fn follow(&mut self, reader: &mut Option<Box<dyn LogReader>>) -> Result<(), StartError> {
        match self.read_on(reader) {
            Ok(()) => {
                self.checkpoint_if_due();
                Ok(())
            }
            Err(error @ (StartError::Record { .. } | StartError::StateStore { .. })) => Err(error),
            Err(error) => {
                tracing::debug!(shard = %self.context.shard, error = %service_kit::Chain(&error), "standing by goes on after an error");
                *reader = None;
                std::thread::sleep(IDLE);
                Ok(())
            }
        }
    }

    fn read_on(&mut self, reader: &mut Option<Box<dyn LogReader>>) -> Result<(), StartError> {
        let reader = match reader {
            Some(reader) => reader,
            None => reader.insert(self.open_reader()?),
        };
        let FoldBatch { records, cursors } = read_batch(&mut **reader, self.context.log.topics())?;
        self.fold_all(records)?;
        self.cursors = cursors;
        Ok(())
    }
}

/// Why there is no message.
trait Silence {
    fn is_for_ever(&self) -> bool;
}

impl Silence for TryRecvError {
    fn is_for_ever(&self) -> bool {
        matches!(self, Self::Disconnected)
    }
}

impl Silence for RecvTimeoutError {
    fn is_for_ever(&self) -> bool {
        matches!(self, Self::Disconnected)
    }
}

/// A message that ends an ownership which has ended already is answered by being dropped.
fn told(received: Result<Control, impl Silence>) -> Told {
    match received {
        Ok(Control::Own(ack)) => Told::Own(ack),
        Ok(Control::Drain(_) | Control::Lost) => Told::Nothing,
        Err(silence) if silence.is_for_ever() => Told::End,
        Err(_) => Told::Nothing,
    }
}
