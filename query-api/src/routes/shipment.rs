//! How it travels.

use axum::extract::State;
use axum::response::Response;
use projections::{Projection, ShipmentDocument, Shipments};
use schemas::ErrorCode;
use service_kit::{Path, Problem, problem_codes};

use crate::position::{MinPosition, MinPositionHeader};
use crate::refusals::Refusals;
use crate::view::View;
use crate::{QueryState, error};

problem_codes! {
    /// There is no such shipment.
    NoShipment: ShipmentNotFound;
}

/// A shipment.
#[utoipa::path(
    get,
    path = "/v1/shipments/{id}",
    tag = "shipments",
    params(("id" = String, Path, description = "The shipment"), MinPositionHeader),
    responses(
        (status = 200, description = "The shipment", body = ShipmentDocument,
            headers(
                ("Millrace-Position" = String, description = "What the answer reflects"),
                ("ETag" = String, description = "The stream's version, for If-Match"),
            )),
        Refusals<NoShipment>,
    )
)]
pub(crate) async fn get_shipment(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[Shipments::TABLE], min_position).await?;
    let row = view.get(Shipments::TABLE, &id).await?;
    let row = row.ok_or_else(|| error::not_found(ErrorCode::ShipmentNotFound, "shipment", &id))?;
    view.document(row.document)
}
