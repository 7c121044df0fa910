//! What a customer bought: sums per customer and partition of the orders, and the list of orders.
//!
//! A customer's orders lie in several partitions. Each partition has a row of its own with absolute sums; the reader
//! adds them up.

use std::collections::BTreeMap;

use read_store::Table;
use schemas::order::OrderEvent;
use schemas::{AggregateType, Currency, Event, Money, OrderId, Position, RecordedEvent, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projection::{add, source_key};
use crate::{FoldError, Key, Projection, RowId};

/// A customer's money in one currency, minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerMoney {
    /// Totals of the orders placed, cancelled ones included.
    pub gross: i64,
    /// What was granted back for returned lines.
    pub refunds: i64,
}

/// A customer's orders in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerOrdersDocument {
    /// Orders placed, cancelled ones included.
    pub orders: i64,
    /// Orders delivered.
    pub delivered_orders: i64,
    /// Sums in each currency.
    #[schema(value_type = std::collections::BTreeMap<String, CustomerMoney>)]
    pub money: BTreeMap<Currency, CustomerMoney>,
    /// When the first was placed.
    pub first_order_at: Option<Timestamp>,
    /// When the last was placed.
    pub last_order_at: Option<Timestamp>,
    /// Which that was.
    pub last_order_id: Option<OrderId>,
    /// Where the last event about them stands in the log.
    #[schema(value_type = String, example = "millrace.order.events/0@17")]
    pub position: Position,
}

/// Sums per customer: partition key the customer, sort key the partition of the orders.
pub struct CustomerOrders;

impl Projection for CustomerOrders {
    type Document = CustomerOrdersDocument;
    const TABLE: Table = Table::new("customer_order_sums", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Order];
    const KEY: Key = Key::Partition;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        let Event::Order(body) = &event.event else { return };
        let customer_id = match body {
            OrderEvent::Placed(placed) => &placed.customer_id,
            OrderEvent::Delivered(delivered) => &delivered.customer_id,
            OrderEvent::LineReturned(returned) => &returned.customer_id,
            // A cancellation does not say whose it is, and the placing lies in another row.
            OrderEvent::Reserved(_)
            | OrderEvent::Confirmed(_)
            | OrderEvent::Shipped(_)
            | OrderEvent::Cancelled(_) => {
                return;
            }
        };
        if let Some(customer_id) = customer_id {
            rows.push(RowId::new(customer_id.as_str(), source_key(event)));
        }
    }

    fn fold(
        _: &RowId,
        document: Option<CustomerOrdersDocument>,
        event: &RecordedEvent,
    ) -> Result<Option<CustomerOrdersDocument>, FoldError> {
        let Event::Order(body) = &event.event else { return Ok(document) };
        let mut sums = document.unwrap_or_else(|| CustomerOrdersDocument {
            orders: 0,
            delivered_orders: 0,
            money: BTreeMap::new(),
            first_order_at: None,
            last_order_at: None,
            last_order_id: None,
            position: event.position.clone(),
        });
        let at = event.metadata.occurred_at;
        match body {
            OrderEvent::Placed(placed) => {
                sums.orders += 1;
                let money = sums.money.entry(placed.total.currency).or_default();
                add(&mut money.gross, placed.total.amount_minor, "a customer's gross")?;
                sums.first_order_at = Some(sums.first_order_at.map_or(at, |first| first.min(at)));
                if sums.last_order_at.is_none_or(|last| last <= at) {
                    sums.last_order_at = Some(at);
                    sums.last_order_id = Some(placed.order_id.clone());
                }
            }
            OrderEvent::Delivered(_) => sums.delivered_orders += 1,
            OrderEvent::LineReturned(returned) => {
                let money = sums.money.entry(returned.refund.currency).or_default();
                add(&mut money.refunds, returned.refund.amount_minor, "a customer's refunds")?;
            }
            OrderEvent::Reserved(_)
            | OrderEvent::Confirmed(_)
            | OrderEvent::Shipped(_)
            | OrderEvent::Cancelled(_) => {}
        }
        sums.position = event.position.clone();
        Ok(Some(sums))
    }
}

/// An order in a customer's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerOrder {
    /// The order.
    pub order_id: OrderId,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Sum of its lines' totals.
    pub total: Money,
}

/// The orders of every customer: partition key the customer, sort key the order.
pub struct OrdersOfCustomer;

impl Projection for OrdersOfCustomer {
    type Document = CustomerOrder;
    const TABLE: Table = Table::new("order_of_customer", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Order];
    const KEY: Key = Key::Stream;
    const WRITE_ONCE: bool = true;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        if let Event::Order(OrderEvent::Placed(placed)) = &event.event
            && let Some(customer_id) = &placed.customer_id
        {
            rows.push(RowId::new(customer_id.as_str(), placed.order_id.as_str()));
        }
    }

    fn fold(
        _: &RowId,
        document: Option<CustomerOrder>,
        event: &RecordedEvent,
    ) -> Result<Option<CustomerOrder>, FoldError> {
        let Event::Order(OrderEvent::Placed(placed)) = &event.event else { return Ok(document) };
        Ok(Some(CustomerOrder {
            order_id: placed.order_id.clone(),
            placed_at: event.metadata.occurred_at,
            total: placed.total,
        }))
    }
}
