//! What is sold.

use axum::extract::State;
use axum::response::Response;
use projections::{ProductDocument, Products, Projection};
use schemas::ErrorCode;
use service_kit::{Path, Problem, Query};

use crate::page::{Page, PageQuery, raw_page, table_page};
use crate::position::{MinPosition, MinPositionHeader};
use crate::view::View;
use crate::{QueryState, error};

/// Lists products.
#[utoipa::path(
    get,
    path = "/v1/products",
    tag = "products",
    params(PageQuery, MinPositionHeader),
    responses(
        (status = 200, description = "A page, ordered by SKU", body = Page<ProductDocument>,
            headers(("Millrace-Position" = String, description = "What the answer reflects"))),
        (status = 422, description = "`limit` or `cursor` is out of range", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The view is behind `Millrace-Min-Position`", body = Problem, content_type = "application/problem+json"),
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
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The view is behind `Millrace-Min-Position`", body = Problem, content_type = "application/problem+json"),
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
