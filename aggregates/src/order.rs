//! The order: a snapshot of what was bought, its way to delivered or cancelled, and what came back.

mod error;
mod placing;

use std::sync::Arc;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use imbl::OrdMap;
use schemas::order::{
    CancelOrder, CancelReason, GoodsLine, LineKind, MarkOrderShipped, OrderCancelled, OrderCommand,
    OrderConfirmed, OrderDelivered, OrderEvent, OrderLine, OrderLineReturned, OrderPlaced, OrderReserved,
    OrderShipped, OrderStatus, PlaceOrder, ReturnOrderLine,
};
use schemas::{CustomerId, Money, OrderId, Reference, ShipmentId};
use serde::{Deserialize, Serialize};

use crate::limits;

pub use error::OrderError;

/// What came back of one line so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Returned {
    quantity: i64,
    /// Minor units of the order's currency.
    refund: i64,
}

/// What a reference stands for. The words of the reason are for people: they do not make another return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Return {
    line: u32,
    quantity: i64,
    refund: i64,
    restock: bool,
}

/// An order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    placed: Option<Arc<OrderPlaced>>,
    status: OrderStatus,
    reserved: bool,
    shipment_id: Option<ShipmentId>,
    cancelled: Option<CancelReason>,
    returned: OrdMap<u32, Returned>,
    returns: OrdMap<Reference, Return>,
}

impl Order {
    /// Where it stands; none: there is no such order.
    pub fn status(&self) -> Option<OrderStatus> {
        self.placed.as_ref().map(|_| self.status)
    }

    /// What was placed: lines, prices, addresses.
    pub fn placed(&self) -> Option<&OrderPlaced> {
        self.placed.as_deref()
    }

    /// Who buys; none: a guest, or there is no order.
    pub fn customer_id(&self) -> Option<&CustomerId> {
        self.placed.as_ref().and_then(|placed| placed.customer_id.as_ref())
    }

    /// Its lines, numbered from 1; empty for a missing order.
    pub fn lines(&self) -> &[OrderLine] {
        self.placed.as_ref().map_or(&[], |placed| &placed.lines)
    }

    /// Its lines of goods, as stock and shipping need them.
    pub fn goods(&self) -> Vec<GoodsLine> {
        self.lines().iter().filter(|line| line.kind == LineKind::Goods).map(goods_line).collect()
    }

    /// Whether all its stock is held.
    pub fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// The shipment that its goods left in.
    pub fn shipment_id(&self) -> Option<&ShipmentId> {
        self.shipment_id.as_ref()
    }

    /// Why it was cancelled.
    pub fn cancelled(&self) -> Option<CancelReason> {
        self.cancelled
    }

    /// How many units of a line came back.
    pub fn returned_quantity(&self, line: u32) -> i64 {
        self.returned.get(&line).map_or(0, |returned| returned.quantity)
    }

    /// Minor units refunded over all lines.
    pub fn refunded_minor(&self) -> i64 {
        self.returned.values().map(|returned| returned.refund).sum()
    }

    fn place(&self, order_id: OrderId, command: PlaceOrder) -> Result<Option<OrderEvent>, OrderError> {
        if let Some(placed) = &self.placed {
            if placing::is_same(placed, &command) {
                return Ok(None);
            }
            return Err(OrderError::Exists { order_id });
        }
        placing::place(order_id, command).map(|placed| Some(placed.into()))
    }

    fn mark_reserved(&self, order_id: OrderId) -> Result<Option<OrderEvent>, OrderError> {
        let placed = self.must_exist(&order_id)?;
        if self.status == OrderStatus::Cancelled {
            return Err(self.wrong_status(order_id, "reserve"));
        }
        if self.reserved {
            return Ok(None);
        }
        let (customer_id, total) = (placed.customer_id.clone(), placed.total);
        let payment_method = placed.payment_method.clone();
        Ok(Some(OrderReserved { order_id, customer_id, total, payment_method }.into()))
    }

    fn confirm(&self, order_id: OrderId) -> Result<Option<OrderEvent>, OrderError> {
        let placed = self.must_exist(&order_id)?;
        match self.status {
            OrderStatus::Placed => {}
            OrderStatus::Confirmed | OrderStatus::Shipped | OrderStatus::Delivered => return Ok(None),
            OrderStatus::Cancelled => return Err(self.wrong_status(order_id, "confirm")),
        }
        if !self.reserved {
            return Err(OrderError::NotReserved { order_id });
        }
        let (total, shipping_address) = (placed.total, placed.shipping_address.clone());
        Ok(Some(OrderConfirmed { order_id, goods: self.goods(), total, shipping_address }.into()))
    }

    fn mark_shipped(
        &self,
        order_id: OrderId,
        command: MarkOrderShipped,
    ) -> Result<Option<OrderEvent>, OrderError> {
        let placed = self.must_exist(&order_id)?;
        let MarkOrderShipped { shipment_id } = command;
        match self.status {
            OrderStatus::Confirmed => {}
            OrderStatus::Shipped | OrderStatus::Delivered
                if self.shipment_id.as_ref() == Some(&shipment_id) =>
            {
                return Ok(None);
            }
            _ => return Err(self.wrong_status(order_id, "ship")),
        }
        if !self.has_goods() {
            return Err(OrderError::NothingToShip { order_id });
        }
        Ok(Some(OrderShipped { order_id, shipment_id, total: placed.total }.into()))
    }

    fn mark_delivered(&self, order_id: OrderId) -> Result<Option<OrderEvent>, OrderError> {
        let placed = self.must_exist(&order_id)?;
        match self.status {
            OrderStatus::Shipped => {}
            OrderStatus::Confirmed if !self.has_goods() => {}
            OrderStatus::Delivered => return Ok(None),
            _ => return Err(self.wrong_status(order_id, "deliver")),
        }
        let (customer_id, total) = (placed.customer_id.clone(), placed.total);
        Ok(Some(OrderDelivered { order_id, customer_id, total }.into()))
    }

    fn cancel(&self, order_id: OrderId, command: CancelOrder) -> Result<Option<OrderEvent>, OrderError> {
        let placed = self.must_exist(&order_id)?;
        let CancelOrder { reason, detail } = command;
        if self.status == OrderStatus::Cancelled {
            return Ok(None);
        }
        // A time limit that runs out after the order was confirmed has lost the race; goods that have left can only
        // fail to arrive; what has arrived can be returned.
        let allowed = match reason {
            CancelReason::PaymentExpired | CancelReason::ReservationExpired => {
                self.status == OrderStatus::Placed
            }
            CancelReason::ShipmentFailed => self.status != OrderStatus::Delivered,
            CancelReason::CustomerRequest
            | CancelReason::StaffDecision
            | CancelReason::OutOfStock
            | CancelReason::PaymentDeclined => {
                matches!(self.status, OrderStatus::Placed | OrderStatus::Confirmed)
            }
        };
        if !allowed {
            return Err(self.wrong_status(order_id, "cancel"));
        }
        limits::text("detail", &detail, 0..=limits::NOTE_CHARS_MAX)?;
        let (goods, shipment_id) = (self.goods(), self.shipment_id.clone());
        Ok(Some(OrderCancelled { order_id, reason, detail, goods, shipment_id, total: placed.total }.into()))
    }

    fn take_back(
        &self,
        order_id: OrderId,
        command: ReturnOrderLine,
    ) -> Result<Option<OrderEvent>, OrderError> {
        let placed = self.must_exist(&order_id)?;
        let ReturnOrderLine { reference, line, quantity, refund, restock, reason } = command;
        if refund.currency != placed.currency {
            let (expected, given) = (placed.currency, refund.currency);
            return Err(OrderError::CurrencyMismatch { expected, given });
        }
        let wanted = Return { line, quantity: quantity.get(), refund: refund.amount_minor, restock };
        match self.returns.get(&reference) {
            None => {}
            Some(done) if *done == wanted => return Ok(None),
            Some(_) => return Err(OrderError::ReferenceReused { order_id, reference }),
        }
        if self.status != OrderStatus::Delivered {
            return Err(self.wrong_status(order_id, "return"));
        }
        let Some(bought) = self.line(line) else {
            return Err(OrderError::LineNotFound { order_id, line });
        };
        limits::not_negative("refund", refund)?;
        limits::text("reason", &reason, 0..=limits::NOTE_CHARS_MAX)?;
        let so_far = self.returned.get(&line).copied().unwrap_or_default();
        if so_far.quantity + quantity.get() > bought.quantity.get() {
            let (requested, bought, returned) = (quantity.get(), bought.quantity.get(), so_far.quantity);
            return Err(OrderError::ReturnExceedsOrder { order_id, line, requested, bought, returned });
        }
        let refundable = refundable(bought, quantity.get(), so_far);
        if refund.amount_minor > refundable {
            let refundable = Money::new(refundable, placed.currency);
            return Err(OrderError::RefundExceedsPrice { order_id, line, requested: refund, refundable });
        }
        let returned = OrderLineReturned {
            order_id,
            customer_id: placed.customer_id.clone(),
            reference,
            line,
            sku: bought.sku.clone(),
            kind: bought.kind,
            quantity,
            refund,
            restock,
            reason,
        };
        Ok(Some(returned.into()))
    }

    fn line(&self, line: u32) -> Option<&OrderLine> {
        // Lines are numbered from 1 without gaps; placing sees to it.
        let at = usize::try_from(line).ok()?.checked_sub(1)?;
        self.lines().get(at)
    }

    fn has_goods(&self) -> bool {
        self.lines().iter().any(|line| line.kind == LineKind::Goods)
    }

    fn must_exist(&self, order_id: &OrderId) -> Result<&OrderPlaced, OrderError> {
        self.placed().ok_or_else(|| OrderError::NotFound { order_id: order_id.clone() })
    }

    fn wrong_status(&self, order_id: OrderId, wanted: &'static str) -> OrderError {
        OrderError::WrongStatus { order_id, status: self.status, wanted }
    }
}

/// What may be refunded for `quantity` units of a line: their price, and no more than is left of the line's total.
fn refundable(bought: &OrderLine, quantity: i64, so_far: Returned) -> i64 {
    let price = bought.unit_price.amount_minor.saturating_mul(quantity);
    price.min(bought.total.amount_minor - so_far.refund)
}

fn goods_line(line: &OrderLine) -> GoodsLine {
    GoodsLine { line: line.line, sku: line.sku.clone(), quantity: line.quantity }
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = (OrderId, OrderCommand);
    type Event = OrderEvent;
    type Error = OrderError;
    type Services = ();

    async fn handle(
        &mut self,
        (order_id, command): Self::Command,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), OrderError> {
        let event = match command {
            OrderCommand::Place(command) => self.place(order_id, command)?,
            OrderCommand::MarkReserved(_) => self.mark_reserved(order_id)?,
            OrderCommand::Confirm(_) => self.confirm(order_id)?,
            OrderCommand::MarkShipped(command) => self.mark_shipped(order_id, command)?,
            OrderCommand::MarkDelivered(_) => self.mark_delivered(order_id)?,
            OrderCommand::Cancel(command) => self.cancel(order_id, command)?,
            OrderCommand::Return(command) => self.take_back(order_id, command)?,
        };
        if let Some(event) = event {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: OrderEvent) {
        match event {
            OrderEvent::Placed(event) => self.placed = Some(Arc::new(event)),
            OrderEvent::Reserved(_) => self.reserved = true,
            OrderEvent::Confirmed(_) => self.status = OrderStatus::Confirmed,
            OrderEvent::Shipped(event) => {
                self.status = OrderStatus::Shipped;
                self.shipment_id = Some(event.shipment_id);
            }
            OrderEvent::Delivered(_) => self.status = OrderStatus::Delivered,
            OrderEvent::Cancelled(event) => {
                self.status = OrderStatus::Cancelled;
                self.cancelled = Some(event.reason);
            }
            OrderEvent::LineReturned(event) => {
                let OrderLineReturned { reference, line, quantity, refund, restock, .. } = event;
                let (quantity, refund) = (quantity.get(), refund.amount_minor);
                let returned = self.returned.entry(line).or_default();
                returned.quantity += quantity;
                returned.refund += refund;
                self.returns.insert(reference, Return { line, quantity, refund, restock });
            }
        }
    }
}
