//! Aggregate states: recent ones in memory, all others in the state store.

use aggregates::State;
use lru::LruCache;
use schemas::{StreamId, Version};

use crate::StartError;
use crate::state_store::StateStore;

/// A state and what the store knows of it.
pub(crate) struct Cached {
    pub(crate) version: Version,
    pub(crate) state: State,
    /// Changed since the last checkpoint began.
    pub(crate) dirty: bool,
}

/// The states of one shard. The most recently used stay in memory; a changed one leaves it only after a checkpoint
/// has written it.
pub(crate) struct States {
    cache: LruCache<StreamId, Cached>,
    dirty: Vec<StreamId>,
    entries_max: usize,
}

impl States {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { cache: LruCache::unbounded(), dirty: Vec::new(), entries_max }
    }

    /// The state of `stream`, loaded if need be; new streams are at [`Version::NONE`].
    pub(crate) fn load(&mut self, stream: &StreamId, store: &StateStore) -> Result<&mut Cached, StartError> {
        if !self.cache.contains(stream) {
            let (version, state) =
                store.state(stream)?.unwrap_or_else(|| (Version::NONE, State::new(stream.aggregate_type())));
            self.cache.put(stream.clone(), Cached { version, state, dirty: false });
        }
        Ok(self.cache.get_mut(stream).expect("it was just put there"))
    }

    /// Notes that the cached state of `stream` changed.
    pub(crate) fn touch(&mut self, stream: &StreamId) {
        if let Some(cached) = self.cache.peek_mut(stream)
            && !cached.dirty
        {
            cached.dirty = true;
            self.dirty.push(stream.clone());
        }
    }

    /// Copies of the states that the store lacks; they count as saved from now on, and must not leave memory before
    /// the checkpoint is written (see [`States::trim`]).
    pub(crate) fn begin_flush(&mut self) -> Vec<(StreamId, Version, State)> {
        let mut changed = Vec::with_capacity(self.dirty.len());
        for stream in self.dirty.drain(..) {
            if let Some(cached) = self.cache.peek_mut(&stream) {
                cached.dirty = false;
                changed.push((stream, cached.version, cached.state.clone()));
            }
        }
        changed
    }

    /// Drops the least recently used down to the limit. Only to be called when no checkpoint is being written.
    pub(crate) fn trim(&mut self) {
        let mut dirty = Vec::new();
        while self.cache.len() > self.entries_max + dirty.len() {
            match self.cache.pop_lru() {
                Some((stream, cached)) if cached.dirty => dirty.push((stream, cached)),
                Some(_) => {}
                None => break,
            }
        }
        for (stream, cached) in dirty {
            self.cache.put(stream, cached);
        }
    }

    /// Whether changes wait for a checkpoint.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// How many changed states wait for a checkpoint.
    pub(crate) fn unsaved(&self) -> usize {
        self.dirty.len()
    }

    /// Forgets whatever is not in the store.
    pub(crate) fn clear(&mut self) {
        self.cache.clear();
        self.dirty.clear();
    }
}
