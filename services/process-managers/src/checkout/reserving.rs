//! Placing an order and holding its stock.

use schemas::cart::CartCheckedOut;
use schemas::order::{
    CancelReason, LineKind, MarkOrderReserved, OrderCommand, OrderLine, OrderPlaced, PlaceOrder,
};
use schemas::product::TaxClass;
use schemas::stock::{ReserveStock, StockCommand};
use schemas::{Command, ErrorCode, Money, Rejection};

use super::{cancel, order_command};
use crate::{Answers, Step};

/// Most lines that the detail of a cancellation names.
const LINES_NAMED_MAX: usize = 10;

/// The cart's order. A cart knows SKUs and prices; the order's line takes the SKU for its name.
pub(super) fn place(event: &CartCheckedOut) -> Step {
    let nothing = Money::zero(event.currency);
    let lines = (1..).zip(&event.lines).map(|(line, item)| OrderLine {
        line,
        sku: item.sku.clone(),
        kind: LineKind::Goods,
        name: item.sku.to_string(),
        quantity: item.quantity,
        unit_price: item.unit_price,
        discount: nothing,
        tax_class: TaxClass::default(),
        tax: nothing,
        // A total that does not fit is refused by the order, which says so.
        total: item.unit_price.checked_mul(item.quantity.get()).unwrap_or(nothing),
    });
    let body = PlaceOrder {
        customer_id: event.customer_id.clone(),
        email: event.email.clone(),
        channel: event.channel.clone(),
        country: event.country.clone(),
        currency: event.currency,
        lines: lines.collect(),
        shipping_address: event.shipping_address.clone(),
        payment_method: event.payment_method.clone(),
    };
    order_command("place", &event.order_id, OrderCommand::Place(body))
}

pub(super) fn reserve(event: &OrderPlaced, answers: &Answers) -> Vec<Step> {
    let goods: Vec<_> = event.lines.iter().filter(|line| line.kind == LineKind::Goods).collect();
    let mut steps: Vec<_> = goods
        .iter()
        .map(|line| {
            let (order_id, quantity) = (event.order_id.clone(), line.quantity);
            let body = StockCommand::Reserve(ReserveStock { order_id, line: line.line, quantity });
            Step::command(step_of(line), Command::Stock { id: line.sku.clone(), body })
        })
        .collect();
    if goods.iter().any(|line| answers.outcome(&step_of(line)).is_none()) {
        return steps;
    }
    let refused: Vec<_> =
        goods.iter().filter_map(|line| Some((*line, answers.rejection(&step_of(line))?))).collect();
    steps.push(if refused.is_empty() {
        order_command("mark-reserved", &event.order_id, OrderCommand::MarkReserved(MarkOrderReserved {}))
    } else {
        cancel("out-of-stock", &event.order_id, CancelReason::OutOfStock, &missing(&refused))
    });
    steps
}

fn step_of(line: &OrderLine) -> String {
    format!("reserve/{}", line.line)
}

/// What is missing, for people: SKU, asked, available.
fn missing(refused: &[(&OrderLine, &Rejection)]) -> String {
    let mut told: Vec<_> = refused
        .iter()
        .take(LINES_NAMED_MAX)
        .map(|(line, rejection)| match (rejection.code, rejection.facts.get("available")) {
            (ErrorCode::InsufficientStock, Some(available)) => {
                format!("{}: {} asked, {available} available", line.sku, line.quantity)
            }
            _ => format!("{}: {}", line.sku, rejection.detail),
        })
        .collect();
    if refused.len() > LINES_NAMED_MAX {
        told.push(format!("and {} more lines", refused.len() - LINES_NAMED_MAX));
    }
    told.join("; ")
}
