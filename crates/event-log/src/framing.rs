//! Between what is said (events, commands, outcomes) and the records that say it.
//!
//! Events are Avro in Confluent framing: a zero byte, the schema id as four bytes big-endian, the datum. Commands and
//! outcomes are JSON.

use bytes::Bytes;
use schemas::{
    AvroError, CommandEnvelope, CommandHash, CommandId, CorrelationId, Event, EventId, EventMetadata,
    InstallationSecret, Outcome, Position, Principal, RecordedEvent, SchemaId, StreamId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::envelope::{self, bad, common, event_headers, parse, text};
use crate::{NewRecord, Record, Shard, Topics, partition_for};

/// First byte of a framed body.
const MAGIC: u8 = 0;
/// Magic byte and schema id, bytes.
const FRAME_BYTES: usize = 5;
/// Room for a usual body, bytes.
const BODY_BYTES_HINT: usize = 256;

/// Why a record cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A header that every such record has is not there.
    #[error("the record at {position} has no header {header}")]
    MissingHeader {
        /// Where it stands.
        position: Position,
        /// Which header.
        header: &'static str,
    },
    /// A header's value cannot be read.
    #[error("the record at {position} has {header}: {value:?}, which cannot be read")]
    BadHeader {
        /// Where it stands.
        position: Position,
        /// Which header.
        header: &'static str,
        /// Its value, at most 200 characters.
        value: String,
    },
    /// The body doesn't begin with a zero byte and a schema id.
    #[error("the body of the record at {position} is not in Confluent framing")]
    NotFramed {
        /// Where it stands.
        position: Position,
    },
    /// The Avro body of a record cannot be read.
    #[error("the body of the record at {position} cannot be read")]
    Body {
        /// Where it stands.
        position: Position,
        /// Why.
        #[source]
        source: AvroError,
    },
    /// An event cannot be written as Avro.
    #[error("the event {event_id} cannot be written")]
    Event {
        /// Which event.
        event_id: EventId,
        /// Why.
        #[source]
        source: AvroError,
    },
    /// A JSON body cannot be read.
    #[error("the body of the record at {position} cannot be read")]
    Json {
        /// Where it stands.
        position: Position,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// What became of a command, as a record of the outcomes topic: key = command id, on the deciding shard's partition.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRecord {
    /// The command.
    pub command_id: CommandId,
    /// Hash of its body.
    pub command_hash: CommandHash,
    /// The stream that it was for.
    pub stream: StreamId,
    /// Everything that one request set off shares this.
    pub correlation_id: CorrelationId,
    /// The ownership under which it was decided.
    pub writer_term: u64,
    /// When it was decided.
    pub recorded_at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
}

/// The body of an outcome; everything else is in the headers.
#[derive(Serialize, Deserialize)]
struct OutcomeBody {
    stream: String,
    #[serde(flatten)]
    outcome: Outcome,
}

const COMMAND_TYPE: &str = "millrace.command.v1";
const OUTCOME_TYPE: &str = "millrace.outcome.v1";

/// The record of an event: topic of its aggregate, partition and key of its stream, timestamp = recorded.
pub fn encode_event(
    topics: &Topics,
    partitions: u32,
    metadata: &EventMetadata,
    event: &Event,
) -> Result<NewRecord, FramingError> {
    let mut body = Vec::with_capacity(FRAME_BYTES + BODY_BYTES_HINT);
    body.extend_from_slice(&[MAGIC, 0, 0, 0, 0]);
    let id = schemas::encode_event(event, &mut body)
        .map_err(|source| FramingError::Event { event_id: metadata.event_id(), source })?;
    body[1..FRAME_BYTES].copy_from_slice(&id.0.to_be_bytes());
    let stream = &metadata.stream;
    Ok(NewRecord {
        topic: topics.events(stream.aggregate_type()).clone(),
        partition: partition_for(stream.id().as_bytes(), partitions),
        key: stream.id().to_owned().into(),
        headers: event_headers(topics, metadata, event.ce_type()),
        value: body.into(),
        timestamp: metadata.recorded_at,
    })
}

/// Reads a record of a topic of events. Older versions of a body are upcast.
pub fn decode_event(record: &Record) -> Result<RecordedEvent, FramingError> {
    let position = &record.position;
    let (id, body) = unframe(record)?;
    let event = schemas::decode_event(id, body)
        .map_err(|source| FramingError::Body { position: position.clone(), source })?;
    let subject = text(record, envelope::SUBJECT)?;
    let stream = StreamId::new(event.aggregate_type(), subject)
        .map_err(|_| bad(position, envelope::SUBJECT, subject.as_bytes()))?;
    let principal = text(record, envelope::PRINCIPAL)?;
    let metadata = EventMetadata {
        stream,
        version: schemas::Version::new(parse(record, envelope::STREAM_VERSION)?),
        occurred_at: parse(record, envelope::TIME)?,
        recorded_at: record.timestamp,
        command_id: parse(record, envelope::COMMAND_ID)?,
        command_hash: parse(record, envelope::COMMAND_HASH)?,
        correlation_id: parse(record, envelope::CORRELATION_ID)?,
        causation_id: record.headers.text(envelope::CAUSATION_ID).map(EventId::from_text),
        principal: Principal::new(principal)
            .map_err(|_| bad(position, envelope::PRINCIPAL, principal.as_bytes()))?,
        writer_term: parse(record, envelope::WRITER_TERM)?,
        traceparent: record.headers.text(envelope::TRACE_PARENT).map(str::to_owned),
    };
    Ok(RecordedEvent { position: position.clone(), metadata, event })
}

/// The record of a command on the commands topic: partition and key of its stream. With the installation's secret its body,
/// the principal included, is signed (`ce_principalproof`: the HMAC over the record's value).
pub fn encode_command(
    topics: &Topics,
    partitions: u32,
    command: &CommandEnvelope,
    recorded_at: Timestamp,
    secret: Option<&InstallationSecret>,
) -> Result<NewRecord, FramingError> {
    let stream = command.command.stream();
    let time = command.occurred_at.unwrap_or(recorded_at);
    let id = command.command_id;
    let mut headers = common(topics, id, COMMAND_TYPE, stream.id(), time, envelope::JSON);
    headers.push(envelope::COMMAND_ID, id);
    headers.push(envelope::CORRELATION_ID, command.correlation_id);
    headers.push(envelope::PRINCIPAL, &command.principal);
    if let Some(trace) = &command.traceparent {
        headers.push(envelope::TRACE_PARENT, trace);
    }
    let value = json(command);
    if let Some(secret) = secret {
        headers.push(envelope::PRINCIPAL_PROOF, secret.sign(&value));
    }
    Ok(NewRecord {
        topic: topics.commands().clone(),
        partition: partition_for(stream.id().as_bytes(), partitions),
        key: stream.id().to_owned().into(),
        headers: headers.finish(),
        value,
        timestamp: recorded_at,
    })
}

/// Whether a node of the installation has signed a record of the commands topic.
pub fn is_signed(record: &Record, secret: &InstallationSecret) -> bool {
    let proof = record.headers.text(envelope::PRINCIPAL_PROOF).and_then(|proof| proof.parse().ok());
    proof.is_some_and(|proof| secret.verifies(&record.value, &proof))
}

/// Whether a record of an event topic was written by somebody who owns no shard: it says no writer term, which every owner's
/// record does. It is not part of any stream.
pub fn is_foreign(record: &Record) -> bool {
    record.headers.get(envelope::WRITER_TERM).is_none()
}

/// Reads a record of the commands topic. Anybody may have written it: the principal is what the sender claims, and the
/// partition need not be the stream's.
pub fn decode_command(record: &Record) -> Result<CommandEnvelope, FramingError> {
    from_json(record)
}

/// The record of an outcome on the deciding shard's partition.
pub fn encode_outcome(
    topics: &Topics,
    shard: Shard,
    outcome: &OutcomeRecord,
) -> Result<NewRecord, FramingError> {
    let id = outcome.command_id.to_string();
    let mut headers =
        common(topics, &id, OUTCOME_TYPE, outcome.stream.id(), outcome.recorded_at, envelope::JSON);
    headers.push(envelope::COMMAND_ID, &id);
    headers.push(envelope::COMMAND_HASH, outcome.command_hash);
    headers.push(envelope::CORRELATION_ID, outcome.correlation_id);
    headers.push(envelope::WRITER_TERM, outcome.writer_term);
    let body = OutcomeBody { stream: outcome.stream.to_string(), outcome: outcome.outcome.clone() };
    Ok(NewRecord {
        topic: topics.outcomes().clone(),
        partition: shard.partition(),
        key: id.into(),
        headers: headers.finish(),
        value: json(&body),
        timestamp: outcome.recorded_at,
    })
}

/// Reads a record of the outcomes topic.
pub fn decode_outcome(record: &Record) -> Result<OutcomeRecord, FramingError> {
    let OutcomeBody { stream, outcome } = from_json(record)?;
    let bad_stream = |why: String| FramingError::Json {
        position: record.position.clone(),
        source: serde::de::Error::custom(why),
    };
    Ok(OutcomeRecord {
        command_id: parse(record, envelope::COMMAND_ID)?,
        command_hash: parse(record, envelope::COMMAND_HASH)?,
        stream: stream.parse().map_err(bad_stream)?,
        correlation_id: parse(record, envelope::CORRELATION_ID)?,
        writer_term: parse(record, envelope::WRITER_TERM)?,
        recorded_at: record.timestamp,
        outcome,
    })
}

/// Splits a framed body into schema id and datum.
fn unframe(record: &Record) -> Result<(SchemaId, &[u8]), FramingError> {
    match record.value.split_first_chunk::<FRAME_BYTES>() {
        Some(([MAGIC, a, b, c, d], body)) => Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), body)),
        _ => Err(FramingError::NotFramed { position: record.position.clone() }),
    }
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("commands and outcomes are made of strings, numbers, lists and maps")
        .into()
}

fn from_json<'a, T: Deserialize<'a>>(record: &'a Record) -> Result<T, FramingError> {
    serde_json::from_slice(&record.value)
        .map_err(|source| FramingError::Json { position: record.position.clone(), source })
}
