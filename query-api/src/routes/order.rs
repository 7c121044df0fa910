//! What was bought, with how it is paid and how it travels.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use projections::{
    OrderDocument, Orders, OrdersOfCustomer, PaymentDocument, Payments, Projection, ShipmentDocument,
    ShipmentsOfOrder,
};
use read_store::RowKey;
use schemas::order::OrderStatus;
use schemas::{CustomerId, ErrorCode, Money, OrderId, Timestamp, Version};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use service_kit::{Path, Problem, Query, problem_codes};
use utoipa::{IntoParams, ToSchema};

use crate::page::{Page, PageQuery, partition_page, table_page};
use crate::position::{MinPosition, MinPositionHeader};
use crate::refusals::{OutOfRange, Refusals};
use crate::view::{View, parse};
use crate::{QueryState, error};

problem_codes! {
    /// There is no such order.
    NoOrder: OrderNotFound;
}

/// Most shipments that an order's answer lists.
const SHIPMENTS_MAX: usize = 100;

/// An order, its payment and its shipments. Each part is as its own stream says; they may be at different moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderView {
    /// The order.
    #[serde(flatten)]
    pub order: OrderDocument,
    /// Its payment; none: nothing to pay, or not asked for yet.
    pub payment: Option<PaymentDocument>,
    /// Its shipments, at most a hundred.
    pub shipments: Vec<ShipmentDocument>,
}

/// An order in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderSummary {
    /// The order.
    pub id: OrderId,
    /// Where it stands.
    pub status: OrderStatus,
    /// Who buys; none: a guest.
    pub customer_id: Option<CustomerId>,
    /// Where it came from.
    pub channel: String,
    /// The country it counts for.
    pub country: String,
    /// How many lines it has.
    pub line_count: usize,
    /// Sum of the lines' totals.
    pub total: Money,
    /// Sum of what is refunded for returned lines.
    pub refunded: Money,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Its stream's version.
    pub version: Version,
}

/// The members of a stored order that a list shows.
#[derive(Deserialize)]
struct StoredSummary {
    id: OrderId,
    status: OrderStatus,
    customer_id: Option<CustomerId>,
    channel: String,
    country: String,
    lines: Vec<IgnoredAny>,
    total: Money,
    refunded: Money,
    placed_at: Timestamp,
    version: Version,
}

fn summary(document: &Bytes) -> Result<OrderSummary, Problem> {
    let stored: StoredSummary = parse(document)?;
    Ok(OrderSummary {
        id: stored.id,
        status: stored.status,
        customer_id: stored.customer_id,
        channel: stored.channel,
        country: stored.country,
        line_count: stored.lines.len(),
        total: stored.total,
        refunded: stored.refunded,
        placed_at: stored.placed_at,
        version: stored.version,
    })
}

/// Which orders.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrdersQuery {
    /// Only this customer's.
    customer: Option<String>,
    /// Most items, 1 to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u64>,
    /// `next_cursor` of the page before; the first page without.
    cursor: Option<String>,
}

/// Lists orders, ordered by id.
#[utoipa::path(
    get,
    path = "/v1/orders",
    tag = "orders",
    params(OrdersQuery, MinPositionHeader),
    responses(
        (status = 200, description = "A page, ordered by id", body = Page<OrderSummary>,
            headers(("Millrace-Position" = String, description = "What the answer reflects"))),
        Refusals<OutOfRange>,
    )
)]
pub(crate) async fn list_orders(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Query(query): Query<OrdersQuery>,
) -> Result<Response, Problem> {
    let page = PageQuery::new(query.limit, query.cursor);
    let view = View::open(&state, &[Orders::TABLE, OrdersOfCustomer::TABLE], min_position).await?;
    let (items, next_cursor) = match query.customer {
        None => table_page(&state, Orders::TABLE, &page, |row| summary(&row.document)).await?,
        Some(customer) => {
            let (rows, next) = partition_page(&state, OrdersOfCustomer::TABLE, &customer, &page).await?;
            let keys: Vec<_> =
                rows.iter().map(|row| RowKey::new(Orders::TABLE, &*row.sort_key, "")).collect();
            let orders = state.store.get_many(&keys).await.map_err(error::store)?;
            let items =
                orders.into_iter().flatten().map(|row| summary(&row.document)).collect::<Result<_, _>>()?;
            (items, next)
        }
    };
    view.json(&Page { items, next_cursor })
}

/// An order with its payment and its shipments.
#[utoipa::path(
    get,
    path = "/v1/orders/{id}",
    tag = "orders",
    params(("id" = String, Path, description = "The order"), MinPositionHeader),
    responses(
        (status = 200, description = "The order", body = OrderView,
            headers(
                ("Millrace-Position" = String, description = "What the answer reflects"),
                ("ETag" = String, description = "The order's version and a hash of the whole, for If-Match and If-None-Match"),
            )),
        Refusals<NoOrder>,
    )
)]
pub(crate) async fn get_order(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let tables = [Orders::TABLE, Payments::TABLE, ShipmentsOfOrder::TABLE];
    let view = View::open(&state, &tables, min_position).await?;
    let order = view.get(Orders::TABLE, &id).await?;
    let order = order.ok_or_else(|| error::not_found(ErrorCode::OrderNotFound, "order", &id))?;
    let order: OrderDocument = parse(&order.document)?;
    // A payment has its order's id.
    let payment = view.get(Payments::TABLE, &id).await?.map(|row| parse(&row.document)).transpose()?;
    let shipments =
        state.store.scan(ShipmentsOfOrder::TABLE, &id, "", SHIPMENTS_MAX).await.map_err(error::store)?;
    let shipments = shipments.iter().map(|row| parse(&row.document)).collect::<Result<_, _>>()?;
    let version = order.version;
    view.joined(&OrderView { order, payment, shipments }, version)
}
