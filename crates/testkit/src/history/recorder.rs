//! Writes requests down as they are made and answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use schemas::CommandId;

use super::{Attempt, History, Told, Wish};

/// Shared by all clients of a run; a cheap clone. Writing down costs a clock reading and a push under a lock.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Where the clock of the history begins.
    started: Instant,
    attempts: Mutex<Vec<Attempt>>,
}

/// A request that was made and waits for its answer. Dropped, it stays without one: it may take effect or not.
#[derive(Debug)]
#[must_use = "what was told has to be written down"]
pub struct Asked {
    recorder: Recorder,
    index: usize,
}

impl Default for Recorder {
    fn default() -> Self {
        Self(Arc::new(Shared { started: Instant::now(), attempts: Mutex::default() }))
    }
}

impl Recorder {
    /// An empty history, whose clock begins now.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a request down; call it before the request leaves.
    pub fn ask(&self, client: u32, command_id: CommandId, wish: Wish) -> Asked {
        let asked_ns = self.now_ns();
        let told = Told::unknown("no answer");
        let mut attempts = self.attempts();
        attempts.push(Attempt { client, command_id, wish, asked_ns, answered_ns: None, told });
        Asked { recorder: self.clone(), index: attempts.len() - 1 }
    }

    /// What was written down so far.
    pub fn history(&self) -> History {
        let mut attempts = self.attempts().clone();
        // Two clients may have read the clock in one order and taken the lock in the other.
        attempts.sort_by_key(|attempt| attempt.asked_ns);
        History { attempts }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_nanos()).expect("a run takes less than five centuries")
    }

    fn attempts(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Writes the answer down; call it once the answer is there.
    pub fn told(self, told: Told) {
        let answered_ns = self.recorder.now_ns();
        let mut attempts = self.recorder.attempts();
        let attempt = &mut attempts[self.index];
        attempt.answered_ns = Some(answered_ns);
        attempt.told = told;
    }
}

#[cfg(test)]
mod tests {
    use schemas::{CommandHash, Principal, Version};
    use uuid::Uuid;

    use super::*;

    fn wish() -> Wish {
        Wish {
            stream: "stock/A".parse().unwrap(),
            kind: "receive".into(),
            hash: CommandHash::from_bytes([7; 16]),
            principal: Principal::anonymous(),
            expected_version: Some(Version::FIRST),
        }
    }

    #[test]
    fn a_history_reads_back_as_it_was_written() {
        let recorder = Recorder::new();
        let ask = |id| recorder.ask(3, CommandId::new(Uuid::from_u128(id)), wish());
        let position = "millrace.stock.events/1@42".parse().unwrap();
        ask(1).told(Told::Accepted { version: Version::FIRST, events: Some(1), position, replayed: true });
        ask(2).told(Told::Unchanged { version: Version::FIRST, replayed: false });
        ask(3).told(Told::Rejected { code: schemas::ErrorCode::InsufficientStock, replayed: false });
        ask(4).told(Told::not_done("overloaded"));
        ask(5).told(Told::IdReused);
        ask(6).told(Told::unknown("time-out"));
        drop(ask(7));
        let history = recorder.history();
        let mut lines = Vec::new();
        history.write(&mut lines).unwrap();
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 7);
        assert_eq!(History::read(&lines[..]).unwrap(), history);
    }

    #[test]
    fn a_request_is_in_the_history_before_its_answer_and_stays_when_it_is_given_up() {
        let recorder = Recorder::new();
        let asked = recorder.ask(1, CommandId::new(Uuid::from_u128(1)), wish());
        let before = recorder.history().attempts.remove(0);
        assert_eq!((before.answered_ns, before.told.may_be_decided()), (None, true));
        asked.told(Told::not_done("overloaded"));
        let after = recorder.history().attempts.remove(0);
        assert!(after.answered_ns.unwrap() > after.asked_ns);
        assert!(!after.told.may_be_decided());
    }
}
