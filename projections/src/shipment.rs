//! How it travels: one document per shipment, under its own id and once more under its order's.

use read_store::Table;
use schemas::order::{GoodsLine, PostalAddress};
use schemas::shipment::{ShipmentCreated, ShipmentEvent, ShipmentStatus};
use schemas::{AggregateType, Event, OrderId, Position, RecordedEvent, ShipmentId, Timestamp, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{FoldError, Key, Projection, RowId};

/// Most entries that a document keeps of where a shipment was: the last ones. The stream has all.
const TRACKING_ENTRIES_MAX: usize = 100;

/// Where a shipment was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrackingEntry {
    /// The carrier's code of what happened.
    pub code: String,
    /// Where, for people.
    pub place: String,
    /// What happened, for people.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// Why a shipment will not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShipmentFailure {
    /// The carrier's code.
    pub code: String,
    /// Why, for people.
    pub reason: String,
}

/// A shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShipmentDocument {
    /// The shipment.
    pub id: ShipmentId,
    /// The order.
    pub order_id: OrderId,
    /// Where it stands.
    pub status: ShipmentStatus,
    /// What is in it.
    pub goods: Vec<GoodsLine>,
    /// Where to.
    pub address: Option<PostalAddress>,
    /// Who carries it.
    pub carrier: String,
    /// The carrier's number; none: the carrier does not have it yet.
    pub tracking_number: Option<String>,
    /// Where it was, the last hundred entries.
    pub tracking: Vec<TrackingEntry>,
    /// Who took it.
    pub received_by: Option<String>,
    /// Why it will not arrive.
    pub failure: Option<ShipmentFailure>,
    /// When it was packed.
    pub created_at: Timestamp,
    /// When the carrier got it.
    pub dispatched_at: Option<Timestamp>,
    /// When it arrived.
    pub delivered_at: Option<Timestamp>,
    /// When it was given up.
    pub failed_at: Option<Timestamp>,
    /// Its stream's version.
    pub version: Version,
    /// Where its last event stands in the log.
    #[schema(value_type = String, example = "millrace.shipment.events/0@17")]
    pub position: Position,
}

impl ShipmentDocument {
    fn created(created: &ShipmentCreated, event: &RecordedEvent) -> Self {
        Self {
            id: created.shipment_id.clone(),
            order_id: created.order_id.clone(),
            status: ShipmentStatus::Created,
            goods: created.goods.clone(),
            address: created.address.clone(),
            carrier: created.carrier.clone(),
            tracking_number: None,
            tracking: Vec::new(),
            received_by: None,
            failure: None,
            created_at: event.metadata.occurred_at,
            dispatched_at: None,
            delivered_at: None,
            failed_at: None,
            version: event.metadata.version,
            position: event.position.clone(),
        }
    }
}

fn fold(
    document: Option<ShipmentDocument>,
    event: &RecordedEvent,
) -> Result<Option<ShipmentDocument>, FoldError> {
    let Event::Shipment(body) = &event.event else { return Ok(document) };
    let mut shipment = match (document, body) {
        (Some(shipment), _) => shipment,
        (None, ShipmentEvent::Created(created)) => ShipmentDocument::created(created, event),
        (None, other) => return Err(FoldError::NotStarted { what: other.ce_type() }),
    };
    let at = event.metadata.occurred_at;
    match body {
        ShipmentEvent::Created(_) => {}
        ShipmentEvent::Dispatched(dispatched) => {
            shipment.status = ShipmentStatus::Dispatched;
            shipment.tracking_number = Some(dispatched.tracking_number.clone());
            shipment.dispatched_at = Some(at);
        }
        ShipmentEvent::Tracked(tracked) => {
            if shipment.tracking.len() == TRACKING_ENTRIES_MAX {
                shipment.tracking.remove(0);
            }
            shipment.tracking.push(TrackingEntry {
                code: tracked.code.clone(),
                place: tracked.place.clone(),
                message: tracked.message.clone(),
                at,
            });
        }
        ShipmentEvent::Delivered(delivered) => {
            shipment.status = ShipmentStatus::Delivered;
            shipment.received_by = Some(delivered.received_by.clone()).filter(|by| !by.is_empty());
            shipment.delivered_at = Some(at);
        }
        ShipmentEvent::Failed(failed) => {
            shipment.status = ShipmentStatus::Failed;
            shipment.failure =
                Some(ShipmentFailure { code: failed.code.clone(), reason: failed.reason.clone() });
            shipment.failed_at = Some(at);
        }
    }
    shipment.version = event.metadata.version;
    shipment.position = event.position.clone();
    Ok(Some(shipment))
}

/// The shipments: partition key the shipment.
pub struct Shipments;

impl Projection for Shipments {
    type Document = ShipmentDocument;
    const TABLE: Table = Table::new("shipment", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Shipment];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::of(event.metadata.stream.id()));
    }

    fn fold(
        _: &RowId,
        document: Option<ShipmentDocument>,
        event: &RecordedEvent,
    ) -> Result<Option<ShipmentDocument>, FoldError> {
        fold(document, event)
    }
}

/// The shipments of an order: partition key the order, sort key the shipment. The order's own events lie in another
/// partition; these rows are made of the shipments' alone.
pub struct ShipmentsOfOrder;

impl Projection for ShipmentsOfOrder {
    type Document = ShipmentDocument;
    const TABLE: Table = Table::new("shipment_of_order", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Shipment];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        let Event::Shipment(body) = &event.event else { return };
        let order_id = match body {
            ShipmentEvent::Created(e) => &e.order_id,
            ShipmentEvent::Dispatched(e) => &e.order_id,
            ShipmentEvent::Tracked(e) => &e.order_id,
            ShipmentEvent::Delivered(e) => &e.order_id,
            ShipmentEvent::Failed(e) => &e.order_id,
        };
        rows.push(RowId::new(order_id.as_str(), event.metadata.stream.id()));
    }

    fn fold(
        _: &RowId,
        document: Option<ShipmentDocument>,
        event: &RecordedEvent,
    ) -> Result<Option<ShipmentDocument>, FoldError> {
        fold(document, event)
    }
}
