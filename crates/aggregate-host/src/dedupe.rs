//! Outcomes by command id: why the same wish is granted once.

use std::collections::HashMap;
use std::sync::Arc;

use event_log::Topics;
use schemas::{Accepted, CommandHash, CommandId, Outcome, Position, Rejection, Timestamp, Version};
use serde::{Deserialize, Serialize};

use crate::StartError;
use crate::state_store::StateStore;

/// A remembered outcome.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Remembered {
    pub(crate) hash: CommandHash,
    pub(crate) decided_at: Timestamp,
    pub(crate) outcome: Outcome,
}

/// As stored: the topic as its index, so that an accepted command takes some 40 bytes.
#[derive(Serialize, Deserialize)]
enum Stored {
    Accepted {
        version: Version,
        events: u32,
        topic: u8,
        partition: u32,
        offset: u64,
    },
    Unchanged {
        version: Version,
    },
    /// JSON, because facts are free-form.
    Rejected(Vec<u8>),
}

impl Remembered {
    pub(crate) fn to_bytes(&self, topics: &Topics) -> Vec<u8> {
        let stored = match &self.outcome {
            Outcome::Accepted(accepted) => Stored::Accepted {
                version: accepted.version,
                events: accepted.events,
                topic: topics
                    .all()
                    .iter()
                    .position(|topic| *topic == accepted.position.topic)
                    .and_then(|index| u8::try_from(index).ok())
                    .expect("events stand in one of the log's dozen topics"),
                partition: accepted.position.partition,
                offset: accepted.position.offset,
            },
            Outcome::Unchanged { version } => Stored::Unchanged { version: *version },
            Outcome::Rejected(rejection) => {
                Stored::Rejected(serde_json::to_vec(rejection).expect("facts are JSON already"))
            }
        };
        postcard::to_stdvec(&(self.hash, self.decided_at, stored)).expect("plain data has a postcard form")
    }

    pub(crate) fn from_bytes(bytes: &[u8], topics: &Topics) -> Option<Self> {
        let (hash, decided_at, stored): (CommandHash, Timestamp, Stored) =
            postcard::from_bytes(bytes).ok()?;
        let outcome = match stored {
            Stored::Accepted { version, events, topic, partition, offset } => Outcome::Accepted(Accepted {
                version,
                events,
                position: Position {
                    topic: topics.all().get(usize::from(topic))?.clone(),
                    partition,
                    offset,
                },
            }),
            Stored::Unchanged { version } => Outcome::Unchanged { version },
            Stored::Rejected(json) => Outcome::Rejected(serde_json::from_slice::<Rejection>(&json).ok()?),
        };
        Some(Self { hash, decided_at, outcome })
    }
}

/// The outcomes of one shard: those since the last checkpoint in memory, the others in the state store.
#[derive(Default)]
pub(crate) struct Dedupe {
    recent: HashMap<CommandId, Remembered>,
    /// Those that a running checkpoint is writing: not yet readable from the store.
    flushing: Arc<HashMap<CommandId, Remembered>>,
}

impl Dedupe {
    /// What became of `id`, if it is known.
    pub(crate) fn get(&self, id: CommandId, store: &StateStore) -> Result<Option<Remembered>, StartError> {
        if let Some(known) = self.recent.get(&id).or_else(|| self.flushing.get(&id)) {
            return Ok(Some(known.clone()));
        }
        store.outcome(id)
    }

    /// Remembers an outcome that is durable in the log.
    pub(crate) fn insert(&mut self, id: CommandId, remembered: Remembered) {
        self.recent.insert(id, remembered);
    }

    /// How many are not in the store.
    pub(crate) fn unsaved(&self) -> usize {
        self.recent.len()
    }

    /// Hands the unsaved ones to a checkpoint; they stay readable until [`Dedupe::flushed`].
    pub(crate) fn begin_flush(&mut self) -> Arc<HashMap<CommandId, Remembered>> {
        self.flushing = Arc::new(std::mem::take(&mut self.recent));
        Arc::clone(&self.flushing)
    }

    /// The checkpoint is written.
    pub(crate) fn flushed(&mut self) {
        self.flushing = Arc::default();
    }

    /// The checkpoint failed: its outcomes are unsaved again.
    pub(crate) fn not_flushed(&mut self) {
        let flushing = std::mem::take(&mut self.flushing);
        self.recent.extend(flushing.iter().map(|(id, remembered)| (*id, remembered.clone())));
    }

    /// Forgets whatever is not in the store.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
