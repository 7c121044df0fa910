//! How it travels: commands and events of the shipment aggregate.

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::order::{GoodsLine, PostalAddress};
use crate::{OrderId, ShipmentId};

/// Where a shipment stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentStatus {
    /// It is being packed.
    #[default]
    Created,
    /// The carrier has it.
    Dispatched,
    /// It has arrived. Final.
    Delivered,
    /// It will not arrive. Final.
    Failed,
}

/// What one can ask of a shipment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum ShipmentCommand {
    /// Pack goods of an order.
    Create(CreateShipment),
    /// Hand it to the carrier.
    Dispatch(DispatchShipment),
    /// Note where it is.
    Track(TrackShipment),
    /// It has arrived.
    Deliver(DeliverShipment),
    /// It will not arrive.
    Fail(FailShipment),
}

/// Pack goods of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateShipment {
    /// The order.
    pub order_id: OrderId,
    /// What is in it, at least one line.
    pub goods: Vec<GoodsLine>,
    /// Where to.
    #[serde(default)]
    pub address: Option<PostalAddress>,
    /// Who carries it.
    pub carrier: String,
}

/// Hand the shipment to the carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DispatchShipment {
    /// The carrier's number.
    pub tracking_number: String,
}

/// Note where the shipment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackShipment {
    /// The carrier's code of what happened.
    pub code: String,
    /// Where, for people.
    #[serde(default)]
    pub place: String,
    /// What happened, for people.
    #[serde(default)]
    pub message: String,
}

/// The shipment has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliverShipment {
    /// Who took it.
    #[serde(default)]
    pub received_by: String,
}

/// The shipment will not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailShipment {
    /// The carrier's code.
    pub code: String,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// Goods of an order are being packed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.shipment.v1")]
pub struct ShipmentCreated {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The order.
    pub order_id: OrderId,
    /// What is in it.
    pub goods: Vec<GoodsLine>,
    /// Where to.
    pub address: Option<PostalAddress>,
    /// Who carries it.
    pub carrier: String,
}

/// The carrier has the shipment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.shipment.v1")]
pub struct ShipmentDispatched {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The order.
    pub order_id: OrderId,
    /// What is in it.
    pub goods: Vec<GoodsLine>,
    /// Who carries it.
    pub carrier: String,
    /// The carrier's number.
    pub tracking_number: String,
}

/// The carrier said where the shipment is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.shipment.v1")]
pub struct ShipmentTracked {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The order.
    pub order_id: OrderId,
    /// The carrier's code of what happened.
    pub code: String,
    /// Where, for people.
    pub place: String,
    /// What happened, for people.
    pub message: String,
}

/// The shipment has arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.shipment.v1")]
pub struct ShipmentDelivered {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The order.
    pub order_id: OrderId,
    /// Who took it.
    pub received_by: String,
}

/// The shipment will not arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.shipment.v1")]
pub struct ShipmentFailed {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The order.
    pub order_id: OrderId,
    /// The carrier's code.
    pub code: String,
    /// Why, for people.
    pub reason: String,
    /// Whether the carrier had it already.
    pub dispatched: bool,
}

events! {
    /// What happened to a shipment.
    ShipmentEvent of Shipment {
        Created(ShipmentCreated) = "shipment.created" v 1,
        Dispatched(ShipmentDispatched) = "shipment.dispatched" v 1,
        Tracked(ShipmentTracked) = "shipment.tracked" v 1,
        Delivered(ShipmentDelivered) = "shipment.delivered" v 1,
        Failed(ShipmentFailed) = "shipment.failed" v 1,
    }
}
