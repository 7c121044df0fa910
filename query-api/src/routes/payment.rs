//! How it was paid.

use axum::extract::State;
use axum::response::Response;
use projections::{PaymentDocument, Payments, Projection};
use schemas::ErrorCode;
use service_kit::{Path, Problem, problem_codes};

use crate::position::{MinPosition, MinPositionHeader};
use crate::refusals::Refusals;
use crate::view::View;
use crate::{QueryState, error};

problem_codes! {
    /// There is no such payment.
    NoPayment: PaymentNotFound;
}

/// A payment; it has its order's id.
#[utoipa::path(
    get,
    path = "/v1/payments/{id}",
    tag = "payments",
    params(("id" = String, Path, description = "The payment"), MinPositionHeader),
    responses(
        (status = 200, description = "The payment", body = PaymentDocument,
            headers(
                ("Millrace-Position" = String, description = "What the answer reflects"),
                ("ETag" = String, description = "The stream's version, for If-Match"),
            )),
        Refusals<NoPayment>,
    )
)]
pub(crate) async fn get_payment(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[Payments::TABLE], min_position).await?;
    let row = view.get(Payments::TABLE, &id).await?;
    let row = row.ok_or_else(|| error::not_found(ErrorCode::PaymentNotFound, "payment", &id))?;
    view.document(row.document)
}
