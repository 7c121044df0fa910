//! A recorded event as a document of the table of open matters.

use std::str::FromStr;

use schemas::{
    AggregateType, CommandHash, CommandId, CorrelationId, Event, EventId, EventMetadata, Position, Principal,
    RecordedEvent, StreamId, Timestamp, Version,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All of a recorded event, as JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredEvent {
    position: Position,
    stream: String,
    version: Version,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    command_id: CommandId,
    command_hash: String,
    correlation_id: CorrelationId,
    causation_id: Option<EventId>,
    principal: Principal,
    writer_term: u64,
    traceparent: Option<String>,
    event: Value,
}

impl StoredEvent {
    pub(crate) fn new(recorded: &RecordedEvent) -> Self {
        let metadata = recorded.metadata.clone();
        Self {
            position: recorded.position.clone(),
            stream: metadata.stream.to_string(),
            version: metadata.version,
            occurred_at: metadata.occurred_at,
            recorded_at: metadata.recorded_at,
            command_id: metadata.command_id,
            command_hash: metadata.command_hash.to_string(),
            correlation_id: metadata.correlation_id,
            causation_id: metadata.causation_id,
            principal: metadata.principal,
            writer_term: metadata.writer_term,
            traceparent: metadata.traceparent,
            event: serde_json::to_value(&recorded.event)
                .expect("events are made of strings, numbers, lists and maps"),
        }
    }

    /// The event again; the error says what is wrong with the document.
    pub(crate) fn into_recorded(self) -> Result<RecordedEvent, String> {
        let stream: StreamId = self.stream.parse()?;
        // Read as an event of its aggregate: the bodies of different aggregates may look alike.
        let event = match stream.aggregate_type() {
            AggregateType::Product => serde_json::from_value(self.event).map(Event::Product),
            AggregateType::Stock => serde_json::from_value(self.event).map(Event::Stock),
            AggregateType::Cart => serde_json::from_value(self.event).map(Event::Cart),
            AggregateType::Order => serde_json::from_value(self.event).map(Event::Order),
            AggregateType::Payment => serde_json::from_value(self.event).map(Event::Payment),
            AggregateType::Customer => serde_json::from_value(self.event).map(Event::Customer),
            AggregateType::Shipment => serde_json::from_value(self.event).map(Event::Shipment),
        };
        let metadata = EventMetadata {
            stream,
            version: self.version,
            occurred_at: self.occurred_at,
            recorded_at: self.recorded_at,
            command_id: self.command_id,
            command_hash: CommandHash::from_str(&self.command_hash)?,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            principal: self.principal,
            writer_term: self.writer_term,
            traceparent: self.traceparent,
        };
        Ok(RecordedEvent {
            position: self.position,
            metadata,
            event: event.map_err(|error| error.to_string())?,
        })
    }
}
