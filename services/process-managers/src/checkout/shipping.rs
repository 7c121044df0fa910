//! Sending the goods, and what comes of it.

use schemas::order::{
    CancelReason, GoodsLine, MarkOrderDelivered, MarkOrderShipped, OrderCommand, OrderConfirmed,
};
use schemas::shipment::{
    CreateShipment, FailShipment, ShipmentCommand, ShipmentCreated, ShipmentDelivered, ShipmentDispatched,
    ShipmentFailed,
};
use schemas::stock::{ShipStock, StockCommand};
use schemas::{
    Command, ErrorCode, EventId, OrderId, RecordedEvent, Rejection, ShipmentId, StreamId, Version,
};

use super::{cancel, confirm, is_cancelled, is_repeated, order_command, paying, status};
use crate::effect::booking_result_step;
use crate::names::shipment_id;
use crate::{Answers, BookingRequest, Effect, EffectResult, Step};

/// The code of a shipment that is not wanted any more.
const ORDER_CANCELLED: &str = "order_cancelled";

/// Packs the goods. Where there are none, the order is complete, and its money is taken: in this order, for a
/// delivered order cannot be cancelled any more.
pub(super) fn create(event: &OrderConfirmed, carrier: &str, answers: &Answers) -> Vec<Step> {
    if event.goods.is_empty() {
        let body = OrderCommand::MarkDelivered(MarkOrderDelivered {});
        let mut steps = vec![order_command("mark-delivered", &event.order_id, body)];
        if answers.is_done("mark-delivered") {
            steps.extend(paying::capture(&event.order_id, event.total));
        }
        return steps;
    }
    let body = ShipmentCommand::Create(CreateShipment {
        order_id: event.order_id.clone(),
        goods: event.goods.clone(),
        address: event.shipping_address.clone(),
        carrier: carrier.to_owned(),
    });
    let id = shipment_id(&event.order_id);
    let mut steps = vec![Step::command("create-shipment", Command::Shipment { id, body })];
    if let Some(rejection) = answers.rejection("create-shipment").filter(|rejection| !is_repeated(rejection))
    {
        steps.push(cancel("not-shippable", &event.order_id, CancelReason::ShipmentFailed, &rejection.detail));
    }
    steps
}

/// Has the carrier fetch the shipment. If it failed meanwhile, the booking is taken back.
pub(super) fn book(recorded: &RecordedEvent, event: &ShipmentCreated, answers: &Answers) -> Vec<Step> {
    let request = BookingRequest {
        key: recorded.metadata.event_id(),
        shipment_id: event.shipment_id.clone(),
        order_id: event.order_id.clone(),
        carrier: event.carrier.clone(),
        goods: event.goods.clone(),
        address: event.address.clone(),
    };
    let mut steps = Vec::new();
    if let Some(EffectResult::Booking(result)) = answers.effect("book") {
        steps.push(booking_result_step(&event.shipment_id, result));
    }
    if answers.rejection("dispatch").is_some_and(is_failed) {
        let (key, carrier) = (request.key.clone(), request.carrier.clone());
        steps.push(cancel_booking(key, &event.shipment_id, &event.order_id, &carrier));
    }
    steps.push(Step::effect("book", Effect::Book(request)));
    steps
}

/// Takes the goods out of the stock and marks the order.
///
/// The order may have been cancelled since the carrier took the shipment. Then either its reservations are closed
/// already (a line is refused), or the mark is refused after the lines were shipped; what was shipped comes back with
/// `order.cancelled`. A refused line of an order that stands is somebody's mistake: `still-confirmed`, which changes
/// nothing for such an order, tells the two apart, and the order stays as it is.
pub(super) fn ship(event: &ShipmentDispatched, answers: &Answers) -> Vec<Step> {
    let mut steps: Vec<_> = event.goods.iter().map(|line| ship_line(event, line)).collect();
    if event.goods.iter().any(|line| answers.outcome(&step_of(line)).is_none()) {
        return steps;
    }
    let is_refused = event.goods.iter().any(|line| answers.rejection(&step_of(line)).is_some());
    let probe = if is_refused {
        steps.push(confirm("still-confirmed", &event.order_id));
        "still-confirmed"
    } else {
        let body = OrderCommand::MarkShipped(MarkOrderShipped { shipment_id: event.shipment_id.clone() });
        steps.push(order_command("mark-shipped", &event.order_id, body));
        "mark-shipped"
    };
    if answers.rejection(probe).is_some_and(is_cancelled) {
        steps.push(fail("fail-shipment", &event.shipment_id));
    }
    steps
}

pub(super) fn deliver(event: &ShipmentDelivered) -> Step {
    order_command("mark-delivered", &event.order_id, OrderCommand::MarkDelivered(MarkOrderDelivered {}))
}

/// Cancels the order whose goods will not arrive, and calls the parcel of a cancelled order back.
pub(super) fn give_up(event: &ShipmentFailed) -> Vec<Step> {
    let detail = format!("{}: {}", event.code, event.reason);
    let mut steps = vec![cancel("shipment-failed", &event.order_id, CancelReason::ShipmentFailed, &detail)];
    if event.dispatched && event.code == ORDER_CANCELLED {
        // The booking was asked for by the shipment's first event.
        let key = EventId::new(&StreamId::from(&event.shipment_id), Version::FIRST);
        steps.push(cancel_booking(key, &event.shipment_id, &event.order_id, ""));
    }
    steps
}

/// The shipment is not wanted any more.
pub(super) fn fail(name: &str, shipment_id: &ShipmentId) -> Step {
    let reason = "the order was cancelled".to_owned();
    let body = ShipmentCommand::Fail(FailShipment { code: ORDER_CANCELLED.to_owned(), reason });
    Step::command(name, Command::Shipment { id: shipment_id.clone(), body })
}

/// Whether a shipment refused something because it has failed.
pub(super) fn is_failed(rejection: &Rejection) -> bool {
    rejection.code == ErrorCode::ShipmentWrongStatus && status(rejection) == Some("failed")
}

fn cancel_booking(key: EventId, shipment_id: &ShipmentId, order_id: &OrderId, carrier: &str) -> Step {
    let request = BookingRequest {
        key,
        shipment_id: shipment_id.clone(),
        order_id: order_id.clone(),
        carrier: carrier.to_owned(),
        goods: Vec::new(),
        address: None,
    };
    Step::effect("cancel-booking", Effect::CancelBooking(request))
}

fn ship_line(event: &ShipmentDispatched, line: &GoodsLine) -> Step {
    let body = StockCommand::Ship(ShipStock {
        order_id: event.order_id.clone(),
        line: line.line,
        shipment_id: event.shipment_id.clone(),
    });
    Step::command(step_of(line), Command::Stock { id: line.sku.clone(), body })
}

fn step_of(line: &GoodsLine) -> String {
    format!("ship/{}", line.line)
}
