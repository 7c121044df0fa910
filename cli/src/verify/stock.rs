//! Promise 4: the counters equal the sum of what moved, and the reservations equal the counter.

use std::collections::HashMap;

use schemas::stock::{StockEvent, StockLevels};
use schemas::{OrderId, Position, Sku};

use super::report::Report;

/// One SKU, folded without the help of the aggregate.
#[derive(Default)]
struct Fold {
    on_hand: i64,
    /// Sum of the open reservations, kept beside them.
    reserved: i64,
    reservations: HashMap<(OrderId, u32), Reservation>,
}

#[derive(Clone, Copy)]
enum Reservation {
    Open(i64),
    Shipped { units: i64, returned: i64 },
    Closed,
}

/// Follows the stock of every SKU.
#[derive(Default)]
pub(crate) struct StockChecks {
    skus: HashMap<Sku, Fold>,
}

impl StockChecks {
    pub(crate) fn event(&mut self, event: &StockEvent, position: &Position, report: &mut Report) {
        let (sku, levels) = match event {
            StockEvent::Received(e) => (&e.sku, Some(e.levels)),
            StockEvent::Reserved(e) => (&e.sku, Some(e.levels)),
            StockEvent::Released(e) => (&e.sku, Some(e.levels)),
            StockEvent::Shipped(e) => (&e.sku, Some(e.levels)),
            StockEvent::Returned(e) => (&e.sku, Some(e.levels)),
            StockEvent::Adjusted(e) => (&e.sku, Some(e.levels)),
            StockEvent::LowStockThresholdSet(e) => (&e.sku, None),
            StockEvent::LowStockReached(e) => (&e.sku, None),
            StockEvent::LowStockRecovered(e) => (&e.sku, None),
        };
        let fold = self.skus.entry(sku.clone()).or_default();
        if let Err(problem) = fold.apply(event) {
            report.violation(|| format!("{position}: stock of {sku}: {problem}"));
        }
        let Some(levels) = levels else { return };
        let StockLevels { on_hand, reserved, available } = levels;
        if reserved + available != on_hand || on_hand < 0 || reserved < 0 || available < 0 {
            report.violation(|| format!("{position}: stock of {sku}: {reserved} + {available} is not {on_hand}, or one is negative"));
        }
        if on_hand != fold.on_hand {
            report.violation(|| {
                format!("{position}: stock of {sku}: on hand says {on_hand}, the movements {}", fold.on_hand)
            });
        }
        if reserved != fold.reserved {
            report.violation(|| {
                format!(
                    "{position}: stock of {sku}: reserved says {reserved}, the reservations {}",
                    fold.reserved
                )
            });
        }
    }

    /// Whether an ended order still holds stock, by order.
    pub(crate) fn open_reservations(&self) -> impl Iterator<Item = (&Sku, &OrderId, u32, i64)> {
        self.skus.iter().flat_map(|(sku, fold)| {
            fold.reservations.iter().filter_map(move |((order, line), reservation)| match reservation {
                Reservation::Open(units) => Some((sku, order, *line, *units)),
                Reservation::Shipped { .. } | Reservation::Closed => None,
            })
        })
    }

    pub(crate) fn finish(&self, report: &mut Report) {
        report.skus = self.skus.len() as u64;
        report.on_hand_units = self.skus.values().map(|fold| fold.on_hand).sum();
        report.reserved_units = self.skus.values().map(|fold| fold.reserved).sum();
    }
}

impl Fold {
    fn apply(&mut self, event: &StockEvent) -> Result<(), String> {
        match event {
            StockEvent::Received(e) => self.on_hand += e.quantity.get(),
            StockEvent::Adjusted(e) => self.on_hand += e.delta,
            StockEvent::Reserved(e) => {
                let reservation = Reservation::Open(e.quantity.get());
                self.reserved += e.quantity.get();
                if self.reservations.insert((e.order_id.clone(), e.line), reservation).is_some() {
                    return Err(format!("line {} of order {} is reserved twice", e.line, e.order_id));
                }
            }
            StockEvent::Released(e) => {
                let before = self.reservations.insert((e.order_id.clone(), e.line), Reservation::Closed);
                let freed = match before {
                    Some(Reservation::Open(units)) => {
                        self.reserved -= units;
                        units
                    }
                    None => 0,
                    _ => {
                        return Err(format!(
                            "line {} of order {} is released after its end",
                            e.line, e.order_id
                        ));
                    }
                };
                if freed != e.quantity {
                    return Err(format!(
                        "line {} of order {} frees {} of {freed}",
                        e.line, e.order_id, e.quantity
                    ));
                }
            }
            StockEvent::Shipped(e) => {
                let units = e.quantity.get();
                self.on_hand -= units;
                let shipped = Reservation::Shipped { units, returned: 0 };
                match self.reservations.insert((e.order_id.clone(), e.line), shipped) {
                    Some(Reservation::Open(reserved)) if reserved == units => self.reserved -= units,
                    _ => {
                        return Err(format!(
                            "line {} of order {} ships what is not reserved",
                            e.line, e.order_id
                        ));
                    }
                }
            }
            StockEvent::Returned(e) => {
                if e.restocked {
                    self.on_hand += e.quantity.get();
                }
                match self.reservations.get_mut(&(e.order_id.clone(), e.line)) {
                    Some(Reservation::Shipped { units, returned })
                        if *returned + e.quantity.get() <= *units =>
                    {
                        *returned += e.quantity.get();
                    }
                    _ => {
                        return Err(format!(
                            "line {} of order {} returns more than it shipped",
                            e.line, e.order_id
                        ));
                    }
                }
            }
            StockEvent::LowStockThresholdSet(_)
            | StockEvent::LowStockReached(_)
            | StockEvent::LowStockRecovered(_) => {}
        }
        Ok(())
    }
}
