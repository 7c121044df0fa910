//! What the log says, as far as a history is held against it.

use std::time::{Duration, Instant};

use event_log::{Cursor, Log, Record, Topics, decode_event, decode_outcome};
use schemas::{CommandId, ErrorCode, Outcome, Position, Principal, StreamId, Timestamp, Version};
use serde::{Deserialize, Serialize};

use super::text;
use crate::SOON;

/// Records taken from the log at once, and how long one read may wait.
const READ_RECORDS: usize = 10_000;
const READ_WAIT: Duration = Duration::from_millis(100);

/// One record of a topic of events or of the outcomes topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedRecord {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    #[serde(flatten)]
    pub logged: Logged,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "logged", rename_all = "snake_case")]
pub enum Logged {
    /// Something happened.
    Event {
        /// By which decision.
        #[serde(flatten)]
        by: Decision,
        /// Its place in the stream.
        version: Version,
        /// Who asked for it.
        principal: Principal,
    },
    /// There was nothing to do.
    Unchanged {
        /// By which decision.
        #[serde(flatten)]
        by: Decision,
        /// The stream's version.
        version: Version,
    },
    /// A rule refused the command.
    Rejected {
        /// By which decision.
        #[serde(flatten)]
        by: Decision,
        /// Which rule.
        code: ErrorCode,
        /// The stream's version, where the refusal says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        current_version: Option<Version>,
    },
    /// Nothing that belongs there.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// Which command was decided, where and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The command.
    pub command_id: CommandId,
    /// The stream that it is for.
    #[serde(with = "text")]
    pub stream: StreamId,
    /// The ownership of the shard.
    pub writer_term: u64,
    /// The time that all records of a batch share.
    pub recorded_at: Timestamp,
}

impl LoggedRecord {
    /// What `record` says.
    pub fn of(record: &Record, topics: &Topics) -> Self {
        let logged =
            if record.position.topic == *topics.outcomes() { outcome(record) } else { event(record) };
        let logged = logged.unwrap_or_else(|error| Logged::Unreadable { why: error.to_string() });
        Self { position: record.position.clone(), logged }
    }
}

fn event(record: &Record) -> Result<Logged, event_log::FramingError> {
    let metadata = decode_event(record)?.metadata;
    let by = Decision {
        command_id: metadata.command_id,
        stream: metadata.stream,
        writer_term: metadata.writer_term,
        recorded_at: metadata.recorded_at,
    };
    Ok(Logged::Event { by, version: metadata.version, principal: metadata.principal })
}

fn outcome(record: &Record) -> Result<Logged, event_log::FramingError> {
    let outcome = decode_outcome(record)?;
    let by = Decision {
        command_id: outcome.command_id,
        stream: outcome.stream,
        writer_term: outcome.writer_term,
        recorded_at: outcome.recorded_at,
    };
    Ok(match outcome.outcome {
        Outcome::Unchanged { version } => Logged::Unchanged { by, version },
        Outcome::Rejected(rejection) => {
            let current_version = rejection.facts.get("current_version").and_then(serde_json::Value::as_u64);
            let current_version = current_version.map(Version::new);
            Logged::Rejected { by, code: rejection.code, current_version }
        }
        Outcome::Accepted(_) => {
            Logged::Unreadable { why: "an accepted command among the outcomes".to_owned() }
        }
    })
}

/// Reads all events and outcomes up to the stable end of a log that is open in this process.
///
/// Take it after the clients have ended: what is asked later is not in it.
pub fn read_log(log: &dyn Log) -> anyhow::Result<Vec<LoggedRecord>> {
    let topics = log.topics();
    let from: Vec<_> = checked_topics(topics)
        .flat_map(|topic| (0..log.partitions()).map(move |partition| Cursor::start(topic.clone(), partition)))
        .collect();
    let mut reader = log.open_reader(&from)?;
    let mut records = Vec::new();
    let deadline = Instant::now() + SOON;
    while !reader.caught_up() {
        anyhow::ensure!(Instant::now() < deadline, "the log was not read within {} s", SOON.as_secs());
        let read = reader.read(READ_RECORDS, READ_WAIT)?;
        records.extend(read.iter().map(|record| LoggedRecord::of(record, topics)));
    }
    Ok(records)
}

/// The topics that hold decisions: all events, then the outcomes.
pub(super) fn checked_topics(topics: &Topics) -> impl Iterator<Item = &std::sync::Arc<str>> {
    topics.all_events().iter().chain([topics.outcomes()])
}
