//! Which order lines a return is about: the same customer's, the latest first.

use std::collections::HashMap;

use schemas::{CustomerId, OrderId, Sku};

use crate::import::csv::Row;

/// Goods lines of customers' orders that can still be returned.
///
/// Invoices are met as they stand in the file, so what is here stands earlier than what is being returned.
#[derive(Default)]
pub(super) struct OpenLines {
    /// The latest order's last row on top.
    lines: HashMap<(CustomerId, Sku), Vec<OpenLine>>,
}

struct OpenLine {
    order_id: OrderId,
    line: u32,
    price_minor: i64,
    units: i64,
}

/// So many units of one order line.
pub(super) struct Part {
    pub(super) order_id: OrderId,
    pub(super) line: u32,
    /// The order line's, pence.
    pub(super) price_minor: i64,
    pub(super) quantity: i64,
}

impl OpenLines {
    /// A line of an order.
    pub(super) fn add(&mut self, customer: &CustomerId, row: &Row, order_id: &OrderId, line: u32) {
        let key = (customer.clone(), row.sku.clone());
        let (order_id, price_minor, units) = (order_id.clone(), row.price_minor, row.quantity);
        self.lines.entry(key).or_default().push(OpenLine { order_id, line, price_minor, units });
    }

    /// Takes a return row's units off the lines that explain it, over several orders if need be; a guest's return is
    /// explained by none.
    pub(super) fn take_back(&mut self, row: &Row) -> Vec<Part> {
        let key = row.customer.clone().map(|customer| (customer, row.sku.clone()));
        let Some(lines) = key.and_then(|key| self.lines.get_mut(&key)) else { return Vec::new() };
        let mut wanted = -row.quantity;
        let mut parts = Vec::new();
        while wanted > 0
            && let Some(latest) = lines.last_mut()
        {
            let quantity = wanted.min(latest.units);
            let (order_id, line, price_minor) = (latest.order_id.clone(), latest.line, latest.price_minor);
            parts.push(Part { order_id, line, price_minor, quantity });
            wanted -= quantity;
            latest.units -= quantity;
            if latest.units == 0 {
                lines.pop();
            }
        }
        parts
    }
}
