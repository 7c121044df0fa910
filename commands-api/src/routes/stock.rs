//! Stock: what staff do. Reserving, releasing, shipping and taking back belong to the process managers, who send them
//! through the bulk route.

use schemas::stock::{AdjustStock, AdjustmentKind, ReceiveStock, SetLowStockThreshold, StockCommand};
use schemas::{Command, Reference, Sku};
use serde::{Deserialize, Serialize};
use service_kit::problem_codes;
use utoipa::ToSchema;

use crate::answer::{CommandHeaders, Done};
use crate::call::Call;
use crate::extract::{Body, Params};
use crate::refusals::Responses;

use super::Reply;

problem_codes! {
    /// Of what staff do with stock.
    StockRules: InsufficientStock, StockLimit, ReferenceReused;
}

/// A correction of the count.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Adjustment {
    /// Units to add (negative: take away), not 0.
    delta: i64,
    /// Which kind; none: a correction.
    #[serde(default)]
    kind: Option<AdjustmentKind>,
    /// Why, for people.
    reason: String,
    /// The document, adjusted once; none: this request.
    #[serde(default)]
    reference: Option<Reference>,
}

/// Goods arrive.
#[utoipa::path(
    post,
    path = "/v1/stock/{sku}/receive",
    tag = "stock",
    params(("sku" = Sku, Path, description = "Which"), CommandHeaders),
    request_body = ReceiveStock,
    responses(Responses<Done, StockRules>),
)]
pub(crate) async fn receive(call: Call, Params(sku): Params<Sku>, Body(body): Body<ReceiveStock>) -> Reply {
    call.submit(Command::Stock { id: sku, body: StockCommand::Receive(body) }).await
}

/// Correct the count.
#[utoipa::path(
    post,
    path = "/v1/stock/{sku}/adjust",
    tag = "stock",
    params(("sku" = Sku, Path, description = "Which"), CommandHeaders),
    request_body = Adjustment,
    responses(Responses<Done, StockRules>),
)]
pub(crate) async fn adjust(call: Call, Params(sku): Params<Sku>, Body(body): Body<Adjustment>) -> Reply {
    let adjust = AdjustStock {
        delta: body.delta,
        kind: body.kind.unwrap_or(AdjustmentKind::Correction),
        reason: body.reason,
        reference: call.reference_or_derived(body.reference),
    };
    call.submit(Command::Stock { id: sku, body: StockCommand::Adjust(adjust) }).await
}

/// Say below which level stock is low; 0 turns the alert off.
#[utoipa::path(
    post,
    path = "/v1/stock/{sku}/low-stock-threshold",
    tag = "stock",
    params(("sku" = Sku, Path, description = "Which"), CommandHeaders),
    request_body = SetLowStockThreshold,
    responses(Responses<Done, StockRules>),
)]
pub(crate) async fn set_low_stock_threshold(
    call: Call,
    Params(sku): Params<Sku>,
    Body(body): Body<SetLowStockThreshold>,
) -> Reply {
    call.submit(Command::Stock { id: sku, body: StockCommand::SetLowStockThreshold(body) }).await
}
