//! How much there is.

use axum::extract::State;
use axum::response::Response;
use projections::{Projection, Stock, StockDocument};
use schemas::ErrorCode;
use service_kit::{Path, Problem, Query, problem_codes};

use crate::page::{Page, PageQuery, raw_page, table_page};
use crate::position::{MinPosition, MinPositionHeader};
use crate::refusals::{OutOfRange, Refusals};
use crate::view::View;
use crate::{QueryState, error};

problem_codes! {
    /// Nothing was ever said of this stock.
    NoStock: NotFound;
}

/// Lists the stock of every SKU.
#[utoipa::path(
    get,
    path = "/v1/stock",
    tag = "stock",
    params(PageQuery, MinPositionHeader),
    responses(
        (status = 200, description = "A page, ordered by SKU", body = Page<StockDocument>,
            headers(("Millrace-Position" = String, description = "What the answer reflects"))),
        Refusals<OutOfRange>,
    )
)]
pub(crate) async fn list_stock(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[Stock::TABLE], min_position).await?;
    let (documents, next) = table_page(&state, Stock::TABLE, &query, |row| Ok(row.document)).await?;
    Ok(view.raw(raw_page(&documents, next.as_deref())))
}

/// The stock of a SKU.
#[utoipa::path(
    get,
    path = "/v1/stock/{sku}",
    tag = "stock",
    params(("sku" = String, Path, description = "The SKU"), MinPositionHeader),
    responses(
        (status = 200, description = "Its stock", body = StockDocument,
            headers(
                ("Millrace-Position" = String, description = "What the answer reflects"),
                ("ETag" = String, description = "The stream's version, for If-Match"),
            )),
        Refusals<NoStock>,
    )
)]
pub(crate) async fn get_stock(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[Stock::TABLE], min_position).await?;
    let row = view.get(Stock::TABLE, &id).await?;
    let row = row.ok_or_else(|| error::not_found(ErrorCode::NotFound, "stock of", &id))?;
    view.document(row.document)
}
