//! One request of a client and its answer, and all of them.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Write};

use schemas::{CommandHash, CommandId, ErrorCode, Outcome, Position, Principal, StreamId, Version};
use serde::{Deserialize, Serialize};

use super::text;

/// What a client wants; repeating it under the same command id is the same wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The stream that it is for.
    #[serde(with = "text")]
    pub stream: StreamId,
    /// Which command, for people.
    pub kind: Cow<'static, str>,
    /// Tells two wishes apart. It need not be the hash that the log has: the server may hash something else.
    #[serde(with = "text")]
    pub hash: CommandHash,
    /// Who asks.
    pub principal: Principal,
    /// The version at which the client says the stream is; none: it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<Version>,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// It is done.
    Accepted {
        /// The stream's version after its last event.
        version: Version,
        /// How many events it made, where the answer says so.
        events: Option<u32>,
        /// Where the last of them stands.
        position: Position,
        /// Whether the answer says that an earlier request had done it.
        replayed: bool,
    },
    /// There was nothing to do.
    Unchanged {
        /// The stream's version.
        version: Version,
        /// Whether the answer says that an earlier request was told so.
        replayed: bool,
    },
    /// A rule refused it; the refusal is recorded.
    Rejected {
        /// Which rule.
        code: ErrorCode,
        /// Whether the answer says that an earlier request was told so.
        replayed: bool,
    },
    /// This request did nothing: it was turned away before it was decided, or its batch was not written.
    NotDone {
        /// Why: an error code, or what the client knows (it was never connected).
        why: Cow<'static, str>,
    },
    /// The command id stands for another wish; this request did nothing.
    IdReused,
    /// Nothing certain: "outcome unknown", a time-out, a broken connection, or no answer yet.
    Unknown {
        /// Why.
        why: Cow<'static, str>,
    },
}

impl Told {
    /// What a recorded outcome tells.
    pub fn outcome(outcome: &Outcome, replayed: bool) -> Self {
        match outcome {
            Outcome::Accepted(accepted) => Self::Accepted {
                version: accepted.version,
                events: Some(accepted.events),
                position: accepted.position.clone(),
                replayed,
            },
            Outcome::Unchanged { version } => Self::Unchanged { version: *version, replayed },
            Outcome::Rejected(rejection) => Self::Rejected { code: rejection.code, replayed },
        }
    }

    /// "Nothing was done".
    pub fn not_done(why: impl Into<Cow<'static, str>>) -> Self {
        Self::NotDone { why: why.into() }
    }

    /// "Who knows".
    pub fn unknown(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// Whether it is a decision: told once, it holds for ever.
    pub fn is_decision(&self) -> bool {
        matches!(self, Self::Accepted { .. } | Self::Unchanged { .. } | Self::Rejected { .. })
    }

    /// Whether the request may be the one that was decided.
    pub fn may_be_decided(&self) -> bool {
        !matches!(self, Self::NotDone { .. } | Self::IdReused)
    }

    /// Whether the answer says that an earlier request under the same id had it already.
    pub fn is_replayed(&self) -> bool {
        match self {
            Self::Accepted { replayed, .. }
            | Self::Unchanged { replayed, .. }
            | Self::Rejected { replayed, .. } => *replayed,
            Self::NotDone { .. } | Self::IdReused | Self::Unknown { .. } => false,
        }
    }

    /// Whether two decisions say the same; who said it first does not matter.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Accepted { version, events, position, .. },
                Self::Accepted { version: v, events: e, position: p, .. },
            ) => version == v && position == p && (events.is_none() || e.is_none() || events == e),
            (Self::Unchanged { version, .. }, Self::Unchanged { version: v, .. }) => version == v,
            (Self::Rejected { code, .. }, Self::Rejected { code: c, .. }) => code == c,
            _ => false,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { version, events: Some(events), position, .. } => {
                write!(f, "accepted: {events} events up to version {version} at {position}")
            }
            Self::Accepted { version, position, .. } => {
                write!(f, "accepted: version {version} at {position}")
            }
            Self::Unchanged { version, .. } => write!(f, "unchanged at version {version}"),
            Self::Rejected { code, .. } => write!(f, "rejected: {code}"),
            Self::NotDone { why } => write!(f, "not done: {why}"),
            Self::IdReused => f.write_str("the id stands for another wish"),
            Self::Unknown { why } => write!(f, "unknown: {why}"),
        }?;
        f.write_str(if self.is_replayed() { " (replayed)" } else { "" })
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which client.
    pub client: u32,
    /// The command; further requests under the same id are further attempts of the same operation.
    pub command_id: CommandId,
    /// The wish.
    #[serde(flatten)]
    pub wish: Wish,
    /// When it was made, nanoseconds on the recorder's clock: not later than the first byte left.
    pub asked_ns: u64,
    /// When the answer was there: not earlier than its last byte came. None: it never was.
    pub answered_ns: Option<u64>,
    /// The answer.
    #[serde(flatten)]
    pub told: Told,
}

/// All requests of a run, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The requests.
    pub attempts: Vec<Attempt>,
}

impl History {
    /// Writes one JSON object a line.
    pub fn write(&self, to: impl Write) -> io::Result<()> {
        write_lines(&self.attempts, to)
    }

    /// Reads what [`History::write`] wrote.
    pub fn read(from: impl BufRead) -> io::Result<Self> {
        Ok(Self { attempts: read_lines(from)? })
    }
}

pub(super) fn write_lines<T: Serialize>(values: &[T], to: impl Write) -> io::Result<()> {
    let mut to = io::BufWriter::new(to);
    for value in values {
        serde_json::to_writer(&mut to, value)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

pub(super) fn read_lines<T: serde::de::DeserializeOwned>(from: impl BufRead) -> io::Result<Vec<T>> {
    from.lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}
