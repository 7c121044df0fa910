//! Lanes: work of one key in order, of different keys at the same time, up to a limit.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Work waiting by key. A key has a lane as long as work of it waits or runs.
pub(crate) struct Lanes<K, W> {
    lanes: HashMap<K, VecDeque<W>>,
    /// Keys with waiting work, none of which runs; in the order in which they became so.
    ready: VecDeque<K>,
    running: usize,
    running_max: usize,
}

impl<K: Clone + Eq + Hash, W> Lanes<K, W> {
    pub(crate) fn new(running_max: usize) -> Self {
        Self { lanes: HashMap::new(), ready: VecDeque::new(), running: 0, running_max }
    }

    /// Queues work behind what waits for its key.
    pub(crate) fn push(&mut self, key: K, work: W) {
        let lane = self.lanes.entry(key.clone()).or_insert_with(|| {
            self.ready.push_back(key);
            VecDeque::new()
        });
        lane.push_back(work);
    }

    /// The next work that may run; its key is then taken until [`Lanes::finish`].
    pub(crate) fn start(&mut self) -> Option<(K, W)> {
        if self.running >= self.running_max {
            return None;
        }
        let key = self.ready.pop_front()?;
        let work = self.lanes.get_mut(&key).and_then(VecDeque::pop_front);
        let work = work.expect("a ready key has waiting work");
        self.running += 1;
        Some((key, work))
    }

    /// The running work of this key has ended.
    pub(crate) fn finish(&mut self, key: K) {
        self.running -= 1;
        if self.lanes.get(&key).is_some_and(VecDeque::is_empty) {
            self.lanes.remove(&key);
        } else {
            self.ready.push_back(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_a_key_runs_in_order_and_one_at_a_time() {
        let mut lanes = Lanes::new(10);
        for n in 1..=3 {
            lanes.push("a", n);
        }
        lanes.push("b", 10);
        assert_eq!(lanes.start(), Some(("a", 1)));
        assert_eq!(lanes.start(), Some(("b", 10)));
        assert_eq!(lanes.start(), None);
        lanes.finish("a");
        assert_eq!(lanes.start(), Some(("a", 2)));
        lanes.finish("a");
        lanes.push("a", 4);
        assert_eq!(lanes.start(), Some(("a", 3)));
        lanes.finish("a");
        assert_eq!(lanes.start(), Some(("a", 4)));
    }

    #[test]
    fn no_more_keys_run_than_allowed_and_none_starves() {
        let mut lanes = Lanes::new(1);
        for (key, n) in [("a", 1), ("a", 2), ("b", 3)] {
            lanes.push(key, n);
        }
        let mut order = Vec::new();
        while let Some((key, n)) = lanes.start() {
            assert_eq!(lanes.start(), None);
            order.push(n);
            lanes.finish(key);
        }
        assert_eq!(order, [1, 3, 2]);
        assert!(lanes.lanes.is_empty());
    }
}
