//! Orders.

use std::collections::HashMap;

use aggregate_host::ProductFacts;
use futures::{StreamExt, TryStreamExt, stream};
use schemas::order::{
    CancelOrder, CancelReason, LINES_MAX, OrderCommand, OrderLine, PlaceOrder, PostalAddress, ReturnOrderLine,
};
use schemas::{
    Command, Currency, CustomerId, ErrorCode, Money, OrderId, Quantity, Reference, Sku, StreamId, Timestamp,
};
use serde::{Deserialize, Serialize};
use service_kit::problem_codes;
use utoipa::ToSchema;

use crate::answer::{CommandHeaders, Created, Done};
use crate::call::Call;
use crate::error::ApiError;
use crate::extract::{Body, Params};
use crate::permission::forbidden;
use crate::pricing::LineRequest;
use crate::refusals::Responses;

use super::Reply;

problem_codes! {
    /// Of placing an order.
    NewOrderRules: Forbidden, ProductNotFound, ProductNotPublished, ProductNotPriced, OrderExists, OrderEmpty,
        OrderTooLong, OrderLineInvalid, CurrencyMismatch;
    /// Of cancelling an order.
    CancellingRules: Forbidden, OrderNotFound, OrderWrongStatus;
    /// Of taking goods back.
    ReturnRules: OrderNotFound, OrderLineNotFound, OrderWrongStatus, ReferenceReused, ReturnExceedsOrder,
        RefundExceedsPrice, CurrencyMismatch;
}

/// An order to be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    /// Its id; none: one is made.
    #[serde(default)]
    id: Option<OrderId>,
    /// Who buys; none: a guest.
    #[serde(default)]
    customer_id: Option<CustomerId>,
    /// How to reach a guest.
    #[serde(default)]
    email: Option<String>,
    /// Where the order comes from; none: `web`.
    #[serde(default)]
    channel: Option<String>,
    /// The country it counts for.
    country: String,
    /// Currency of all its amounts; none: the shop's.
    #[serde(default)]
    currency: Option<Currency>,
    /// 1 to 2,000 lines.
    lines: Vec<LineRequest>,
    /// Where to send goods.
    #[serde(default)]
    shipping_address: Option<PostalAddress>,
    /// The way to pay; none: `sandbox`.
    #[serde(default)]
    payment_method: Option<String>,
    /// When it was placed; none: now. Needs the import permission.
    #[serde(default)]
    occurred_at: Option<Timestamp>,
}

/// Why an order is not to be delivered.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancellation {
    /// `customer_request` (the default) or `staff_decision`; the other reasons are found by the process managers.
    #[serde(default)]
    reason: Option<CancelReason>,
    /// Why, for people.
    #[serde(default)]
    detail: String,
}

/// Goods of a delivered order that come back.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Return {
    /// The return, taken once; none: this request.
    #[serde(default)]
    reference: Option<Reference>,
    /// The order's line, from 1.
    line: u32,
    /// How many come back.
    quantity: Quantity,
    /// What the buyer gets back for all of them: at most what they cost.
    refund: Money,
    /// Whether they can be sold again; yes by default.
    #[serde(default)]
    restock: Option<bool>,
    /// Why, for people.
    #[serde(default)]
    reason: String,
}

/// Buy. Prices and tax come from the products. Stock and payment are arranged afterwards: the order goes from `placed` to
/// `confirmed`, or to `cancelled` with the reason.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "orders",
    params(CommandHeaders),
    request_body = NewOrder,
    responses(Responses<Created, NewOrderRules>),
)]
pub(crate) async fn place(call: Call, Body(body): Body<NewOrder>) -> Reply {
    check_import(&call, &body)?;
    if body.lines.len() > LINES_MAX {
        return Err(ApiError::of(ErrorCode::OrderTooLong)
            .fact("lines", body.lines.len())
            .fact("lines_max", LINES_MAX));
    }
    let id = call.id_or_derived(body.id.clone());
    let currency = body.currency.unwrap_or(call.api.config.default_currency);
    let lines = match priced_lines(&call, &body.lines, currency).await {
        Ok(lines) => lines,
        // A repeated request, whose product has gone out of sale since, is still answered as the first one was: the
        // shard knows its command id before it looks at any line, and an order that is there refuses to have none.
        Err(error) if error.is_refusal() && call.api.shards.exists(&StreamId::from(&id)).await? => Vec::new(),
        Err(error) => return Err(error),
    };
    let place = PlaceOrder {
        customer_id: body.customer_id.clone(),
        email: body.email.clone(),
        channel: body.channel.clone().unwrap_or_else(|| "web".to_owned()),
        country: body.country.clone(),
        currency,
        lines,
        shipping_address: body.shipping_address.clone(),
        payment_method: body.payment_method.clone().unwrap_or_else(|| "sandbox".to_owned()),
    };
    let command = Command::Order { id, body: OrderCommand::Place(place) };
    let answered = call.submit_made_from(&body, command, body.occurred_at).await?;
    Ok(answered.created("/v1/orders"))
}

/// Refuses what only an importer may state.
fn check_import(call: &Call, body: &NewOrder) -> Result<(), ApiError> {
    let principal = &call.sender.principal;
    if call.api.may_import(principal) {
        return Ok(());
    }
    if body.occurred_at.is_some() {
        call.api.check_may_backdate(principal)?;
    }
    let stated =
        body.lines.iter().zip(1_u32..).find_map(|(line, number)| Some((number, line.importers_field()?)));
    match stated {
        None => Ok(()),
        Some((number, field)) => {
            let detail = format!("stating {field} needs the import permission, which {principal} has not");
            Err(ApiError::from(forbidden(detail)).fact("line", number).fact("field", field))
        }
    }
}

/// The order's lines; each product whose price is not stated is looked up once.
async fn priced_lines(
    call: &Call,
    lines: &[LineRequest],
    currency: Currency,
) -> Result<Vec<OrderLine>, ApiError> {
    let asked: std::collections::HashSet<&Sku> =
        lines.iter().filter(|line| line.unit_price.is_none()).map(|line| &line.sku).collect();
    let shards = &call.api.shards;
    let look_up = async |sku: &Sku| {
        let product = shards.product(sku, currency).await?;
        Ok::<_, ApiError>((sku.clone(), product))
    };
    let products: HashMap<Sku, Option<ProductFacts>> = stream::iter(asked.into_iter().map(look_up))
        .buffer_unordered(call.api.config.lookups_in_flight_max.max(1))
        .try_collect()
        .await?;
    lines
        .iter()
        .zip(1..)
        .map(|(line, number)| {
            let product = products.get(&line.sku).cloned().flatten();
            line.clone().priced(number, currency, product, &call.api.config.tax)
        })
        .collect()
}

/// Don't deliver an order. Possible until the goods have left.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/cancel",
    tag = "orders",
    params(("id" = OrderId, Path, description = "Which"), CommandHeaders),
    request_body = Cancellation,
    responses(Responses<Done, CancellingRules>),
)]
pub(crate) async fn cancel(call: Call, Params(id): Params<OrderId>, Body(body): Body<Cancellation>) -> Reply {
    let reason = body.reason.unwrap_or(CancelReason::CustomerRequest);
    let command =
        Command::Order { id, body: OrderCommand::Cancel(CancelOrder { reason, detail: body.detail }) };
    call.api.check_may_send(&call.sender.principal, &command)?;
    call.submit(command).await
}

/// Take goods of a delivered order back and refund them.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/returns",
    tag = "orders",
    params(("id" = OrderId, Path, description = "Which"), CommandHeaders),
    request_body = Return,
    responses(Responses<Done, ReturnRules>),
)]
pub(crate) async fn return_line(call: Call, Params(id): Params<OrderId>, Body(body): Body<Return>) -> Reply {
    let taken_back = ReturnOrderLine {
        reference: call.reference_or_derived(body.reference),
        line: body.line,
        quantity: body.quantity,
        refund: body.refund,
        restock: body.restock.unwrap_or(true),
        reason: body.reason,
    };
    call.submit(Command::Order { id, body: OrderCommand::Return(taken_back) }).await
}
