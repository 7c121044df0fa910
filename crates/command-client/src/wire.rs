//! The lines of the bulk route `POST /v1/commands`: NDJSON in, NDJSON out, one answer per line in the same order. Between
//! nodes, `POST /internal/v1/commands` takes whole envelopes instead and answers alike.

use schemas::{
    Accepted, AggregateType, Command, CommandEnvelope, CommandId, CorrelationId, ErrorCode, EventId,
    ExpectedVersion, IdError, Outcome, Position, Rejection, Timestamp, Version,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::Problem;
use utoipa::ToSchema;

use crate::{Answer, SubmitError};

/// Where a node takes commands from its peers.
pub const PEER_COMMANDS: &str = "/internal/v1/commands";
/// Where a node answers questions of its peers.
pub const PEER_FACTS: &str = "/internal/v1/facts";
/// Request header between nodes: the proof over the body.
pub const PROOF: &str = "millrace-proof";
/// Request header between nodes: `single` or `bulk`, the queue that the commands wait in.
pub const LANE: &str = "millrace-lane";

/// One command, as the bulk route reads it. The principal comes with the request, not with the line.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandLine {
    /// Names the wish; at most one of this and `idempotency_key`.
    #[serde(default)]
    pub command_id: Option<CommandId>,
    /// Stands for a command id, scoped to the principal.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// What the command belongs to; none: its own id.
    #[serde(default)]
    pub correlation_id: Option<CorrelationId>,
    /// The event that caused it.
    #[serde(default)]
    pub causation_id: Option<EventId>,
    /// The version at which the sender believes the stream; none: no belief.
    #[serde(default)]
    pub expected_version: Option<Version>,
    /// When the thing happened; none: at the time of decision.
    #[serde(default)]
    pub occurred_at: Option<Timestamp>,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Which aggregate.
    pub aggregate: AggregateType,
    /// Which instance.
    pub id: String,
    /// Which command of that aggregate, snake_case.
    #[serde(rename = "type")]
    pub kind: String,
    /// The command's body; none: an empty one.
    #[serde(default)]
    pub data: Option<Value>,
}

/// Why a line is no command.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The id is not one.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The aggregate has no such command, or its body is wrong.
    #[error("{aggregate}.{kind}: {source}")]
    Body {
        /// The aggregate.
        aggregate: AggregateType,
        /// The command's type as given.
        kind: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl CommandLine {
    /// The command that the line asks for; the line's `id`, `kind` and `data` are used up.
    pub fn command(&mut self) -> Result<Command, LineError> {
        let id = std::mem::take(&mut self.id);
        Ok(match self.aggregate {
            AggregateType::Product => Command::Product { id: id.parse()?, body: self.body()? },
            AggregateType::Stock => Command::Stock { id: id.parse()?, body: self.body()? },
            AggregateType::Cart => Command::Cart { id: id.parse()?, body: self.body()? },
            AggregateType::Order => Command::Order { id: id.parse()?, body: self.body()? },
            AggregateType::Payment => Command::Payment { id: id.parse()?, body: self.body()? },
            AggregateType::Customer => Command::Customer { id: id.parse()?, body: self.body()? },
            AggregateType::Shipment => Command::Shipment { id: id.parse()?, body: self.body()? },
        })
    }

    /// Reads the aggregate's own command; every one of them is tagged by `type` and `data`.
    fn body<T: DeserializeOwned>(&mut self) -> Result<T, LineError> {
        let kind = std::mem::take(&mut self.kind);
        let data = self.data.take().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let mut tagged = serde_json::Map::new();
        tagged.insert("type".to_owned(), Value::String(kind.clone()));
        tagged.insert("data".to_owned(), data);
        serde_json::from_value(Value::Object(tagged)).map_err(|source| LineError::Body {
            aggregate: self.aggregate,
            kind,
            source,
        })
    }
}

/// Writes `envelope` as one line, its newline included.
pub fn write_line(envelope: &CommandEnvelope, to: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Line<'a> {
        command_id: CommandId,
        correlation_id: CorrelationId,
        #[serde(skip_serializing_if = "Option::is_none")]
        causation_id: Option<&'a EventId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expected_version: Option<Version>,
        #[serde(skip_serializing_if = "Option::is_none")]
        occurred_at: Option<Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        traceparent: Option<&'a str>,
        #[serde(flatten)]
        command: &'a Command,
    }
    let line = Line {
        command_id: envelope.command_id,
        correlation_id: envelope.correlation_id,
        causation_id: envelope.causation_id.as_ref(),
        expected_version: match envelope.expected_version {
            ExpectedVersion::Any => None,
            ExpectedVersion::Exactly(version) => Some(version),
        },
        occurred_at: envelope.occurred_at,
        traceparent: envelope.traceparent.as_deref(),
        command: &envelope.command,
    };
    serde_json::to_writer(&mut *to, &line).expect("commands are made of strings, numbers, lists and maps");
    to.push(b'\n');
}

/// Writes the whole of `envelope` as one line, its newline included, for a peer.
pub fn write_envelope(envelope: &CommandEnvelope, to: &mut Vec<u8>) {
    serde_json::to_writer(&mut *to, envelope).expect("commands are made of strings, numbers, lists and maps");
    to.push(b'\n');
}

/// What became of a line's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineOutcome {
    /// Its events are in the log.
    Accepted,
    /// There was nothing to do.
    Unchanged,
    /// A rule refused it; the line's `problem` says which.
    Rejected,
}

/// One answer of the bulk route. Without `outcome` the command has none: `problem` says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnswerLine {
    /// Which input line, from 1; empty lines count.
    pub line: u64,
    /// The command; none where the line was too broken to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<LineOutcome>,
    /// The stream, `<aggregate>/<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The stream's version afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// How many events an accepted command appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u32>,
    /// Where the last of them stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "millrace.order.events/0@17")]
    pub position: Option<Position>,
    /// Whether the outcome was known before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
    /// Problem document (RFC 9457) of a refusal or an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// How long an overloaded server is left alone when it does not say, milliseconds.
const RETRY_AFTER_DEFAULT_MS: u64 = 100;

impl AnswerLine {
    /// The answer to the submitter of `command_id`.
    pub(crate) fn into_answer(self, command_id: CommandId) -> Result<Answer, SubmitError> {
        let malformed = || SubmitError::OutcomeUnknown { command_id };
        if self.command_id.is_some_and(|answered| answered != command_id) {
            return Err(malformed());
        }
        let outcome = match (self.outcome, self.problem) {
            (Some(LineOutcome::Accepted), _) => Outcome::Accepted(Accepted {
                version: self.version.ok_or_else(malformed)?,
                events: self.events.ok_or_else(malformed)?,
                position: self.position.ok_or_else(malformed)?,
            }),
            (Some(LineOutcome::Unchanged), _) => {
                Outcome::Unchanged { version: self.version.ok_or_else(malformed)? }
            }
            (Some(LineOutcome::Rejected), Some(problem)) => Outcome::Rejected(Rejection {
                code: code(&problem),
                detail: problem.detail.unwrap_or(problem.title),
                facts: problem.facts,
            }),
            (None, Some(problem)) => return Err(error(problem, command_id)),
            (_, None) => return Err(malformed()),
        };
        Ok(Answer { command_id, outcome, replayed: self.replayed.unwrap_or(false) })
    }
}

/// The problem's code; one that this version does not know counts as internal.
fn code(problem: &Problem) -> ErrorCode {
    let code = Value::String(problem.code.clone().into_owned());
    serde_json::from_value(code).unwrap_or(ErrorCode::Internal)
}

/// The error that a problem without an outcome stands for.
pub(crate) fn error(problem: Problem, command_id: CommandId) -> SubmitError {
    match code(&problem) {
        ErrorCode::Overloaded => SubmitError::Overloaded {
            retry_after_ms: problem
                .retry_after_seconds
                .map_or(RETRY_AFTER_DEFAULT_MS, |s| s.saturating_mul(1_000)),
        },
        ErrorCode::ShardUnavailable => SubmitError::ShardUnavailable,
        ErrorCode::NotWritten => SubmitError::NotWritten,
        // The other process is stopping, not this one; somebody else may own the shard soon.
        ErrorCode::ShuttingDown => SubmitError::ShardUnavailable,
        ErrorCode::OutcomeUnknown | ErrorCode::Internal => SubmitError::OutcomeUnknown { command_id },
        ErrorCode::IdempotencyKeyReused => SubmitError::KeyReused { command_id },
        code => SubmitError::Invalid { code, detail: problem.detail.unwrap_or(problem.title) },
    }
}
