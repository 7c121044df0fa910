//! The rules of orders.

use aggregates::{AMOUNT_MINOR_MAX, OrderError};
use schemas::order::{
    CancelOrder, CancelReason, ConfirmOrder, LINES_MAX, LineKind, MarkOrderDelivered, MarkOrderReserved,
    MarkOrderShipped, OrderCommand, OrderLine, OrderStatus, PlaceOrder, ReturnOrderLine,
};
use schemas::product::TaxClass;
use schemas::{Command, Currency, Money};

use crate::scenario::{chars, eur, every_rule_refuses, gbp, given, id, units};

pub(crate) fn to_order(body: OrderCommand) -> Command {
    Command::Order { id: id("o1"), body }
}

/// `quantity` units at 100 pence, 10 pence off the line.
pub(crate) fn line(line: u32, kind: LineKind, quantity: i64) -> OrderLine {
    OrderLine {
        line,
        sku: id("85123A"),
        kind,
        name: "Holder".into(),
        quantity: units(quantity),
        unit_price: gbp(100),
        discount: gbp(10),
        tax_class: TaxClass::Standard,
        tax: gbp(5),
        total: gbp(100 * quantity - 10),
    }
}

pub(crate) fn content(lines: Vec<OrderLine>) -> PlaceOrder {
    PlaceOrder {
        customer_id: Some(id("17850")),
        email: None,
        channel: "web".into(),
        country: "GB".into(),
        currency: Currency::GBP,
        lines,
        shipping_address: None,
        payment_method: "card".into(),
    }
}

pub(crate) fn place(lines: Vec<OrderLine>) -> Command {
    to_order(OrderCommand::Place(content(lines)))
}

/// Three units of goods and one of postage.
pub(crate) fn place_goods() -> Command {
    place(vec![line(1, LineKind::Goods, 3), line(2, LineKind::Service, 1)])
}

pub(crate) fn place_service() -> Command {
    place(vec![line(1, LineKind::Service, 1)])
}

pub(crate) fn mark_reserved() -> Command {
    to_order(OrderCommand::MarkReserved(MarkOrderReserved {}))
}

pub(crate) fn confirm() -> Command {
    to_order(OrderCommand::Confirm(ConfirmOrder {}))
}

pub(crate) fn mark_shipped(shipment: &str) -> Command {
    to_order(OrderCommand::MarkShipped(MarkOrderShipped { shipment_id: id(shipment) }))
}

pub(crate) fn mark_delivered() -> Command {
    to_order(OrderCommand::MarkDelivered(MarkOrderDelivered {}))
}

pub(crate) fn cancel(reason: CancelReason) -> Command {
    to_order(OrderCommand::Cancel(CancelOrder { reason, detail: "why".into() }))
}

pub(crate) fn take_back(reference: &str, line: u32, quantity: i64, refund: Money) -> Command {
    let (reference, quantity, reason) = (id(reference), units(quantity), "broken".to_owned());
    to_order(OrderCommand::Return(ReturnOrderLine {
        reference,
        line,
        quantity,
        refund,
        restock: true,
        reason,
    }))
}

fn placed() -> Vec<Command> {
    vec![place_goods()]
}

fn reserved() -> Vec<Command> {
    [placed(), vec![mark_reserved()]].concat()
}

fn confirmed() -> Vec<Command> {
    [reserved(), vec![confirm()]].concat()
}

fn shipped() -> Vec<Command> {
    [confirmed(), vec![mark_shipped("s1")]].concat()
}

fn delivered() -> Vec<Command> {
    [shipped(), vec![mark_delivered()]].concat()
}

fn cancelled() -> Vec<Command> {
    [placed(), vec![cancel(CancelReason::OutOfStock)]].concat()
}

#[test]
fn every_rule_refuses_by_name() {
    let order_id = || id("o1");
    let wrong = |status, wanted| OrderError::WrongStatus { order_id: order_id(), status, wanted };
    let exceeds = |requested, returned| OrderError::ReturnExceedsOrder {
        order_id: order_id(),
        line: 1,
        requested,
        bought: 3,
        returned,
    };
    let too_dear = |requested, refundable| OrderError::RefundExceedsPrice {
        order_id: order_id(),
        line: 1,
        requested: gbp(requested),
        refundable: gbp(refundable),
    };
    let returned = || [delivered(), vec![take_back("C1/1", 1, 2, gbp(200))]].concat();
    let invalid = |field, problem: &str| OrderError::InvalidValue { field, problem: problem.into() };
    let with = |change: fn(&mut PlaceOrder)| {
        let mut order = content(vec![line(1, LineKind::Goods, 3)]);
        change(&mut order);
        to_order(OrderCommand::Place(order))
    };
    use OrderStatus::{Cancelled, Confirmed, Delivered, Placed, Shipped};
    let mut refusals = vec![
        (placed(), place_service(), OrderError::Exists { order_id: order_id() }),
        (vec![], place(vec![]), OrderError::Empty { order_id: order_id() }),
        (
            vec![],
            place((1..=2_001).map(|n| line(n, LineKind::Goods, 1)).collect()),
            OrderError::TooLong { order_id: order_id(), lines: 2_001, lines_max: LINES_MAX },
        ),
        (cancelled(), mark_reserved(), wrong(Cancelled, "reserve")),
        (cancelled(), confirm(), wrong(Cancelled, "confirm")),
        (placed(), mark_shipped("s1"), wrong(Placed, "ship")),
        (shipped(), mark_shipped("s2"), wrong(Shipped, "ship")),
        (cancelled(), mark_shipped("s1"), wrong(Cancelled, "ship")),
        (confirmed(), mark_delivered(), wrong(Confirmed, "deliver")),
        (cancelled(), mark_delivered(), wrong(Cancelled, "deliver")),
        (confirmed(), cancel(CancelReason::PaymentExpired), wrong(Confirmed, "cancel")),
        (confirmed(), cancel(CancelReason::ReservationExpired), wrong(Confirmed, "cancel")),
        (shipped(), cancel(CancelReason::CustomerRequest), wrong(Shipped, "cancel")),
        (delivered(), cancel(CancelReason::ShipmentFailed), wrong(Delivered, "cancel")),
        (shipped(), take_back("C1/1", 1, 1, gbp(1)), wrong(Shipped, "return")),
        (placed(), confirm(), OrderError::NotReserved { order_id: order_id() }),
        (
            vec![place_service(), mark_reserved(), confirm()],
            mark_shipped("s1"),
            OrderError::NothingToShip { order_id: order_id() },
        ),
        (
            delivered(),
            take_back("C1/1", 3, 1, gbp(1)),
            OrderError::LineNotFound { order_id: order_id(), line: 3 },
        ),
        (
            delivered(),
            take_back("C1/1", 0, 1, gbp(1)),
            OrderError::LineNotFound { order_id: order_id(), line: 0 },
        ),
        (
            returned(),
            take_back("C1/1", 1, 1, gbp(100)),
            OrderError::ReferenceReused { order_id: order_id(), reference: id("C1/1") },
        ),
        (delivered(), take_back("C1/1", 1, 4, gbp(1)), exceeds(4, 0)),
        (returned(), take_back("C1/2", 1, 2, gbp(1)), exceeds(2, 2)),
        (delivered(), take_back("C1/1", 1, 2, gbp(201)), too_dear(201, 200)),
        // Three cost 290 pence: after 200 only 90 are left for the last one.
        (returned(), take_back("C1/2", 1, 1, gbp(91)), too_dear(91, 90)),
        (
            delivered(),
            take_back("C1/1", 1, 1, eur(1)),
            OrderError::CurrencyMismatch { expected: Currency::GBP, given: Currency::EUR },
        ),
        (
            delivered(),
            take_back("C1/1", 1, 1, gbp(-1)),
            invalid("refund", "is -0.01 GBP, it may not be negative"),
        ),
        (vec![], with(|o| o.channel.clear()), invalid("channel", "has 0 characters, 1 to 64 are allowed")),
        (
            vec![],
            with(|o| o.email = Some(chars(321))),
            invalid("email", "has 321 characters, 1 to 320 are allowed"),
        ),
    ];
    for command in [
        mark_reserved(),
        confirm(),
        mark_shipped("s1"),
        mark_delivered(),
        cancel(CancelReason::OutOfStock),
        take_back("C1/1", 1, 1, gbp(1)),
    ] {
        refusals.push((vec![], command, OrderError::NotFound { order_id: order_id() }));
    }
    let long = |number| OrderLine { name: "ä".repeat(300), ..line(number, LineKind::Goods, 3) };
    refusals.push((
        vec![],
        place((1..=LINES_MAX as u32).map(long).collect()),
        invalid("lines", "have 1212000 bytes of text, at most 614400 are allowed"),
    ));
    type Spoil = fn(&mut OrderLine);
    let bad_lines: [(Spoil, &str); 10] = [
        (|l| l.line = 3, "is out of order: lines are numbered from 1 without gaps"),
        (|l| l.name = chars(301), "has a name of more than 300 characters"),
        (|l| l.tax = eur(5), "has an amount in another currency than the order's"),
        (|l| l.unit_price = gbp(-100), "has a negative amount"),
        (|l| l.discount = gbp(-10), "has a negative amount"),
        (|l| l.unit_price = gbp(i64::MAX), "is worth too much"),
        (|l| l.unit_price = gbp(AMOUNT_MINOR_MAX), "is worth too much"),
        (|l| l.total = gbp(300), "has a total that is not quantity × unit price − discount"),
        (|l| l.tax = gbp(291), "has more tax than its total"),
        (
            |l| {
                let most = AMOUNT_MINOR_MAX;
                (l.quantity, l.unit_price, l.total) = (units(1), gbp(most), gbp(most - 10));
            },
            "makes the order's total too large",
        ),
    ];
    for (spoil, problem) in bad_lines {
        let mut lines = vec![line(1, LineKind::Goods, 3), line(2, LineKind::Goods, 3)];
        spoil(&mut lines[1]);
        refusals.push((vec![], place(lines), OrderError::LineInvalid { line: 2, problem: problem.into() }));
    }
    every_rule_refuses(refusals);
}

#[test]
fn an_order_goes_from_placed_to_delivered_and_each_step_counts_once() {
    let mut before = vec![];
    for (command, event, status) in [
        (place_goods(), "order.placed", OrderStatus::Placed),
        (mark_reserved(), "order.reserved", OrderStatus::Placed),
        (confirm(), "order.confirmed", OrderStatus::Confirmed),
        (mark_shipped("s1"), "order.shipped", OrderStatus::Shipped),
        (mark_delivered(), "order.delivered", OrderStatus::Delivered),
    ] {
        let state = given(before.clone()).when(&command).happens(&[event]).state;
        assert_eq!(state.as_order().unwrap().status(), Some(status));
        before.push(command);
        // Whatever was said up to here may be said again.
        for again in &before {
            given(before.clone()).when(again).nothing_happens();
        }
    }
}

#[test]
fn an_order_without_goods_is_delivered_without_a_shipment() {
    let before = vec![place_service(), mark_reserved(), confirm()];
    given(before).when(&mark_delivered()).happens(&["order.delivered"]);
}

#[test]
fn the_placed_order_sums_up_its_lines() {
    let happened = given([]).when(&place_goods()).happens(&["order.placed"]);
    let body = happened.events[0].body_json();
    assert_eq!((&body["total"]["amount_minor"], &body["tax"]["amount_minor"]), (&380.into(), &10.into()));
    let order = happened.state.as_order().unwrap();
    assert_eq!((order.lines().len(), order.goods().len()), (2, 1));
}

#[test]
fn a_free_order_is_an_order() {
    let mut free = line(1, LineKind::Goods, 2);
    (free.unit_price, free.discount, free.tax, free.total) = (gbp(0), gbp(0), gbp(0), gbp(0));
    given([]).when(&place(vec![free])).happens(&["order.placed"]);
}

#[test]
fn cancelling_says_what_has_to_go_back() {
    for (before, reason) in [
        (placed(), CancelReason::ReservationExpired),
        (reserved(), CancelReason::PaymentExpired),
        (confirmed(), CancelReason::CustomerRequest),
        (confirmed(), CancelReason::ShipmentFailed),
    ] {
        let happened = given(before).when(&cancel(reason)).happens(&["order.cancelled"]);
        assert_eq!(happened.events[0].body_json()["goods"][0]["quantity"], 3);
        assert_eq!(happened.state.as_order().unwrap().cancelled(), Some(reason));
    }
    let happened = given(shipped()).when(&cancel(CancelReason::ShipmentFailed)).happens(&["order.cancelled"]);
    assert_eq!(happened.events[0].body_json()["shipment_id"], "s1");
}

#[test]
fn an_order_is_cancelled_once_and_keeps_its_first_reason() {
    let state = given(cancelled()).when(&cancel(CancelReason::CustomerRequest)).nothing_happens();
    assert_eq!(state.as_order().unwrap().cancelled(), Some(CancelReason::OutOfStock));
}

#[test]
fn a_line_comes_back_in_parts_until_all_of_it_is_back() {
    let first = take_back("C1/1", 1, 2, gbp(200));
    let rest = take_back("C1/2", 1, 1, gbp(90));
    let state = given([delivered(), vec![first.clone()]].concat())
        .when(&rest)
        .happens(&["order.line_returned"])
        .state;
    let order = state.as_order().unwrap();
    assert_eq!((order.returned_quantity(1), order.refunded_minor()), (3, 290));
    given([delivered(), vec![first.clone(), rest]].concat()).when(&first).nothing_happens();
}

#[test]
fn a_service_can_be_refunded() {
    given(delivered()).when(&take_back("C1/1", 2, 1, gbp(90))).happens(&["order.line_returned"]);
}
