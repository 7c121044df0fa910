//! Aggregate states: recent ones in memory, all others in the state store.

use aggregates::State;
use lru::LruCache;
use schemas::{StreamId, Version};

use crate::StartError;
use crate::state_store::StateStore;

/// What a state counts beside its own bytes: its key, its place in the cache.
const ENTRY_BYTES: usize = 128;

/// A state and what the store knows of it.
pub(crate) struct Cached {
    pub(crate) version: Version,
    pub(crate) state: State,
    /// Changed since the last checkpoint began.
    dirty: bool,
    /// Bytes in the store, as last known; 0 for a state that was never there.
    stored_bytes: usize,
}

/// The states of one shard. The most recently used stay in memory; a changed one leaves it only after a checkpoint
/// has written it.
pub(crate) struct States {
    cache: LruCache<StreamId, Cached>,
    dirty: Vec<StreamId>,
    /// Of all in memory: their bytes in the store and [`ENTRY_BYTES`] each.
    bytes: usize,
    bytes_max: usize,
}

impl States {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { cache: LruCache::unbounded(), dirty: Vec::new(), bytes: 0, bytes_max }
    }

    /// The state of `stream`, loaded if need be; new streams are at [`Version::NONE`].
    pub(crate) fn load(&mut self, stream: &StreamId, store: &StateStore) -> Result<&mut Cached, StartError> {
        let Self { cache, bytes, .. } = self;
        cache.try_get_or_insert_mut(stream.clone(), || {
            let stored = store.state(stream)?;
            let (version, state, stored_bytes) =
                stored.unwrap_or_else(|| (Version::NONE, State::new(stream.aggregate_type()), 0));
            *bytes += stored_bytes + ENTRY_BYTES;
            Ok(Cached { version, state, dirty: false, stored_bytes })
        })
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

    /// Notes how large the states of a checkpoint are in the store.
    pub(crate) fn saved(&mut self, states: &[(StreamId, Version, State)], stored_bytes: &[usize]) {
        for ((stream, ..), bytes) in states.iter().zip(stored_bytes) {
            if let Some(cached) = self.cache.peek_mut(stream) {
                self.bytes += bytes;
                self.bytes -= std::mem::replace(&mut cached.stored_bytes, *bytes);
            }
        }
    }

    /// Drops the least recently used down to the limit. Only to be called when no checkpoint is being written.
    pub(crate) fn trim(&mut self) {
        let mut dirty = Vec::new();
        while self.bytes > self.bytes_max {
            match self.cache.pop_lru() {
                Some((stream, cached)) if cached.dirty => dirty.push((stream, cached)),
                Some((_, cached)) => self.bytes -= cached.stored_bytes + ENTRY_BYTES,
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
        self.bytes = 0;
        self.dirty.clear();
    }
}
