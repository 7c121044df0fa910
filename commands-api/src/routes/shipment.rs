//! Shipments: what the carrier says. Packing and handing over belong to the process managers.

use schemas::shipment::{DeliverShipment, FailShipment, ShipmentCommand, TrackShipment};
use schemas::{Command, ShipmentId};
use service_kit::problem_codes;

use crate::answer::{CommandHeaders, Done};
use crate::call::Call;
use crate::extract::{Body, Params};
use crate::refusals::Responses;

use super::Reply;

problem_codes! {
    /// Of what the carrier says.
    ShipmentRules: ShipmentNotFound, ShipmentWrongStatus;
}

/// Note where a shipment is.
#[utoipa::path(
    post,
    path = "/v1/shipments/{id}/track",
    tag = "shipments",
    params(("id" = ShipmentId, Path, description = "Which"), CommandHeaders),
    request_body = TrackShipment,
    responses(Responses<Done, ShipmentRules>),
)]
pub(crate) async fn track(
    call: Call,
    Params(id): Params<ShipmentId>,
    Body(body): Body<TrackShipment>,
) -> Reply {
    call.submit(Command::Shipment { id, body: ShipmentCommand::Track(body) }).await
}

/// A shipment has arrived.
#[utoipa::path(
    post,
    path = "/v1/shipments/{id}/deliver",
    tag = "shipments",
    params(("id" = ShipmentId, Path, description = "Which"), CommandHeaders),
    request_body = DeliverShipment,
    responses(Responses<Done, ShipmentRules>),
)]
pub(crate) async fn deliver(
    call: Call,
    Params(id): Params<ShipmentId>,
    Body(body): Body<DeliverShipment>,
) -> Reply {
    call.submit(Command::Shipment { id, body: ShipmentCommand::Deliver(body) }).await
}

/// A shipment will not arrive.
#[utoipa::path(
    post,
    path = "/v1/shipments/{id}/fail",
    tag = "shipments",
    params(("id" = ShipmentId, Path, description = "Which"), CommandHeaders),
    request_body = FailShipment,
    responses(Responses<Done, ShipmentRules>),
)]
pub(crate) async fn fail(
    call: Call,
    Params(id): Params<ShipmentId>,
    Body(body): Body<FailShipment>,
) -> Reply {
    call.submit(Command::Shipment { id, body: ShipmentCommand::Fail(body) }).await
}
