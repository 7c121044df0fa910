//! Places within one stream.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Place of an event in its stream. The first is 1; a stream without events is at [`Version::NONE`].
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// A stream without events.
    pub const NONE: Version = Version(0);
    /// The first event's place.
    pub const FIRST: Version = Version(1);

    /// Wraps a number read from a record or a request.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the caller believes of a stream; anything else is a conflict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedVersion {
    /// No belief: decide on whatever is there.
    #[default]
    Any,
    /// The stream is at just this version ([`Version::NONE`]: it has no events).
    Exactly(Version),
}

impl ExpectedVersion {
    /// Whether a stream at `version` is as believed.
    pub fn matches(self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => expected == version,
        }
    }
}
