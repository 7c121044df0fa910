//! The history of any aggregate: one row per event, under its stream.

use read_store::Table;
use schemas::{
    AggregateType, CommandId, CorrelationId, EventId, Position, Principal, RecordedEvent, StreamId,
    Timestamp, Version,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projection::version_key;
use crate::{FoldError, Key, Projection, RowId};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamEntry {
    /// `<aggregate>/<id>/<version>`.
    pub id: EventId,
    /// CloudEvents type.
    #[serde(rename = "type")]
    #[schema(example = "millrace.order.placed.v1")]
    pub event_type: String,
    /// Its place in the stream, from 1.
    pub version: Version,
    /// Where it stands in the log.
    #[schema(value_type = String, example = "millrace.order.events/0@17")]
    pub position: Position,
    /// When the thing happened.
    pub occurred_at: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The command that decided it.
    pub command_id: CommandId,
    /// Everything that one request set off shares this.
    pub correlation_id: CorrelationId,
    /// The event that caused the command, where a process manager sent it.
    pub causation_id: Option<EventId>,
    /// Who sent the command.
    #[schema(value_type = String)]
    pub principal: Principal,
    /// The body, as its schema says.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// The streams: partition key `<aggregate>/<id>`, sort key the version.
pub struct Streams;

impl Streams {
    /// The partition key of a stream.
    pub fn partition_key(stream: &StreamId) -> String {
        stream.to_string()
    }

    /// The sort key of the first event behind `version`.
    pub fn sort_key_after(version: Version) -> String {
        version_key(Version::new(version.get().saturating_add(1)))
    }
}

impl Projection for Streams {
    type Document = StreamEntry;
    const TABLE: Table = Table::new("stream", 1);
    const TOPICS: &'static [AggregateType] = &AggregateType::ALL;
    const KEY: Key = Key::Stream;
    const WRITE_ONCE: bool = true;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::new(
            Self::partition_key(&event.metadata.stream),
            version_key(event.metadata.version),
        ));
    }

    fn fold(
        _: &RowId,
        _: Option<StreamEntry>,
        event: &RecordedEvent,
    ) -> Result<Option<StreamEntry>, FoldError> {
        let metadata = &event.metadata;
        Ok(Some(StreamEntry {
            id: metadata.event_id(),
            event_type: event.event.ce_type().to_owned(),
            version: metadata.version,
            position: event.position.clone(),
            occurred_at: metadata.occurred_at,
            recorded_at: metadata.recorded_at,
            command_id: metadata.command_id,
            correlation_id: metadata.correlation_id,
            causation_id: metadata.causation_id.clone(),
            principal: metadata.principal.clone(),
            data: event.event.body_json(),
        }))
    }
}
