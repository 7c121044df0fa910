//! From rows to what is to be said to the shop: pure, so that a file and a prefix of it can be checked without a server.
//!
//! An invoice is its rows, wherever they stand, and stands where its first row stands. Invoices of digits are orders
//! (or, without a customer and at price 0 throughout, stock corrections), `C…` are returns and credits, `A…` credits.
//! Opening stock is all that leaves, so that orders may be replayed at the same time.

mod builder;
mod figures;
mod returning;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use schemas::customer::CreditKind;
use schemas::order::LineKind;
use schemas::stock::AdjustmentKind;
use schemas::{CustomerId, OrderId, Quantity, Reference, Sku, Timestamp};

pub(super) use builder::plan;

/// The account that stands for everybody without a number.
pub(super) const GUEST: &str = "guest";

/// Everything that an import says, in the order in which it is said.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// When products, customers and opening stock came to be: before the first row.
    pub(super) opened_at: Timestamp,
    pub(super) products: Vec<Product>,
    /// The account [`GUEST`] is among them.
    pub(super) customers: Vec<Customer>,
    pub(super) orders: Vec<Order>,
    pub(super) corrections: Vec<Adjustment>,
    pub(super) returns: Vec<OrderReturn>,
    /// Goods that came back without an order.
    pub(super) adjustments: Vec<Adjustment>,
    pub(super) credits: Vec<Credit>,
}

/// A SKU that is goods in an order, a correction or a return.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) sku: Sku,
    /// The most frequent description among its order rows; the SKU where there is none.
    pub(super) name: Arc<str>,
    /// Its first positive order price, pence; 0 where there is none.
    pub(super) list_price_minor: i64,
    /// All that leaves: order lines and negative corrections.
    pub(super) opening_units: i64,
}

/// A customer of the file.
#[derive(Debug)]
pub(super) struct Customer {
    pub(super) id: CustomerId,
    /// That of the first order; without one, of the first row.
    pub(super) country: Arc<str>,
    /// How many orders it has in the file.
    pub(super) orders: u32,
}

/// An invoice of digits.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) id: OrderId,
    /// None: a guest.
    pub(super) customer: Option<CustomerId>,
    pub(super) country: Arc<str>,
    pub(super) at: Timestamp,
    /// One per row.
    pub(super) lines: Vec<Line>,
}

/// A row of an order.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sku: Sku,
    pub(super) kind: LineKind,
    pub(super) name: Arc<str>,
    pub(super) quantity: Quantity,
    /// Pence per unit, not negative.
    pub(super) price_minor: i64,
}

/// A change of stock on hand.
#[derive(Debug)]
pub(super) struct Adjustment {
    pub(super) reference: Reference,
    pub(super) kind: AdjustmentKind,
    pub(super) sku: Sku,
    /// Units added; negative: taken away.
    pub(super) delta: i64,
    pub(super) reason: Arc<str>,
    pub(super) at: Timestamp,
}

/// Units of one order line that come back.
#[derive(Debug)]
pub(super) struct OrderReturn {
    pub(super) reference: Reference,
    pub(super) order_id: OrderId,
    /// The order's line, from 1.
    pub(super) line: u32,
    pub(super) quantity: Quantity,
    /// For all units, pence.
    pub(super) refund_minor: i64,
    pub(super) reason: Arc<str>,
    pub(super) at: Timestamp,
}

/// Money put on an account, or taken off.
#[derive(Debug)]
pub(super) struct Credit {
    pub(super) reference: Reference,
    pub(super) account: CustomerId,
    pub(super) kind: CreditKind,
    /// Pence, in the customer's favour when positive.
    pub(super) amount_minor: i64,
    /// The order whose line could not refund it.
    pub(super) order_id: Option<OrderId>,
    pub(super) reason: Arc<str>,
    pub(super) at: Timestamp,
}
