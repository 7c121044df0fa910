//! Checkout: from a cart or an order to delivered goods and taken money, or back to nothing.
//!
//! ```text
//! cart.checked_out ─ order.place
//! order.placed ──── stock.reserve (each goods line) ─ all held: order.mark_reserved · else order.cancel
//! order.reserved ── payment.request (nothing to pay: order.confirm) · refused: order.cancel
//! payment.requested ─ provider: authorise ─ payment.record_authorised | record_declined
//! payment.authorised ─ order.confirm · refused: payment.unwind        payment.declined ─ order.cancel
//! order.confirmed ─ shipment.create · no goods: order.mark_delivered ─ payment.request_capture
//! shipment.created ─ carrier: book ─ shipment.dispatch | shipment.fail
//! shipment.dispatched ─ stock.ship (each line) ─ order.mark_shipped · order gone: shipment.fail
//! order.shipped ─── payment.request_capture ─ … ─ provider: capture ─ payment.record_captured | record_capture_failed
//! (carrier: track) ─ shipment.deliver ─ order.mark_delivered · shipment.fail ─ order.cancel
//! order.cancelled ─ stock.release or stock.return (each goods line), payment.unwind, shipment.fail
//! payment.void_requested, payment.refund_requested ─ provider ─ payment.record_…
//! payment.refund_failed ─ payment.request_refund, once more
//! ```

mod cancelling;
mod paying;
mod reserving;
mod shipping;

use schemas::cart::CartEvent;
use schemas::order::{CancelOrder, CancelReason, ConfirmOrder, OrderCommand, OrderEvent};
use schemas::payment::PaymentEvent;
use schemas::shipment::ShipmentEvent;
use schemas::{AggregateType, Command, ErrorCode, Event, OrderId, RecordedEvent, Rejection};

use crate::effect::{NOTE_CHARS_MAX, cut};
use crate::names::is_repeated_refund;
use crate::{Answers, ProcessManager, Step};

/// Takes orders to their end; see the module.
#[derive(Clone, Debug)]
pub struct Checkout {
    carrier: String,
}

impl Checkout {
    /// The checkout whose shipments go with `carrier`.
    pub fn new(carrier: impl Into<String>) -> Self {
        Self { carrier: carrier.into() }
    }
}

impl ProcessManager for Checkout {
    fn name(&self) -> &'static str {
        "checkout"
    }

    fn aggregates(&self) -> &'static [AggregateType] {
        &[AggregateType::Cart, AggregateType::Order, AggregateType::Payment, AggregateType::Shipment]
    }

    fn key(&self, event: &RecordedEvent) -> Option<OrderId> {
        match &event.event {
            Event::Cart(CartEvent::CheckedOut(event)) => Some(event.order_id.clone()),
            Event::Order(event) => match event {
                OrderEvent::Placed(event) => Some(event.order_id.clone()),
                OrderEvent::Reserved(event) => Some(event.order_id.clone()),
                OrderEvent::Confirmed(event) => Some(event.order_id.clone()),
                OrderEvent::Shipped(event) => Some(event.order_id.clone()),
                OrderEvent::Cancelled(event) => Some(event.order_id.clone()),
                OrderEvent::Delivered(_) | OrderEvent::LineReturned(_) => None,
            },
            Event::Payment(event) => match event {
                PaymentEvent::Requested(event) => Some(event.order_id.clone()),
                PaymentEvent::Authorised(event) => Some(event.order_id.clone()),
                PaymentEvent::Declined(event) => Some(event.order_id.clone()),
                PaymentEvent::CaptureRequested(event) => Some(event.order_id.clone()),
                PaymentEvent::VoidRequested(event) => Some(event.order_id.clone()),
                PaymentEvent::RefundRequested(event) => Some(event.order_id.clone()),
                // A capture that failed asks for nothing but somebody's eye.
                PaymentEvent::CaptureFailed(event) => Some(event.order_id.clone()),
                PaymentEvent::RefundFailed(event) => Some(event.order_id.clone()),
                PaymentEvent::Captured(_)
                | PaymentEvent::Voided(_)
                | PaymentEvent::Refunded(_)
                | PaymentEvent::Unwound(_) => None,
            },
            Event::Shipment(event) => match event {
                ShipmentEvent::Created(event) => Some(event.order_id.clone()),
                ShipmentEvent::Dispatched(event) => Some(event.order_id.clone()),
                ShipmentEvent::Delivered(event) => Some(event.order_id.clone()),
                ShipmentEvent::Failed(event) => Some(event.order_id.clone()),
                ShipmentEvent::Tracked(_) => None,
            },
            Event::Cart(_) | Event::Product(_) | Event::Stock(_) | Event::Customer(_) => None,
        }
    }

    fn react(&self, event: &RecordedEvent) -> Vec<Step> {
        self.conclude(event, &Answers::new())
    }

    fn conclude(&self, recorded: &RecordedEvent, answers: &Answers) -> Vec<Step> {
        match &recorded.event {
            Event::Cart(CartEvent::CheckedOut(event)) => vec![reserving::place(event)],
            Event::Order(event) => match event {
                OrderEvent::Placed(event) => reserving::reserve(event, answers),
                OrderEvent::Reserved(event) => paying::request(event, answers),
                OrderEvent::Confirmed(event) => shipping::create(event, &self.carrier, answers),
                OrderEvent::Shipped(event) => {
                    paying::capture(&event.order_id, event.total).into_iter().collect()
                }
                OrderEvent::Cancelled(event) => cancelling::compensate(event, answers),
                OrderEvent::Delivered(_) | OrderEvent::LineReturned(_) => Vec::new(),
            },
            Event::Payment(event) => match event {
                PaymentEvent::Authorised(event) => paying::confirm(event, answers),
                PaymentEvent::Declined(event) => vec![paying::decline(event)],
                PaymentEvent::Requested(_)
                | PaymentEvent::CaptureRequested(_)
                | PaymentEvent::VoidRequested(_)
                | PaymentEvent::RefundRequested(_) => paying::ask_provider(recorded, event, answers),
                PaymentEvent::RefundFailed(event) => {
                    paying::refund_again(recorded, event).into_iter().collect()
                }
                PaymentEvent::CaptureFailed(_)
                | PaymentEvent::Captured(_)
                | PaymentEvent::Voided(_)
                | PaymentEvent::Refunded(_)
                | PaymentEvent::Unwound(_) => Vec::new(),
            },
            Event::Shipment(event) => match event {
                ShipmentEvent::Created(event) => shipping::book(recorded, event, answers),
                ShipmentEvent::Dispatched(event) => shipping::ship(event, answers),
                ShipmentEvent::Delivered(event) => vec![shipping::deliver(event)],
                ShipmentEvent::Failed(event) => shipping::give_up(event),
                ShipmentEvent::Tracked(_) => Vec::new(),
            },
            Event::Cart(_) | Event::Product(_) | Event::Stock(_) | Event::Customer(_) => Vec::new(),
        }
    }

    fn alarm(&self, recorded: &RecordedEvent, answers: &Answers) -> Option<String> {
        match &recorded.event {
            Event::Payment(PaymentEvent::CaptureFailed(event)) => {
                Some(format!("{} was not captured: {} ({})", event.amount, event.message, event.code))
            }
            Event::Payment(PaymentEvent::RefundFailed(event)) if is_repeated_refund(&event.reference) => {
                Some(format!("{} was not refunded: {} ({})", event.amount, event.message, event.code))
            }
            _ => answers.iter().find_map(|(step, _)| {
                let rejection = answers.rejection(step)?;
                (!is_expected(&recorded.event, step, rejection, answers))
                    .then(|| format!("step {step} was refused: {rejection}"))
            }),
        }
    }
}

/// Whether a refusal is part of an order's life: it has a way on, or needs none.
fn is_expected(event: &Event, step: &str, rejection: &Rejection, answers: &Answers) -> bool {
    let step = step.split('/').next().unwrap_or(step);
    match event {
        // The order is cancelled, or is being cancelled: `order.cancelled` puts everything right.
        Event::Order(OrderEvent::Placed(_)) => {
            matches!(step, "reserve") || is_cancelled(rejection) || is_over(rejection)
        }
        Event::Order(OrderEvent::Reserved(_)) => step == "request" || is_cancelled(rejection),
        Event::Order(OrderEvent::Confirmed(_)) => is_cancelled(rejection) || is_repeated(rejection),
        Event::Order(OrderEvent::Cancelled(event)) => match step {
            "fail-shipment" => {
                matches!(rejection.code, ErrorCode::ShipmentNotFound | ErrorCode::ShipmentWrongStatus)
            }
            // Asked for in case the line had been shipped; it had not.
            "return" if event.shipment_id.is_none() => {
                matches!(rejection.code, ErrorCode::ReturnExceedsOrder | ErrorCode::ReservationNotFound)
            }
            _ => false,
        },
        Event::Payment(PaymentEvent::Authorised(_)) => step == "confirm",
        Event::Payment(PaymentEvent::Declined(_)) => is_over(rejection),
        Event::Shipment(ShipmentEvent::Created(_)) => shipping::is_failed(rejection),
        Event::Shipment(ShipmentEvent::Dispatched(_)) => match step {
            "mark-shipped" | "still-confirmed" => is_cancelled(rejection),
            // The order is cancelled: its reservations are closed.
            "ship" => answers.rejection("still-confirmed").is_some(),
            _ => false,
        },
        Event::Shipment(ShipmentEvent::Failed(_)) => is_over(rejection),
        _ => false,
    }
}

/// Whether an order refused something because it is cancelled.
fn is_cancelled(rejection: &Rejection) -> bool {
    rejection.code == ErrorCode::OrderWrongStatus && status(rejection) == Some("cancelled")
}

/// Whether an order refused to be cancelled because it has gone on meanwhile.
fn is_over(rejection: &Rejection) -> bool {
    rejection.code == ErrorCode::OrderWrongStatus
}

/// Whether it was done before, with other content (the configuration has changed since): the first one counts.
fn is_repeated(rejection: &Rejection) -> bool {
    matches!(rejection.code, ErrorCode::IdempotencyKeyReused | ErrorCode::ShipmentExists)
}

fn status(rejection: &Rejection) -> Option<&str> {
    rejection.facts.get("status").and_then(serde_json::Value::as_str)
}

fn order_command(name: &str, order_id: &OrderId, body: OrderCommand) -> Step {
    Step::command(name, Command::Order { id: order_id.clone(), body })
}

fn confirm(name: &str, order_id: &OrderId) -> Step {
    order_command(name, order_id, OrderCommand::Confirm(ConfirmOrder {}))
}

/// The cancellation of an order, told to people.
pub(crate) fn cancel(name: &str, order_id: &OrderId, reason: CancelReason, detail: &str) -> Step {
    let detail = cut(detail, NOTE_CHARS_MAX);
    order_command(name, order_id, OrderCommand::Cancel(CancelOrder { reason, detail }))
}

#[cfg(test)]
mod tests;
