//! The router and its description.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use command_client::wire::{AnswerLine, LineOutcome};
use schemas::{AddressId, CartId, CustomerId, OrderId, PaymentId, Principal, Retry, ShipmentId, Sku};
use service_kit::Problem;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::answer::CommandAnswer;
use crate::deferred::{CommandStatus, Deferred};
use crate::metrics::RequestMetrics;
use crate::routes::CheckoutAnswer;
use crate::{CommandsApiConfig, Shards, layer, routes};

/// What the API runs on.
#[derive(Clone)]
pub struct ApiState {
    /// The shards.
    pub shards: Shards,
    /// Limits and rules.
    pub config: CommandsApiConfig,
}

/// [`ApiState`] as handlers share it.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) shards: Shards,
    pub(crate) config: CommandsApiConfig,
    pub(crate) metrics: RequestMetrics,
    pub(crate) import_principals: HashSet<Principal>,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) bulk_requests: Arc<Semaphore>,
}

impl std::ops::Deref for Api {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Api {
    fn new(state: ApiState) -> Self {
        let ApiState { shards, config } = state;
        Self(Arc::new(Shared {
            import_principals: config.import_principals.iter().cloned().collect(),
            requests: Arc::new(Semaphore::new(config.requests_in_flight_max.min(Semaphore::MAX_PERMITS))),
            bulk_requests: Arc::new(Semaphore::new(config.bulk_requests_max.min(Semaphore::MAX_PERMITS))),
            metrics: RequestMetrics::new(),
            shards,
            config,
        }))
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Millrace commands",
        description = "What one can ask of the shop. An answer is given once it is durable. Repeating a request under \
            the same `Idempotency-Key` gives the first answer again; every answer names its command in \
            `Millrace-Command-Id`, and where its event stands in `Millrace-Position`, which the query API takes as \
            `Millrace-Min-Position`. Errors are problem documents (RFC 9457) with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(
        AddressId, AnswerLine, CartId, CheckoutAnswer, CommandAnswer, CommandStatus, CustomerId, Deferred, LineOutcome, OrderId, PaymentId,
        Problem, Retry, ShipmentId, Sku
    )),
    tags(
        (name = "products", description = "What is sold"),
        (name = "stock", description = "How much of it there is"),
        (name = "carts", description = "What buyers have gathered"),
        (name = "orders", description = "What was bought"),
        (name = "payments", description = "How it was paid"),
        (name = "customers", description = "Who buys"),
        (name = "shipments", description = "How it travels"),
        (name = "bulk", description = "Any command, many at a time"),
    )
)]
struct Description;

/// The API's routes, all under `/v1`. Peers count as loopback where the server tells their address as
/// `ConnectInfo<SocketAddr>`, as `service_kit::serve` does.
pub fn router(state: ApiState) -> Router {
    let api = Api::new(state);
    let body_limit = DefaultBodyLimit::max(api.config.body_bytes_max);
    let (resources, _) = routes::resources().split_for_parts();
    let (bulk, _) = routes::bulk().split_for_parts();
    let resources = resources.layer(body_limit).route_layer(layer::AroundCommand(api.clone()));
    let bulk = bulk.route_layer(from_fn_with_state(api.clone(), layer::around_bulk));
    let (status, _) = routes::status().split_for_parts();
    resources.merge(bulk).merge(status).merge(routes::internal(&api)).with_state(api)
}

/// The API's description, OpenAPI 3.1.
pub fn openapi() -> utoipa::openapi::OpenApi {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(routes::resources())
        .merge(routes::bulk())
        .merge(routes::status())
        .into_openapi()
}
