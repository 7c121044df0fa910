//! Totals by day: what happened on each day, summed up per partition of each topic.
//!
//! The day is the UTC date of the time when the thing happened; a shop's own time zone is not known here yet. A day has
//! one row per source, so that every row is absolute; the reader adds the rows up. Counts are over all currencies,
//! money is kept by currency.

use std::collections::BTreeMap;

use read_store::Table;
use schemas::customer::{CreditKind, CustomerEvent};
use schemas::order::OrderEvent;
use schemas::payment::PaymentEvent;
use schemas::product::ProductEvent;
use schemas::stock::{AdjustmentKind, StockEvent};
use schemas::{AggregateType, Currency, Event, Money, RecordedEvent};
use serde::{Deserialize, Serialize};

use crate::projection::{add, source_key};
use crate::{FoldError, Key, Projection, RowId};

/// Money of a day in one currency, minor units. Zeros are left out of the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DayMoney {
    /// Totals of the orders placed, cancelled ones included.
    #[serde(skip_serializing_if = "is_zero")]
    pub gross: i64,
    /// Totals of the orders cancelled, whenever they were placed.
    #[serde(skip_serializing_if = "is_zero")]
    pub cancelled_gross: i64,
    /// Granted for returned lines, whether or not the provider has paid it yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub return_value: i64,
    /// Paid back by the provider.
    #[serde(skip_serializing_if = "is_zero")]
    pub refunds: i64,
    /// Credits to customers' accounts less debits.
    #[serde(skip_serializing_if = "is_zero")]
    pub credits: i64,
}

/// What one source says of a day. Zeros are left out of the JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DayTotals {
    /// Orders placed (orders).
    #[serde(skip_serializing_if = "is_zero")]
    pub orders: i64,
    /// Of these, by guests (orders).
    #[serde(skip_serializing_if = "is_zero")]
    pub guest_orders: i64,
    /// Lines of the orders placed (orders).
    #[serde(skip_serializing_if = "is_zero")]
    pub order_lines: i64,
    /// Orders cancelled, whenever they were placed (orders).
    #[serde(skip_serializing_if = "is_zero")]
    pub cancelled_orders: i64,
    /// Rows of return documents: order lines taken back (orders) and goods that no order explains (stock), a row that
    /// was split counting once.
    #[serde(skip_serializing_if = "is_zero")]
    pub return_rows: i64,
    /// Products started (products).
    #[serde(skip_serializing_if = "is_zero")]
    pub products: i64,
    /// Units received (stock).
    #[serde(skip_serializing_if = "is_zero")]
    pub received_units: i64,
    /// Units that left (stock).
    #[serde(skip_serializing_if = "is_zero")]
    pub shipped_units: i64,
    /// Units of order lines that came back into stock (stock).
    #[serde(skip_serializing_if = "is_zero")]
    pub returned_units: i64,
    /// Units added by adjustments less units taken away (stock).
    #[serde(skip_serializing_if = "is_zero")]
    pub adjusted_units: i64,
    /// Rows of corrections (stock).
    #[serde(skip_serializing_if = "is_zero")]
    pub correction_lines: i64,
    /// Rows of credit notes (customers).
    #[serde(skip_serializing_if = "is_zero")]
    pub credit_rows: i64,
    /// Money by currency.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub money: BTreeMap<Currency, DayMoney>,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl DayTotals {
    fn money(&mut self, amount: Money) -> &mut DayMoney {
        self.money.entry(amount.currency).or_default()
    }

    /// Adds another source's or day's totals.
    pub fn merge(&mut self, other: &DayTotals) -> Result<(), FoldError> {
        let counts = [
            (&mut self.orders, other.orders),
            (&mut self.guest_orders, other.guest_orders),
            (&mut self.order_lines, other.order_lines),
            (&mut self.cancelled_orders, other.cancelled_orders),
            (&mut self.return_rows, other.return_rows),
            (&mut self.products, other.products),
            (&mut self.received_units, other.received_units),
            (&mut self.shipped_units, other.shipped_units),
            (&mut self.returned_units, other.returned_units),
            (&mut self.adjusted_units, other.adjusted_units),
            (&mut self.correction_lines, other.correction_lines),
            (&mut self.credit_rows, other.credit_rows),
        ];
        for (sum, amount) in counts {
            add(sum, amount, "totals by day")?;
        }
        for (currency, money) in &other.money {
            let mine = self.money.entry(*currency).or_default();
            for (sum, amount) in [
                (&mut mine.gross, money.gross),
                (&mut mine.cancelled_gross, money.cancelled_gross),
                (&mut mine.return_value, money.return_value),
                (&mut mine.refunds, money.refunds),
                (&mut mine.credits, money.credits),
            ] {
                add(sum, amount, "money by day")?;
            }
        }
        Ok(())
    }
}

/// Totals by day: partition key the day (`YYYY-MM-DD`), sort key the source.
pub struct TotalsByDay;

impl Projection for TotalsByDay {
    type Document = DayTotals;
    const TABLE: Table = Table::new("totals_by_day", 1);
    const TOPICS: &'static [AggregateType] = &[
        AggregateType::Product,
        AggregateType::Stock,
        AggregateType::Order,
        AggregateType::Payment,
        AggregateType::Customer,
    ];
    const KEY: Key = Key::Partition;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        let counts = match &event.event {
            Event::Order(e) => {
                matches!(e, OrderEvent::Placed(_) | OrderEvent::Cancelled(_) | OrderEvent::LineReturned(_))
            }
            Event::Payment(e) => matches!(e, PaymentEvent::Refunded(_)),
            Event::Customer(e) => matches!(e, CustomerEvent::Credited(_)),
            Event::Product(e) => matches!(e, ProductEvent::Drafted(_)),
            Event::Stock(e) => matches!(
                e,
                StockEvent::Received(_)
                    | StockEvent::Shipped(_)
                    | StockEvent::Returned(_)
                    | StockEvent::Adjusted(_)
            ),
            Event::Cart(_) | Event::Shipment(_) => false,
        };
        if counts {
            rows.push(RowId::new(event.metadata.occurred_at.utc_date(), source_key(event)));
        }
    }

    fn fold(
        _: &RowId,
        document: Option<DayTotals>,
        event: &RecordedEvent,
    ) -> Result<Option<DayTotals>, FoldError> {
        let mut day = document.unwrap_or_default();
        match &event.event {
            Event::Order(body) => fold_order(&mut day, body)?,
            Event::Stock(body) => fold_stock(&mut day, body)?,
            Event::Payment(PaymentEvent::Refunded(e)) => {
                add(&mut day.money(e.amount).refunds, e.amount.amount_minor, "refunds")?;
            }
            Event::Customer(CustomerEvent::Credited(e)) => {
                add(&mut day.money(e.amount).credits, e.amount.amount_minor, "credits")?;
                if e.kind == CreditKind::Note && e.reference.is_first_part() {
                    day.credit_rows += 1;
                }
            }
            Event::Product(ProductEvent::Drafted(_)) => day.products += 1,
            _ => {}
        }
        Ok(Some(day))
    }
}

fn fold_order(day: &mut DayTotals, body: &OrderEvent) -> Result<(), FoldError> {
    match body {
        OrderEvent::Placed(e) => {
            day.orders += 1;
            day.guest_orders += i64::from(e.customer_id.is_none());
            add(&mut day.order_lines, e.lines.len() as i64, "order lines")?;
            add(&mut day.money(e.total).gross, e.total.amount_minor, "gross")
        }
        OrderEvent::Cancelled(e) => {
            day.cancelled_orders += 1;
            add(&mut day.money(e.total).cancelled_gross, e.total.amount_minor, "cancelled gross")
        }
        OrderEvent::LineReturned(e) => {
            day.return_rows += i64::from(e.reference.is_first_part());
            add(&mut day.money(e.refund).return_value, e.refund.amount_minor, "return value")
        }
        OrderEvent::Reserved(_)
        | OrderEvent::Confirmed(_)
        | OrderEvent::Shipped(_)
        | OrderEvent::Delivered(_) => Ok(()),
    }
}

fn fold_stock(day: &mut DayTotals, body: &StockEvent) -> Result<(), FoldError> {
    match body {
        StockEvent::Received(e) => add(&mut day.received_units, e.quantity.get(), "received units"),
        StockEvent::Shipped(e) => add(&mut day.shipped_units, e.quantity.get(), "shipped units"),
        StockEvent::Returned(e) if e.restocked => {
            add(&mut day.returned_units, e.quantity.get(), "returned units")
        }
        StockEvent::Adjusted(e) => {
            let rows = match e.kind {
                AdjustmentKind::Correction => &mut day.correction_lines,
                AdjustmentKind::ReturnWithoutOrder => &mut day.return_rows,
            };
            *rows += i64::from(e.reference.is_first_part());
            add(&mut day.adjusted_units, e.delta, "adjusted units")
        }
        _ => Ok(()),
    }
}
