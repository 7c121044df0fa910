//! Giving back what a cancelled order held: stock, money, the shipment.

use schemas::Command;
use schemas::order::{GoodsLine, OrderCancelled};
use schemas::stock::{ReleaseStock, ReturnStock, StockCommand};

use super::{paying, shipping};
use crate::names::{cancel_reference, shipment_id};
use crate::{Answers, Step};

/// Every line goes back the way it went: a promise is released, shipped units are returned.
///
/// The order knows only whether *it* was shipped. Lines may have left while it was being cancelled (releasing them
/// then changes nothing), so a release that changed nothing is followed by a return, which the stock refuses unless
/// units of the line did leave. Both are bound to the order's line, and so happen once.
pub(super) fn compensate(event: &OrderCancelled, answers: &Answers) -> Vec<Step> {
    let mut steps = Vec::with_capacity(event.goods.len() + 2);
    for line in &event.goods {
        if event.shipment_id.is_some() {
            steps.push(give_back(event, line));
            continue;
        }
        let name = format!("release/{}", line.line);
        let body = StockCommand::Release(ReleaseStock { order_id: event.order_id.clone(), line: line.line });
        let might_have_left = answers.is_unchanged(&name) || answers.rejection(&name).is_some();
        steps.push(Step::command(name, Command::Stock { id: line.sku.clone(), body }));
        if might_have_left {
            steps.push(give_back(event, line));
        }
    }
    if event.total.amount_minor > 0 {
        let why = serde_json::to_value(event.reason).ok();
        let why = why.as_ref().and_then(serde_json::Value::as_str).unwrap_or("cancelled");
        steps.push(paying::unwind(&event.order_id.payment_id(), &format!("{why}: {}", event.detail)));
    }
    // One that was created but has not left yet, or that left meanwhile.
    if !event.goods.is_empty() && event.shipment_id.is_none() {
        steps.push(shipping::fail("fail-shipment", &shipment_id(&event.order_id)));
    }
    steps
}

fn give_back(event: &OrderCancelled, line: &GoodsLine) -> Step {
    let body = StockCommand::Return(ReturnStock {
        order_id: event.order_id.clone(),
        line: line.line,
        quantity: line.quantity,
        reference: cancel_reference(&event.order_id, line.line),
        restock: true,
    });
    Step::command(format!("return/{}", line.line), Command::Stock { id: line.sku.clone(), body })
}
