//! Events as they are recorded: what happened, and the facts around it.

use serde::{Deserialize, Serialize};

use crate::cart::CartEvent;
use crate::customer::CustomerEvent;
use crate::order::OrderEvent;
use crate::payment::PaymentEvent;
use crate::product::ProductEvent;
use crate::shipment::ShipmentEvent;
use crate::stock::StockEvent;
use crate::{
    AggregateType, CommandHash, CommandId, CorrelationId, EventId, Position, Principal, StreamId, Timestamp,
    Version,
};

/// What happened, of any aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// To a product.
    Product(ProductEvent),
    /// To the stock of a product.
    Stock(StockEvent),
    /// To a cart.
    Cart(CartEvent),
    /// To an order.
    Order(OrderEvent),
    /// To a payment.
    Payment(PaymentEvent),
    /// To a customer.
    Customer(CustomerEvent),
    /// To a shipment.
    Shipment(ShipmentEvent),
}

impl Event {
    /// Which aggregate's event this is.
    pub fn aggregate_type(&self) -> AggregateType {
        match self {
            Self::Product(_) => AggregateType::Product,
            Self::Stock(_) => AggregateType::Stock,
            Self::Cart(_) => AggregateType::Cart,
            Self::Order(_) => AggregateType::Order,
            Self::Payment(_) => AggregateType::Payment,
            Self::Customer(_) => AggregateType::Customer,
            Self::Shipment(_) => AggregateType::Shipment,
        }
    }

    /// The CloudEvents type, for example `millrace.order.placed.v1`.
    pub fn ce_type(&self) -> &'static str {
        match self {
            Self::Product(event) => event.ce_type(),
            Self::Stock(event) => event.ce_type(),
            Self::Cart(event) => event.ce_type(),
            Self::Order(event) => event.ce_type(),
            Self::Payment(event) => event.ce_type(),
            Self::Customer(event) => event.ce_type(),
            Self::Shipment(event) => event.ce_type(),
        }
    }

    /// The body alone as JSON: the `data` of the streams API.
    pub fn body_json(&self) -> serde_json::Value {
        let tagged = serde_json::to_value(self).expect("events are made of strings, numbers, lists and maps");
        match tagged {
            serde_json::Value::Object(mut fields) => fields.remove("data").unwrap_or(serde_json::Value::Null),
            other => other,
        }
    }
}

macro_rules! from_aggregate_event {
    ($($variant:ident($event:ident)),+ $(,)?) => {$(
        impl From<$event> for Event {
            fn from(event: $event) -> Self { Self::$variant(event) }
        }
    )+};
}
from_aggregate_event!(
    Product(ProductEvent),
    Stock(StockEvent),
    Cart(CartEvent),
    Order(OrderEvent),
    Payment(PaymentEvent),
    Customer(CustomerEvent),
    Shipment(ShipmentEvent),
);

/// The facts around an event: what the record's headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMetadata {
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place there.
    pub version: Version,
    /// When the thing happened: what reports count by.
    pub occurred_at: Timestamp,
    /// When it was recorded: what deadlines count by.
    pub recorded_at: Timestamp,
    /// The command that decided it.
    pub command_id: CommandId,
    /// Hash of that command's body.
    pub command_hash: CommandHash,
    /// Everything that one request set off shares this.
    pub correlation_id: CorrelationId,
    /// The event that caused the command, where a process manager sent it.
    pub causation_id: Option<EventId>,
    /// Who sent the command.
    pub principal: Principal,
    /// The ownership of the shard under which it was written; never goes back within a partition.
    pub writer_term: u64,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
}

impl EventMetadata {
    /// The event's id, `<aggregate>/<id>/<version>`.
    pub fn event_id(&self) -> EventId {
        EventId::new(&self.stream, self.version)
    }
}

/// An event as read from the log.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// Where it stands in the log.
    pub position: Position,
    /// The facts around it.
    pub metadata: EventMetadata,
    /// What happened.
    pub event: Event,
}

impl RecordedEvent {
    /// How far recording may lag behind happening before an event counts as told of the past, milliseconds.
    const BACKDATED_AFTER_MS: i64 = 3_600_000;

    /// The time that a follow-up of this event happens at: the event's own when it tells of the past (an import),
    /// else none, which means the time of decision.
    pub fn follow_up_time(&self) -> Option<Timestamp> {
        let lag_ms = self.metadata.recorded_at.as_millis() - self.metadata.occurred_at.as_millis();
        (lag_ms > Self::BACKDATED_AFTER_MS).then_some(self.metadata.occurred_at)
    }
}
