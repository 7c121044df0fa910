//! A map that forgets its oldest entries: the sandbox stands in for somebody else's disk.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

pub(super) struct Bounded<K, V> {
    entries: HashMap<K, V>,
    order: VecDeque<K>,
    entries_max: usize,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), entries_max: entries_max.max(1) }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > self.entries_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    /// The entry, made where there is none.
    pub(super) fn entry(&mut self, key: &K, fresh: impl FnOnce() -> V) -> &mut V {
        if !self.entries.contains_key(key) {
            self.insert(key.clone(), fresh());
        }
        self.entries.get_mut(key).expect("the newest entry is not the oldest: there is room for one")
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_is_forgotten_and_there_is_always_room_for_one() {
        let mut map = Bounded::new(2);
        for key in [1, 2, 1, 3] {
            map.insert(key, key);
        }
        assert_eq!((map.get(&1), map.get(&2), map.get(&3)), (None, Some(&2), Some(&3)));
        assert_eq!(*Bounded::new(0).entry(&7, || 8), 8);
    }
}
