//! The router and its OpenAPI document.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use projections::Progress;
use read_store::ReadStore;
use schemas::Retry;
use service_kit::Problem;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryConfig;
use crate::etag;
use crate::routes::{cart, customer, order, payment, product, report, shipment, stock, stream};

/// What the routes read from. Cheap to clone.
#[derive(Clone)]
pub struct QueryState {
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) progress: Progress,
    pub(crate) config: QueryConfig,
}

impl QueryState {
    /// Reads `store`, which has come as far as `progress` says.
    pub fn new(store: Arc<dyn ReadStore>, progress: Progress, config: QueryConfig) -> Self {
        Self { store, progress, config }
    }
}

#[derive(OpenApi)]
#[openapi(components(schemas(Problem, Retry)), tags(
    (name = "products", description = "What is sold"),
    (name = "stock", description = "How much there is"),
    (name = "carts", description = "What buyers have gathered"),
    (name = "orders", description = "What was bought"),
    (name = "payments", description = "How it was paid"),
    (name = "shipments", description = "How it travels"),
    (name = "customers", description = "Who buys"),
    (name = "reports", description = "What it adds up to"),
    (name = "streams", description = "The history of any aggregate"),
))]
struct Document;

fn routes() -> OpenApiRouter<QueryState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(product::list_products))
        .routes(routes!(product::get_product))
        .routes(routes!(stock::list_stock))
        .routes(routes!(stock::get_stock))
        .routes(routes!(cart::get_cart))
        .routes(routes!(order::list_orders))
        .routes(routes!(order::get_order))
        .routes(routes!(payment::get_payment))
        .routes(routes!(shipment::get_shipment))
        .routes(routes!(customer::list_customers))
        .routes(routes!(customer::get_customer))
        .routes(routes!(customer::list_credits))
        .routes(routes!(report::get_totals))
        .routes(routes!(stream::get_stream))
}

/// The routes, all `GET` under `/v1`. Merge it with the commands' router, then put `service_kit::with_layers` around
/// both.
pub fn router(state: QueryState) -> Router {
    let (router, _) = routes().split_for_parts();
    router.layer(from_fn(etag::not_modified)).with_state(state)
}

/// The OpenAPI document of [`router`], without title and server: merge it into the platform's.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().split_for_parts().1
}
