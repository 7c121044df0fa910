//! What was bought: one document per order, of the order's own events. Payment and shipments are documents of their
//! own, which the reader puts beside it.

use read_store::Table;
use schemas::order::{
    CancelReason, LineKind, OrderEvent, OrderLine, OrderLineReturned, OrderPlaced, OrderStatus, PostalAddress,
};
use schemas::product::TaxClass;
use schemas::{
    AggregateType, Currency, CustomerId, Event, Money, OrderId, Position, Quantity, RecordedEvent,
    ShipmentId, Sku, Timestamp, Version,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projection::add;
use crate::{FoldError, Key, Projection, RowId};

/// A line of an order, and what came back of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderLineDocument {
    /// From 1.
    pub line: u32,
    /// What was bought.
    pub sku: Sku,
    /// Goods or a service.
    pub kind: LineKind,
    /// Its name when it was bought.
    pub name: String,
    /// How many.
    pub quantity: Quantity,
    /// Price of one, before discount.
    pub unit_price: Money,
    /// Taken off the whole line.
    pub discount: Money,
    /// How it was taxed.
    pub tax_class: TaxClass,
    /// The tax that the total includes.
    pub tax: Money,
    /// quantity × unit price − discount.
    pub total: Money,
    /// How many came back.
    pub returned_quantity: i64,
    /// What is refunded for those that came back.
    pub refunded: Money,
}

impl From<&OrderLine> for OrderLineDocument {
    fn from(line: &OrderLine) -> Self {
        Self {
            line: line.line,
            sku: line.sku.clone(),
            kind: line.kind,
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
            discount: line.discount,
            tax_class: line.tax_class,
            tax: line.tax,
            total: line.total,
            returned_quantity: 0,
            refunded: Money::zero(line.total.currency),
        }
    }
}

/// Why an order was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cancellation {
    /// Why.
    pub reason: CancelReason,
    /// Why, for people.
    pub detail: String,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderDocument {
    /// The order.
    pub id: OrderId,
    /// Where it stands.
    pub status: OrderStatus,
    /// Who buys; none: a guest.
    pub customer_id: Option<CustomerId>,
    /// How to reach a guest.
    pub email: Option<String>,
    /// Where the order came from.
    pub channel: String,
    /// The country it counts for.
    pub country: String,
    /// Currency of all its amounts.
    pub currency: Currency,
    /// What was bought.
    pub lines: Vec<OrderLineDocument>,
    /// Sum of the lines' totals.
    pub total: Money,
    /// Sum of the lines' taxes, included in the total.
    pub tax: Money,
    /// Sum of what is refunded for returned lines.
    pub refunded: Money,
    /// Where to send goods.
    pub shipping_address: Option<PostalAddress>,
    /// The way to pay.
    pub payment_method: String,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When all its stock was held.
    pub reserved_at: Option<Timestamp>,
    /// When it was confirmed.
    pub confirmed_at: Option<Timestamp>,
    /// When its goods left.
    pub shipped_at: Option<Timestamp>,
    /// When it was complete.
    pub delivered_at: Option<Timestamp>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// Why it was cancelled; none: it was not.
    pub cancel: Option<Cancellation>,
    /// The shipments its goods left in.
    pub shipment_ids: Vec<ShipmentId>,
    /// Its stream's version.
    pub version: Version,
    /// Where its last event stands in the log.
    #[schema(value_type = String, example = "millrace.order.events/0@17")]
    pub position: Position,
}

impl OrderDocument {
    fn placed(placed: &OrderPlaced, event: &RecordedEvent) -> Self {
        Self {
            id: placed.order_id.clone(),
            status: OrderStatus::Placed,
            customer_id: placed.customer_id.clone(),
            email: placed.email.clone(),
            channel: placed.channel.clone(),
            country: placed.country.clone(),
            currency: placed.currency,
            lines: placed.lines.iter().map(Into::into).collect(),
            total: placed.total,
            tax: placed.tax,
            refunded: Money::zero(placed.total.currency),
            shipping_address: placed.shipping_address.clone(),
            payment_method: placed.payment_method.clone(),
            placed_at: event.metadata.occurred_at,
            reserved_at: None,
            confirmed_at: None,
            shipped_at: None,
            delivered_at: None,
            cancelled_at: None,
            cancel: None,
            shipment_ids: Vec::new(),
            version: event.metadata.version,
            position: event.position.clone(),
        }
    }

    fn take_back(&mut self, returned: &OrderLineReturned) -> Result<(), FoldError> {
        let line = self.lines.iter_mut().find(|line| line.line == returned.line);
        let line = line.ok_or_else(|| FoldError::NoSuchPart { what: format!("line {}", returned.line) })?;
        add(&mut line.returned_quantity, returned.quantity.get(), "returned units")?;
        add(&mut line.refunded.amount_minor, returned.refund.amount_minor, "refunds")?;
        add(&mut self.refunded.amount_minor, returned.refund.amount_minor, "refunds")
    }
}

/// The orders.
pub struct Orders;

impl Projection for Orders {
    type Document = OrderDocument;
    const TABLE: Table = Table::new("order", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Order];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::of(event.metadata.stream.id()));
    }

    fn fold(
        _: &RowId,
        document: Option<OrderDocument>,
        event: &RecordedEvent,
    ) -> Result<Option<OrderDocument>, FoldError> {
        let Event::Order(body) = &event.event else { return Ok(document) };
        let mut order = match (document, body) {
            (Some(order), _) => order,
            (None, OrderEvent::Placed(placed)) => OrderDocument::placed(placed, event),
            (None, other) => return Err(FoldError::NotStarted { what: other.ce_type() }),
        };
        let at = Some(event.metadata.occurred_at);
        match body {
            OrderEvent::Placed(_) => {}
            OrderEvent::Reserved(_) => order.reserved_at = at,
            OrderEvent::Confirmed(_) => {
                order.status = OrderStatus::Confirmed;
                order.confirmed_at = at;
            }
            OrderEvent::Shipped(shipped) => {
                order.status = OrderStatus::Shipped;
                order.shipped_at = at;
                order.shipment_ids.push(shipped.shipment_id.clone());
            }
            OrderEvent::Delivered(_) => {
                order.status = OrderStatus::Delivered;
                order.delivered_at = at;
            }
            OrderEvent::Cancelled(cancelled) => {
                order.status = OrderStatus::Cancelled;
                order.cancelled_at = at;
                order.cancel =
                    Some(Cancellation { reason: cancelled.reason, detail: cancelled.detail.clone() });
            }
            OrderEvent::LineReturned(returned) => order.take_back(returned)?,
        }
        order.version = event.metadata.version;
        order.position = event.position.clone();
        Ok(Some(order))
    }
}
