//! Promise 5, the order's part: exactly one terminal state, and what it held goes where it should.

use std::collections::HashMap;

use schemas::order::{OrderEvent, OrderStatus};
use schemas::{OrderId, Position, Quantity};

use super::money::MoneyChecks;
use super::report::Report;
use super::stock::StockChecks;

struct Fold {
    status: OrderStatus,
    total: i64,
    lines: Vec<(Quantity, i64)>,
    returned: HashMap<u32, (i64, i64)>,
}

/// Follows orders.
#[derive(Default)]
pub(crate) struct OrderChecks {
    orders: HashMap<OrderId, Fold>,
}

impl OrderChecks {
    pub(crate) fn event(&mut self, event: &OrderEvent, position: &Position, report: &mut Report) {
        let (id, next) = match event {
            OrderEvent::Placed(e) => {
                let lines: Vec<_> =
                    e.lines.iter().map(|line| (line.quantity, line.total.amount_minor)).collect();
                let sum: i64 = lines.iter().map(|(_, total)| total).sum();
                if sum != e.total.amount_minor {
                    report.violation(|| {
                        format!(
                            "{position}: order {}: lines sum up to {sum}, the total is {}",
                            e.order_id, e.total
                        )
                    });
                }
                let fold = Fold { status: OrderStatus::Placed, total: sum, lines, returned: HashMap::new() };
                if self.orders.insert(e.order_id.clone(), fold).is_some() {
                    report.violation(|| format!("{position}: order {} is placed twice", e.order_id));
                }
                return;
            }
            OrderEvent::Reserved(e) => (&e.order_id, OrderStatus::Placed),
            OrderEvent::Confirmed(e) => (&e.order_id, OrderStatus::Confirmed),
            OrderEvent::Shipped(e) => (&e.order_id, OrderStatus::Shipped),
            OrderEvent::Delivered(e) => (&e.order_id, OrderStatus::Delivered),
            OrderEvent::Cancelled(e) => (&e.order_id, OrderStatus::Cancelled),
            OrderEvent::LineReturned(e) => (&e.order_id, OrderStatus::Delivered),
        };
        let Some(fold) = self.orders.get_mut(id) else {
            report.violation(|| format!("{position}: order {id} was never placed"));
            return;
        };
        if let OrderEvent::LineReturned(e) = event {
            let (quantity, refund) = fold.returned.entry(e.line).or_default();
            *quantity += e.quantity.get();
            *refund += e.refund.amount_minor;
            let allowed = fold.lines.get(e.line as usize - 1);
            if fold.status != OrderStatus::Delivered
                || allowed.is_none_or(|(units, total)| *quantity > units.get() || *refund > *total)
            {
                report.violation(|| {
                    format!("{position}: order {id}: line {} returns more than was delivered", e.line)
                });
            }
            return;
        }
        let ended = matches!(fold.status, OrderStatus::Delivered | OrderStatus::Cancelled);
        if ended || next < fold.status {
            report.violation(|| format!("{position}: order {id} goes from {:?} to {next:?}", fold.status));
        }
        fold.status = next;
    }

    /// What ended orders still hold: under way while the platform runs, a violation once it is said to have settled.
    pub(crate) fn finish(
        &self,
        stock: &StockChecks,
        money: &MoneyChecks,
        settled: bool,
        report: &mut Report,
    ) {
        report.orders = self.orders.len() as u64;
        let mut unsettled = Vec::new();
        for (id, fold) in &self.orders {
            match fold.status {
                OrderStatus::Delivered => report.delivered_orders += 1,
                OrderStatus::Cancelled => report.cancelled_orders += 1,
                _ => {
                    report.open_orders += 1;
                    unsettled.push(format!("order {id} has not ended: {:?}", fold.status));
                    continue;
                }
            }
            let balance = money.payment_of(id).map(|payment| payment.balance).unwrap_or_default();
            let kept = balance.captured - balance.refunded;
            let refunds: i64 = fold.returned.values().map(|(_, refund)| refund).sum();
            let due = if fold.status == OrderStatus::Delivered { fold.total - refunds } else { 0 };
            if balance.open != 0 || kept != due {
                unsettled.push(format!(
                    "order {id} ({:?}): {kept} kept of {due} due, {} open",
                    fold.status, balance.open
                ));
            }
        }
        for (sku, order, line, units) in stock.open_reservations() {
            let ended = self
                .orders
                .get(order)
                .is_some_and(|fold| matches!(fold.status, OrderStatus::Delivered | OrderStatus::Cancelled));
            if ended {
                unsettled
                    .push(format!("order {order} has ended, its line {line} still holds {units} of {sku}"));
            }
        }
        report.unsettled = unsettled.len() as u64;
        if settled {
            for problem in unsettled {
                report.violation(|| problem);
            }
        }
    }
}
