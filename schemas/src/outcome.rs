//! What became of a command.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ErrorCode, Position, Version};

/// What became of a command. The same command id has the same outcome for ever (within the dedupe window).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was decided and its events are in the log.
    Accepted(Accepted),
    /// There was nothing to do: the stream already says what the command wanted.
    Unchanged {
        /// The stream's version, unchanged.
        version: Version,
    },
    /// A rule refused it; nothing was changed.
    Rejected(Rejection),
}

/// The events of an accepted command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The stream's version after the command's last event.
    pub version: Version,
    /// How many events it appended.
    pub events: u32,
    /// Where the last of them stands.
    pub position: Position,
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// Which rule.
    pub code: ErrorCode,
    /// The rule's sentence with its facts.
    pub detail: String,
    /// The facts, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, serde_json::Value>,
}

impl Rejection {
    /// A rejection without facts.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), facts: BTreeMap::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(serde_json::Value::Null);
        self.facts.insert(name.to_owned(), value);
        self
    }
}
