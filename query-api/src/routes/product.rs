//! What is sold.

use axum::extract::State;
use axum::response::Response;
use projections::{ProductDocument, Products, Projection};
use schemas::ErrorCode;
use service_kit::{Path, Problem, Query, problem_codes};

use crate::page::{Page, PageQuery, raw_page, table_page};
use crate::position::{MinPosition, MinPositionHeader};
use crate::refusals::{OutOfRange, Refusals};
use crate::view::View;
use crate::{QueryState, error};

problem_codes! {
    /// There is no such product.
    NoProduct: ProductNotFound;
}

/// Lists products.
#[utoipa::path(
    get,
    path = "/v1/products",
    tag = "products",
    params(PageQuery, MinPositionHeader),
    responses(
        (status = 200, description = "A page, ordered by SKU", body = Page<ProductDocument>,
            headers(("Millrace-Position" = String, description = "What the answer reflects"))),
        Refusals<OutOfRange>,
    )
)]
pub(crate) async fn list_products(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[Products::TABLE], min_position).await?;
    let (documents, next) = table_page(&state, Products::TABLE, &query, |row| Ok(row.document)).await?;
    Ok(view.raw(raw_page(&documents, next.as_deref())))
}

/// A product.
#[utoipa::path(
    get,
    path = "/v1/products/{sku}",
    tag = "products",
    params(("sku" = String, Path, description = "The SKU"), MinPositionHeader),
    responses(
        (status = 200, description = "The product", body = ProductDocument,
            headers(
                ("Millrace-Position" = String, description = "What the answer reflects"),
                ("ETag" = String, description = "The stream's version, for If-Match"),
            )),
        Refusals<NoProduct>,
    )
)]
pub(crate) async fn get_product(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[Products::TABLE], min_position).await?;
    let row = view.get(Products::TABLE, &id).await?;
    let row = row.ok_or_else(|| error::not_found(ErrorCode::ProductNotFound, "product", &id))?;
    view.document(row.document)
}
