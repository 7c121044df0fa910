//! What a buyer has gathered.

use axum::extract::State;
use axum::response::Response;
use projections::{CartDocument, Carts, Projection};
use schemas::ErrorCode;
use service_kit::{Path, Problem, problem_codes};

use crate::position::{MinPosition, MinPositionHeader};
use crate::refusals::Refusals;
use crate::view::View;
use crate::{QueryState, error};

problem_codes! {
    /// There is no such cart.
    NoCart: CartNotFound;
}

/// A cart.
#[utoipa::path(
    get,
    path = "/v1/carts/{id}",
    tag = "carts",
    params(("id" = String, Path, description = "The cart"), MinPositionHeader),
    responses(
        (status = 200, description = "The cart", body = CartDocument,
            headers(
                ("Millrace-Position" = String, description = "What the answer reflects"),
                ("ETag" = String, description = "The stream's version, for If-Match"),
            )),
        Refusals<NoCart>,
    )
)]
pub(crate) async fn get_cart(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[Carts::TABLE], min_position).await?;
    let row = view.get(Carts::TABLE, &id).await?;
    let row = row.ok_or_else(|| error::not_found(ErrorCode::CartNotFound, "cart", &id))?;
    view.document(row.document)
}
