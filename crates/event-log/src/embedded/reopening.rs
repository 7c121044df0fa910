//! Opening the database again in the process after a failed write, until it works or there is no hope.
//!
//! A full disk is waited for without end: its operator makes room, and the log goes on without hands. Any other failure
//! is tried for `reopen_timeout_ms`; then the log has failed, everything says so, and the process ends. What was
//! acknowledged is safe all the while: it was synced before.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use service_kit::Chain;

use super::committer::{Committer, Mending, Request};
use super::folder::is_disk_full;
use crate::Error;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often an operator is reminded of a disk that stays full.
const REMIND_AFTER: Duration = Duration::from_secs(60);

impl Committer {
    /// Opens the closed database again. Until then everybody who asks is told that nothing was done.
    pub(super) fn reopen(&mut self, mending: Mending, queue: &Receiver<Request>) {
        let began = Instant::now();
        let timeout = Duration::from_millis(self.store.config.reopen_timeout_ms);
        let mut told: Option<Instant> = None;
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.store.reopen_database(mending) {
                Ok(()) => {
                    let took_ms = began.elapsed().as_millis() as u64;
                    tracing::warn!(took_ms, "the log is open again and holds what is on the disk");
                    return;
                }
                Err(error) => error,
            };
            let is_full = is_disk_full(&error);
            let is_hopeless = matches!(error, Error::Damaged { .. });
            if is_hopeless || (!is_full && began.elapsed() > timeout) {
                tracing::error!(error = %Chain(&error), "the log cannot be opened again; it takes nothing any more");
                self.store.fail();
                return self.refuse_until(None, queue, || Error::Poisoned);
            }
            if told.is_none_or(|told| told.elapsed() > REMIND_AFTER) {
                told = Some(Instant::now());
                tracing::error!(error = %Chain(&error), is_full, "the log is not open again yet; it is tried further");
            }
            self.refuse_until(Some(Instant::now() + pause), queue, || Error::Reopening);
            if self.is_ending {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Refuses what is asked until then, or until the end is asked for.
    fn refuse_until(&mut self, until: Option<Instant>, queue: &Receiver<Request>, why: impl Fn() -> Error) {
        // A queue that is never empty must not put the next try off.
        while !self.is_ending && until.is_none_or(|until| Instant::now() < until) {
            let request = match until {
                Some(until) => queue.recv_deadline(until),
                None => queue.recv().map_err(Into::into),
            };
            match request {
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => self.is_ending = true,
                Ok(request) => request.refuse(why()),
                Err(RecvTimeoutError::Timeout) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::EmbeddedConfig;
    use super::super::store::Store;
    use super::*;
    use crate::Shard;

    #[test]
    fn a_queue_that_is_never_empty_does_not_put_the_next_try_off() {
        let folder = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { path: folder.path().join("log"), ..EmbeddedConfig::default() };
        let store = Arc::new(Store::open(config).unwrap());
        let mut committer = Committer::new(store);
        let (requests, queue) = crossbeam_channel::unbounded();
        let (answer, answers) = crossbeam_channel::unbounded();
        let ask = || requests.send(Request::Open { shard: Shard::new(0), answer: answer.clone() }).unwrap();

        ask();
        committer.refuse_until(Some(Instant::now()), &queue, || Error::Reopening);
        assert_eq!((queue.len(), answers.len()), (1, 0), "the time was over before it was taken");
        committer.refuse_until(Some(Instant::now() + PAUSE_MIN), &queue, || Error::Reopening);
        assert_eq!(queue.len(), 0);
        assert!(matches!(answers.recv(), Ok(Err(Error::Reopening))));
    }
}
