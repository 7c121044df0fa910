//! Carts.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use schemas::cart::{
    AddToCart, CartChange, CartCommand, ChangeCartLine, CheckOutCart, ClaimCart, OpenCart, Quote,
    RemoveFromCart,
};
use schemas::order::PostalAddress;
use schemas::{CartId, Command, Currency, CustomerId, ErrorCode, OrderId, Quantity, Sku};
use serde::{Deserialize, Serialize};
use service_kit::problem_codes;
use utoipa::{IntoResponses, ToSchema};

use crate::answer::{Answered, CommandAnswer, CommandHeaders, Created, Done};
use crate::call::Call;
use crate::error::ApiError;
use crate::extract::{Body, Params};
use crate::refusals::{BodilessResponses, Responses};

use super::Reply;

problem_codes! {
    /// Of starting a cart.
    NewCartRules: CartExists;
    /// Of filling a cart.
    CartRules: CartNotFound, CartLineNotFound, CartClosed, CartClaimed, CartFull, CurrencyMismatch;
    /// Of buying what is in a cart.
    CheckoutRules: CartNotFound, CartClosed, CartEmpty, CurrencyMismatch;
}

/// A cart to be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCart {
    /// Its id; none: one is made.
    #[serde(default)]
    id: Option<CartId>,
    /// Whose; none: a guest's.
    #[serde(default)]
    customer_id: Option<CustomerId>,
    /// Currency of its prices; none: the shop's.
    #[serde(default)]
    currency: Option<Currency>,
    /// Where it is started; none: `web`.
    #[serde(default)]
    channel: Option<String>,
}

/// How many of an item.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineQuantity {
    /// How many from now on.
    quantity: Quantity,
}

/// How to buy what is in a cart.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkout {
    /// Id of the order to be; none: one is made.
    #[serde(default)]
    order_id: Option<OrderId>,
    /// How to reach a guest.
    #[serde(default)]
    email: Option<String>,
    /// The country the order counts for.
    country: String,
    /// Where to send goods.
    #[serde(default)]
    shipping_address: Option<PostalAddress>,
    /// The way to pay; none: `sandbox`.
    #[serde(default)]
    payment_method: Option<String>,
}

/// What became of a checkout.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckoutAnswer {
    #[serde(flatten)]
    answer: CommandAnswer,
    /// Whether the cart became an order. If not, the cart has taken `changes` on: check out again to agree.
    checked_out: bool,
    /// The order to be; it follows within moments.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    /// What has changed since the buyer put it into the cart.
    changes: Vec<CartChange>,
}

impl IntoResponse for CheckoutAnswer {
    fn into_response(self) -> Response {
        self.answer.respond(StatusCode::OK, &self)
    }
}

/// The success of a checkout, for the API's description.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the description only")]
pub(crate) enum CheckedOut {
    /// It is bought, or the buyer has to look at what changed.
    #[response(status = 200, headers(
        ("ETag" = String, description = "The cart's version, in quotes"),
        ("Millrace-Position" = String, description = "Where the last event stands; none if there was nothing to do"),
        ("Millrace-Command-Id" = String, description = "The command"),
        ("Idempotency-Replayed" = String, description = "true: this is the answer to an earlier request"),
    ))]
    Done(CheckoutAnswer),
}

/// Start a cart.
#[utoipa::path(
    post,
    path = "/v1/carts",
    tag = "carts",
    params(CommandHeaders),
    request_body = NewCart,
    responses(Responses<Created, NewCartRules>),
)]
pub(crate) async fn open(call: Call, Body(body): Body<NewCart>) -> Reply {
    let id = call.id_or_derived(body.id);
    let open = OpenCart {
        customer_id: body.customer_id,
        currency: body.currency.unwrap_or(call.api.config.default_currency),
        channel: body.channel.unwrap_or_else(|| "web".to_owned()),
    };
    Ok(call.submit(Command::Cart { id, body: CartCommand::Open(open) }).await?.created("/v1/carts"))
}

/// Put an item, or more of it, into a cart, at the price that the buyer has seen; checkout compares.
#[utoipa::path(
    post,
    path = "/v1/carts/{id}/lines",
    tag = "carts",
    params(("id" = CartId, Path, description = "Which"), CommandHeaders),
    request_body = AddToCart,
    responses(Responses<Done, CartRules>),
)]
pub(crate) async fn add(call: Call, Params(id): Params<CartId>, Body(body): Body<AddToCart>) -> Reply {
    call.submit(Command::Cart { id, body: CartCommand::Add(body) }).await
}

/// Change how many of an item.
#[utoipa::path(
    put,
    path = "/v1/carts/{id}/lines/{sku}",
    tag = "carts",
    params(("id" = CartId, Path, description = "Which"), ("sku" = Sku, Path, description = "Which item"), CommandHeaders),
    request_body = LineQuantity,
    responses(Responses<Done, CartRules>),
)]
pub(crate) async fn change(
    call: Call,
    Params((id, sku)): Params<(CartId, Sku)>,
    Body(LineQuantity { quantity }): Body<LineQuantity>,
) -> Reply {
    let change = ChangeCartLine { sku, quantity };
    call.submit(Command::Cart { id, body: CartCommand::Change(change) }).await
}

/// Take an item out of a cart.
#[utoipa::path(
    delete,
    path = "/v1/carts/{id}/lines/{sku}",
    tag = "carts",
    params(("id" = CartId, Path, description = "Which"), ("sku" = Sku, Path, description = "Which item"), CommandHeaders),
    responses(BodilessResponses<Done, CartRules>),
)]
pub(crate) async fn remove(call: Call, Params((id, sku)): Params<(CartId, Sku)>) -> Reply {
    call.submit(Command::Cart { id, body: CartCommand::Remove(RemoveFromCart { sku }) }).await
}

/// Say whose cart it is: the guest has logged in.
#[utoipa::path(
    post,
    path = "/v1/carts/{id}/claim",
    tag = "carts",
    params(("id" = CartId, Path, description = "Which"), CommandHeaders),
    request_body = ClaimCart,
    responses(Responses<Done, CartRules>),
)]
pub(crate) async fn claim(call: Call, Params(id): Params<CartId>, Body(body): Body<ClaimCart>) -> Reply {
    call.submit(Command::Cart { id, body: CartCommand::Claim(body) }).await
}

/// Buy what is in a cart. Prices and stock are checked again: if something has changed, nothing is bought, the cart takes
/// the changes on, and the answer says which.
#[utoipa::path(
    post,
    path = "/v1/carts/{id}/checkout",
    tag = "carts",
    params(("id" = CartId, Path, description = "Which"), CommandHeaders),
    request_body = Checkout,
    responses(Responses<CheckedOut, CheckoutRules>),
)]
pub(crate) async fn check_out(
    mut call: Call,
    Params(id): Params<CartId>,
    Body(body): Body<Checkout>,
) -> Result<CheckoutAnswer, ApiError> {
    // The answer says what became of the cart, so it has to wait for that.
    call.prefers_async = false;
    let quotes = quotes(&call, &id).await?;
    let order_id = call.id_or_derived(body.order_id.clone());
    let check_out = CheckOutCart {
        order_id: order_id.clone(),
        quotes,
        email: body.email.clone(),
        country: body.country.clone(),
        shipping_address: body.shipping_address.clone(),
        payment_method: body.payment_method.clone().unwrap_or_else(|| "sandbox".to_owned()),
    };
    let command = Command::Cart { id: id.clone(), body: CartCommand::CheckOut(check_out) };
    let Answered::Decided { answer, .. } = call.submit_made_from(&body, command, None).await? else {
        return Err(ApiError::of(ErrorCode::Internal));
    };
    // The command is durable: whatever keeps us from reading the cart now, this is no "nothing was done".
    let cart = call.api.shards.cart(&id).await.map_err(|error| {
        ApiError::of(ErrorCode::OutcomeUnknown)
            .detail(format!("what became of the cart cannot be read now: {error}"))
    })?;
    let checked_out = cart.as_ref().is_some_and(|cart| cart.order_id.as_ref() == Some(&order_id));
    Ok(CheckoutAnswer {
        answer,
        checked_out,
        order_id: checked_out.then_some(order_id),
        changes: cart.map(|cart| cart.changes).filter(|_| !checked_out).unwrap_or_default(),
    })
}

/// What the shop says now of every item in the cart; nothing of a cart that is not there, which the cart refuses.
async fn quotes(call: &Call, id: &CartId) -> Result<Vec<Quote>, ApiError> {
    let shards = &call.api.shards;
    let Some(cart) = shards.cart(id).await? else { return Ok(Vec::new()) };
    let currency = cart.currency;
    let quote = async |sku: Sku| {
        let product = shards.product(&sku, currency).await?;
        let available = shards.stock_levels(&sku).await?.available;
        let unit_price = product.filter(|product| product.for_sale).and_then(|product| product.price);
        Ok::<_, ApiError>(Quote { sku, unit_price, available })
    };
    stream::iter(cart.lines.into_iter().map(|line| quote(line.sku)))
        .buffered(call.api.config.lookups_in_flight_max.max(1))
        .try_collect()
        .await
}
