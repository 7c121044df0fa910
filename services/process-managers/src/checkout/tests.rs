//! Given an event and answers, these steps follow.

use schemas::cart::{CartCheckedOut, CartLine};
use schemas::order::{
    CancelOrder, GoodsLine, LineKind, OrderCancelled, OrderConfirmed, OrderLine, OrderPlaced, OrderReserved,
    OrderShipped,
};
use schemas::payment::{
    CaptureFailed, CaptureRequested, PaymentAuthorised, PaymentBalance, PaymentCommand, PaymentDeclined,
    PaymentRequested, RefundFailed, RefundRequested, VoidRequested,
};
use schemas::product::TaxClass;
use schemas::shipment::{
    FailShipment, ShipmentCommand, ShipmentCreated, ShipmentDelivered, ShipmentDispatched, ShipmentFailed,
};
use schemas::stock::{ReturnStock, StockCommand};
use schemas::{
    Accepted, CommandEnvelope, CommandId, CorrelationId, Currency, EventMetadata, Money, Outcome, Position,
    Principal, Quantity, ShipmentId, Sku, StreamId, Timestamp, Version,
};

use super::*;
use crate::{
    Action, Answer, BookingResult, Effect, EffectResult, PaymentOperation, PaymentResult, shipment_id,
};

fn order_id() -> OrderId {
    OrderId::new("1001").unwrap()
}

fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

fn pounds(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::GBP)
}

fn recorded(event: impl Into<Event>) -> RecordedEvent {
    let event = event.into();
    let now = Timestamp::from_millis(1_700_000_000_000);
    let id = if event.aggregate_type() == AggregateType::Shipment { "1001-1" } else { "1001" };
    RecordedEvent {
        position: Position { topic: "m.events".into(), partition: 0, offset: 7 },
        metadata: EventMetadata {
            stream: StreamId::new(event.aggregate_type(), id).unwrap(),
            version: Version::FIRST,
            occurred_at: now,
            recorded_at: now,
            command_id: CommandId::new(uuid::Uuid::from_u128(1)),
            command_hash: schemas::CommandHash::from_bytes([0; 16]),
            correlation_id: CorrelationId::new(uuid::Uuid::from_u128(2)),
            causation_id: None,
            principal: Principal::anonymous(),
            writer_term: 1,
            traceparent: None,
        },
        event,
    }
}

fn checkout() -> Checkout {
    Checkout::new("sandbox")
}

fn accepted() -> Answer {
    let position = Position { topic: "m.events".into(), partition: 0, offset: 9 };
    Answer::Outcome(Outcome::Accepted(Accepted { version: Version::FIRST, events: 1, position }))
}

fn unchanged() -> Answer {
    Answer::Outcome(Outcome::Unchanged { version: Version::FIRST })
}

fn rejected(rejection: Rejection) -> Answer {
    Answer::Outcome(Outcome::Rejected(rejection))
}

fn order_is(status: &str) -> Answer {
    rejected(Rejection::new(ErrorCode::OrderWrongStatus, "not possible").fact("status", status))
}

fn answers(known: impl IntoIterator<Item = (&'static str, Answer)>) -> Answers {
    let mut answers = Answers::new();
    known.into_iter().for_each(|(step, answer)| answers.insert(step, answer));
    answers
}

/// The names of the steps that follow and are not answered yet.
fn next(event: impl Into<Event>, known: &Answers) -> Vec<String> {
    let steps = checkout().conclude(&recorded(event), known);
    steps.into_iter().map(|step| step.name).filter(|step| known.get(step).is_none()).collect()
}

fn command_of(event: impl Into<Event>, known: &Answers, name: &str) -> Command {
    let step = checkout().conclude(&recorded(event), known).into_iter().find(|step| step.name == name);
    match step.unwrap_or_else(|| panic!("no step {name}")).action {
        Action::Command(command) => *command,
        Action::Effect(effect) => panic!("{effect:?}"),
    }
}

fn cancel_detail(command: &Command) -> (CancelReason, &str) {
    match command {
        Command::Order { body: OrderCommand::Cancel(CancelOrder { reason, detail }), .. } => {
            (*reason, detail)
        }
        other => panic!("{other:?}"),
    }
}

fn line(line: u32, kind: LineKind, name: &str) -> OrderLine {
    OrderLine {
        line,
        sku: sku(name),
        kind,
        name: name.to_owned(),
        quantity: Quantity::new(5).unwrap(),
        unit_price: pounds(100),
        discount: pounds(0),
        tax_class: TaxClass::Standard,
        tax: pounds(0),
        total: pounds(500),
    }
}

fn placed(lines: Vec<OrderLine>) -> OrderPlaced {
    OrderPlaced {
        order_id: order_id(),
        customer_id: None,
        email: None,
        channel: "web".into(),
        country: "GB".into(),
        currency: Currency::GBP,
        total: pounds(500 * lines.len() as i64),
        tax: pounds(0),
        lines,
        shipping_address: None,
        payment_method: "sandbox".into(),
    }
}

fn goods() -> Vec<GoodsLine> {
    [(1, "A"), (2, "B")]
        .map(|(line, name)| GoodsLine { line, sku: sku(name), quantity: Quantity::new(5).unwrap() })
        .to_vec()
}

fn reserved(total: i64) -> OrderReserved {
    let payment_method = "sandbox".to_owned();
    OrderReserved { order_id: order_id(), customer_id: None, total: pounds(total), payment_method }
}

fn confirmed(goods: Vec<GoodsLine>, total: i64) -> OrderConfirmed {
    OrderConfirmed { order_id: order_id(), goods, total: pounds(total), shipping_address: None }
}

fn cancelled(shipment_id: Option<ShipmentId>, total: i64) -> OrderCancelled {
    OrderCancelled {
        order_id: order_id(),
        reason: CancelReason::CustomerRequest,
        detail: "changed my mind".into(),
        goods: goods(),
        shipment_id,
        total: pounds(total),
    }
}

fn created() -> ShipmentCreated {
    let shipment_id = shipment_id(&order_id());
    ShipmentCreated {
        shipment_id,
        order_id: order_id(),
        goods: goods(),
        address: None,
        carrier: "sandbox".into(),
    }
}

fn dispatched() -> ShipmentDispatched {
    ShipmentDispatched {
        shipment_id: shipment_id(&order_id()),
        order_id: order_id(),
        goods: goods(),
        carrier: "sandbox".into(),
        tracking_number: "SBX-1".into(),
    }
}

fn payment_requested() -> PaymentRequested {
    PaymentRequested {
        payment_id: order_id().payment_id(),
        order_id: order_id(),
        customer_id: None,
        amount: pounds(1000),
        method: "sandbox".into(),
    }
}

fn authorised() -> PaymentAuthorised {
    PaymentAuthorised {
        payment_id: order_id().payment_id(),
        order_id: order_id(),
        amount: pounds(1000),
        provider_reference: "auth".into(),
        balance: PaymentBalance { authorised: 1000, captured: 0, voided: 0, open: 1000, refunded: 0 },
    }
}

fn refund_failed(reference: &str) -> RefundFailed {
    RefundFailed {
        payment_id: order_id().payment_id(),
        order_id: order_id(),
        reference: reference.parse().unwrap(),
        amount: pounds(300),
        code: "x".into(),
        message: "y".into(),
    }
}

#[test]
fn a_cart_becomes_an_order_with_its_lines() {
    let item = |name: &str| CartLine {
        sku: sku(name),
        quantity: Quantity::new(3).unwrap(),
        unit_price: pounds(250),
    };
    let event = CartCheckedOut {
        cart_id: schemas::CartId::new("c").unwrap(),
        order_id: order_id(),
        customer_id: None,
        email: Some("a@b".into()),
        channel: "web".into(),
        country: "GB".into(),
        currency: Currency::GBP,
        lines: vec![item("A"), item("B")],
        shipping_address: None,
        payment_method: "sandbox".into(),
    };
    let Command::Order { id, body: OrderCommand::Place(place) } = command_of(event, &Answers::new(), "place")
    else {
        panic!("not an order");
    };
    assert_eq!((id, place.lines.len()), (order_id(), 2));
    let last = &place.lines[1];
    assert_eq!(
        (last.line, last.name.as_str(), last.total, last.kind),
        (2, "B", pounds(750), LineKind::Goods)
    );
}

#[test]
fn an_order_waits_for_all_its_stock_and_is_then_reserved() {
    let event = || {
        placed(vec![
            line(1, LineKind::Goods, "A"),
            line(2, LineKind::Service, "POST"),
            line(3, LineKind::Goods, "A"),
        ])
    };
    assert_eq!(next(event(), &Answers::new()), ["reserve/1", "reserve/3"]);
    assert_eq!(next(event(), &answers([("reserve/1", accepted())])), ["reserve/3"]);
    let both = answers([("reserve/1", accepted()), ("reserve/3", unchanged())]);
    assert_eq!(next(event(), &both), ["mark-reserved"]);
    assert_eq!(next(placed(vec![line(1, LineKind::Service, "POST")]), &Answers::new()), ["mark-reserved"]);
}

#[test]
fn a_missing_item_cancels_the_order_and_is_named() {
    let event = || placed(vec![line(1, LineKind::Goods, "A"), line(2, LineKind::Goods, "B")]);
    let short =
        Rejection::new(ErrorCode::InsufficientStock, "too few").fact("available", 2).fact("requested", 5);
    let known = answers([("reserve/1", accepted()), ("reserve/2", rejected(short))]);
    assert_eq!(next(event(), &known), ["out-of-stock"]);
    let command = command_of(event(), &known, "out-of-stock");
    assert_eq!(cancel_detail(&command), (CancelReason::OutOfStock, "B: 5 asked, 2 available"));
    assert_eq!(checkout().alarm(&recorded(event()), &known), None);
}

#[test]
fn money_is_asked_for_unless_there_is_nothing_to_pay() {
    assert_eq!(next(reserved(1000), &Answers::new()), ["request"]);
    assert_eq!(next(reserved(0), &Answers::new()), ["confirm"]);
    let refused =
        answers([("request", rejected(Rejection::new(ErrorCode::InvalidValue, "method is empty")))]);
    assert_eq!(next(reserved(1000), &refused), ["not-payable"]);
}

#[test]
fn an_authorised_payment_confirms_its_order_or_goes_back() {
    assert_eq!(next(authorised(), &Answers::new()), ["confirm"]);
    assert_eq!(next(authorised(), &answers([("confirm", accepted())])), [""; 0]);
    assert_eq!(next(authorised(), &answers([("confirm", order_is("cancelled"))])), ["unwind"]);
    let missing = answers([("confirm", rejected(Rejection::new(ErrorCode::OrderNotFound, "no order")))]);
    assert_eq!(next(authorised(), &missing), ["unwind"]);
    for status in ["confirmed", "shipped", "delivered"] {
        assert_eq!(next(authorised(), &answers([("confirm", order_is(status))])), [""; 0], "{status}");
    }
}

#[test]
fn a_declined_payment_cancels_its_order_in_the_provider_s_words() {
    let event = PaymentDeclined {
        payment_id: order_id().payment_id(),
        order_id: order_id(),
        code: "card_declined".into(),
        message: "no".repeat(5_000),
    };
    let command = command_of(event, &Answers::new(), "declined");
    let (reason, detail) = cancel_detail(&command);
    assert_eq!(reason, CancelReason::PaymentDeclined);
    assert!(detail.starts_with("card_declined: no") && detail.chars().count() == NOTE_CHARS_MAX);
}

#[test]
fn goods_are_sent_and_an_order_without_goods_is_complete_before_its_money_is_taken() {
    assert_eq!(next(confirmed(goods(), 1000), &Answers::new()), ["create-shipment"]);
    assert_eq!(next(confirmed(Vec::new(), 1000), &Answers::new()), ["mark-delivered"]);
    assert_eq!(next(confirmed(Vec::new(), 1000), &answers([("mark-delivered", accepted())])), ["capture"]);
    assert_eq!(next(confirmed(Vec::new(), 0), &answers([("mark-delivered", accepted())])), [""; 0]);
    assert_eq!(
        next(confirmed(Vec::new(), 1000), &answers([("mark-delivered", order_is("cancelled"))])),
        [""; 0]
    );
    let refused = |code| answers([("create-shipment", rejected(Rejection::new(code, "no")))]);
    assert_eq!(next(confirmed(goods(), 1), &refused(ErrorCode::InvalidValue)), ["not-shippable"]);
    assert_eq!(next(confirmed(goods(), 1), &refused(ErrorCode::ShipmentExists)), [""; 0]);
}

#[test]
fn a_booked_shipment_is_dispatched_and_a_refused_one_fails() {
    let booked = || EffectResult::Booking(BookingResult::Booked { tracking_number: "T".into() });
    assert_eq!(next(created(), &Answers::new()), ["book"]);
    assert_eq!(next(created(), &answers([("book", Answer::Effect(booked()))])), ["dispatch"]);
    let refused = BookingResult::Refused { code: "x".into(), reason: "y".into() };
    let known = answers([("book", Answer::Effect(EffectResult::Booking(refused)))]);
    assert_eq!(next(created(), &known), ["booking-refused"]);
    assert_eq!(next(created(), &answers([("book", Answer::Effect(EffectResult::Pending))])), [""; 0]);
    let gone = |status: &str| {
        let rejection = Rejection::new(ErrorCode::ShipmentWrongStatus, "no").fact("status", status);
        answers([("book", Answer::Effect(booked())), ("dispatch", rejected(rejection))])
    };
    assert_eq!(next(created(), &gone("failed")), ["cancel-booking"]);
    assert_eq!(next(created(), &gone("delivered")), [""; 0]);
}

#[test]
fn a_dispatched_shipment_takes_its_goods_and_marks_its_order() {
    assert_eq!(next(dispatched(), &Answers::new()), ["ship/1", "ship/2"]);
    let shipped = answers([("ship/1", accepted()), ("ship/2", unchanged())]);
    assert_eq!(next(dispatched(), &shipped), ["mark-shipped"]);
}

#[test]
fn the_shipment_of_an_order_that_was_cancelled_meanwhile_fails() {
    let after_ship =
        answers([("ship/1", accepted()), ("ship/2", accepted()), ("mark-shipped", order_is("cancelled"))]);
    assert_eq!(next(dispatched(), &after_ship), ["fail-shipment"]);
    assert_eq!(checkout().alarm(&recorded(dispatched()), &after_ship), None);

    let closed = || rejected(Rejection::new(ErrorCode::ReservationClosed, "closed"));
    let before_ship = answers([("ship/1", closed()), ("ship/2", closed())]);
    assert_eq!(next(dispatched(), &before_ship), ["still-confirmed"]);
    let gone =
        answers([("ship/1", closed()), ("ship/2", closed()), ("still-confirmed", order_is("cancelled"))]);
    assert_eq!(next(dispatched(), &gone), ["fail-shipment"]);
    assert_eq!(checkout().alarm(&recorded(dispatched()), &gone), None);
}

#[test]
fn a_line_that_cannot_leave_is_an_alarm_and_the_order_stays() {
    let closed = rejected(Rejection::new(ErrorCode::ReservationNotFound, "nothing reserved"));
    let known = answers([("ship/1", accepted()), ("ship/2", closed), ("still-confirmed", unchanged())]);
    assert_eq!(next(dispatched(), &known), [""; 0]);
    assert!(checkout().alarm(&recorded(dispatched()), &known).unwrap().contains("ship/2"));
}

#[test]
fn a_shipped_order_s_money_is_taken_once_under_its_reference() {
    let event = |total| OrderShipped {
        order_id: order_id(),
        shipment_id: shipment_id(&order_id()),
        total: pounds(total),
    };
    assert_eq!(next(event(0), &Answers::new()), [""; 0]);
    let Command::Payment { id, body: PaymentCommand::RequestCapture(capture) } =
        command_of(event(1000), &Answers::new(), "capture")
    else {
        panic!("not a capture");
    };
    assert_eq!((id.as_str(), capture.reference.as_str(), capture.amount), ("1001", "1001/1", None));
}

#[test]
fn an_arrived_shipment_delivers_its_order_and_a_failed_one_cancels_it() {
    let shipment_id = shipment_id(&order_id());
    let delivered = ShipmentDelivered {
        shipment_id: shipment_id.clone(),
        order_id: order_id(),
        received_by: String::new(),
    };
    assert_eq!(next(delivered, &Answers::new()), ["mark-delivered"]);
    let failed = |code: &str, dispatched| ShipmentFailed {
        shipment_id: shipment_id.clone(),
        order_id: order_id(),
        code: code.to_owned(),
        reason: "gone".into(),
        dispatched,
    };
    let command = command_of(failed("lost", true), &Answers::new(), "shipment-failed");
    assert_eq!(cancel_detail(&command), (CancelReason::ShipmentFailed, "lost: gone"));
    assert_eq!(next(failed("lost", true), &Answers::new()), ["shipment-failed"]);
    assert_eq!(next(failed("order_cancelled", false), &Answers::new()), ["shipment-failed"]);
    assert_eq!(next(failed("order_cancelled", true), &Answers::new()), ["shipment-failed", "cancel-booking"]);
}

#[test]
fn taking_a_booking_back_names_the_booking() {
    let booked = checkout().react(&recorded(created()));
    let failed = ShipmentFailed {
        shipment_id: shipment_id(&order_id()),
        order_id: order_id(),
        code: "order_cancelled".into(),
        reason: String::new(),
        dispatched: true,
    };
    let taken_back = checkout().react(&recorded(failed));
    let key = |steps: &[Step]| {
        steps.iter().find_map(|step| match &step.action {
            Action::Effect(effect) => match &**effect {
                Effect::Book(request) | Effect::CancelBooking(request) => Some(request.key.clone()),
                _ => None,
            },
            Action::Command(_) => None,
        })
    };
    assert_eq!(key(&booked), key(&taken_back));
    assert!(key(&booked).is_some());
}

#[test]
fn a_cancelled_order_gives_back_what_it_held() {
    assert_eq!(
        next(cancelled(None, 1000), &Answers::new()),
        ["release/1", "release/2", "unwind", "fail-shipment"]
    );
    assert_eq!(next(cancelled(None, 0), &Answers::new()), ["release/1", "release/2", "fail-shipment"]);
    let shipped = cancelled(Some(shipment_id(&order_id())), 1000);
    assert_eq!(next(shipped.clone(), &Answers::new()), ["return/1", "return/2", "unwind"]);
    let Command::Stock {
        body: StockCommand::Return(ReturnStock { reference, restock, quantity, .. }), ..
    } = command_of(shipped, &Answers::new(), "return/2")
    else {
        panic!("not a return");
    };
    assert_eq!((reference.as_str(), restock, quantity.get()), ("1001-cancel/2", true, 5));
    let Command::Shipment { id, body: ShipmentCommand::Fail(FailShipment { code, .. }) } =
        command_of(cancelled(None, 0), &Answers::new(), "fail-shipment")
    else {
        panic!("not a failure");
    };
    assert_eq!((id.as_str(), code.as_str()), ("1001-1", "order_cancelled"));
}

#[test]
fn lines_that_had_left_while_the_order_was_being_cancelled_come_back_by_a_return() {
    let known = answers([
        ("release/1", accepted()),
        ("release/2", unchanged()),
        ("unwind", accepted()),
        ("fail-shipment", accepted()),
    ]);
    assert_eq!(next(cancelled(None, 1000), &known), ["return/2"]);
    let refused = answers([
        ("release/2", unchanged()),
        ("return/2", rejected(Rejection::new(ErrorCode::ReturnExceedsOrder, "not shipped"))),
    ]);
    assert_eq!(checkout().alarm(&recorded(cancelled(None, 1000)), &refused), None);
    let shipped = cancelled(Some(shipment_id(&order_id())), 1000);
    assert!(checkout().alarm(&recorded(shipped), &refused).is_some());
}

#[test]
fn every_request_of_a_payment_is_one_effect_whose_word_is_recorded() {
    let (payment_id, reference) = (order_id().payment_id(), || "r/1".parse().unwrap());
    let (amount, provider_reference) = (pounds(300), "auth".to_owned());
    let capture = CaptureRequested {
        payment_id: payment_id.clone(),
        order_id: order_id(),
        reference: reference(),
        amount,
        provider_reference: provider_reference.clone(),
    };
    let void = VoidRequested {
        payment_id: payment_id.clone(),
        order_id: order_id(),
        amount,
        provider_reference: provider_reference.clone(),
        reason: String::new(),
    };
    let refund = RefundRequested {
        payment_id,
        order_id: order_id(),
        reference: reference(),
        amount,
        provider_reference,
        reason: String::new(),
    };
    let events: [(Event, &'static str, &str, &str); 4] = [
        (payment_requested().into(), "authorise", "RecordAuthorised", "RecordDeclined"),
        (capture.into(), "capture", "RecordCaptured", "RecordCaptureFailed"),
        (void.into(), "void", "RecordVoided", ""),
        (refund.into(), "refund", "RecordRefunded", "RecordRefundFailed"),
    ];
    for (event, name, done, failed) in events {
        let event = recorded(event);
        let steps = checkout().react(&event);
        let Action::Effect(effect) = &steps[0].action else { panic!("{steps:?}") };
        let Effect::Payment(request) = &**effect else { panic!("{effect:?}") };
        assert_eq!((steps.len(), steps[0].name.as_str(), request.operation.name()), (1, name, name));
        assert_eq!(request.key, event.metadata.event_id());

        let record = |result| {
            let known = answers([(name, Answer::Effect(EffectResult::Payment(result)))]);
            let steps = checkout().conclude(&event, &known);
            let step = steps.into_iter().find(|step| step.name == format!("{name}-result"));
            step.map_or(String::new(), |step| format!("{:?}", step.action))
        };
        assert!(record(PaymentResult::Done { provider_reference: "p".into() }).contains(done), "{name}");
        let declined = record(PaymentResult::Declined { code: "c".into(), message: "m".into() });
        assert!(declined.contains(failed) && declined.is_empty() == failed.is_empty(), "{name}");
        let pending = answers([(name, Answer::Effect(EffectResult::Pending))]);
        assert_eq!(
            checkout().conclude(&event, &pending).len(),
            1,
            "nothing is recorded before the final word"
        );
    }
}

#[test]
fn the_authorisation_asks_for_the_order_s_amount_by_the_order_s_method() {
    let steps = checkout().react(&recorded(payment_requested()));
    let Action::Effect(effect) = &steps[0].action else { panic!("{steps:?}") };
    let Effect::Payment(request) = &**effect else { panic!("{effect:?}") };
    let expected = PaymentOperation::Authorise { amount: pounds(1000), method: "sandbox".into() };
    assert_eq!(request.operation, expected);
}

#[test]
fn a_failed_refund_is_made_once_more_and_then_needs_somebody() {
    let first = recorded(refund_failed("C1/1"));
    let steps = checkout().react(&first);
    let Action::Command(command) = &steps[0].action else { panic!("{steps:?}") };
    let Command::Payment { body: PaymentCommand::RequestRefund(again), .. } = &**command else {
        panic!("{command:?}")
    };
    assert_eq!(again.amount, pounds(300));
    assert_eq!(checkout().alarm(&first, &answers([("refund-again", accepted())])), None);

    let second = recorded(refund_failed(again.reference.as_str()));
    assert_eq!(checkout().react(&second), []);
    assert!(checkout().alarm(&second, &Answers::new()).is_some());
}

#[test]
fn a_failed_capture_needs_somebody() {
    let event = recorded(CaptureFailed {
        payment_id: order_id().payment_id(),
        order_id: order_id(),
        reference: "1001/1".parse().unwrap(),
        amount: pounds(300),
        code: "x".into(),
        message: "y".into(),
    });
    assert_eq!(checkout().key(&event), Some(order_id()));
    assert_eq!(checkout().react(&event), []);
    assert!(checkout().alarm(&event, &Answers::new()).is_some());
}

/// All events that the checkout reacts to.
fn all_events() -> Vec<RecordedEvent> {
    let shipped =
        OrderShipped { order_id: order_id(), shipment_id: shipment_id(&order_id()), total: pounds(1) };
    vec![
        recorded(placed(vec![line(1, LineKind::Goods, "A"), line(2, LineKind::Goods, "A")])),
        recorded(reserved(1000)),
        recorded(confirmed(goods(), 1000)),
        recorded(shipped),
        recorded(cancelled(None, 1000)),
        recorded(payment_requested()),
        recorded(authorised()),
        recorded(created()),
        recorded(dispatched()),
    ]
}

#[test]
fn reacting_again_gives_the_same_commands_under_the_same_ids() {
    let ids = |event: &RecordedEvent| -> Vec<_> {
        let steps = checkout().react(event).into_iter();
        steps
            .filter_map(|step| match step.action {
                Action::Command(command) => {
                    let envelope = CommandEnvelope::following(
                        event,
                        &step.name,
                        Principal::process("checkout"),
                        *command,
                    );
                    Some((envelope.command_id, envelope.hash()))
                }
                Action::Effect(_) => None,
            })
            .collect()
    };
    for event in all_events() {
        assert_eq!(ids(&event), ids(&event.clone()));
        let unique: std::collections::HashSet<_> = ids(&event).into_iter().map(|(id, _)| id).collect();
        assert_eq!(
            unique.len(),
            ids(&event).len(),
            "steps of one event have ids of their own: {:?}",
            event.event
        );
        assert_eq!(checkout().key(&event), Some(order_id()));
    }
}

#[test]
fn conclusions_keep_their_steps_as_answers_come_in_any_order() {
    for event in all_events() {
        let mut known = Answers::new();
        let mut steps = checkout().react(&event);
        for _ in 0..5 {
            let Some(step) = steps.iter().rev().find(|step| known.get(&step.name).is_none()) else { break };
            let answer = match &step.action {
                Action::Command(_) => unchanged(),
                Action::Effect(_) => Answer::Effect(EffectResult::Pending),
            };
            known.insert(step.name.clone(), answer);
            let later = checkout().conclude(&event, &known);
            assert!(steps.iter().all(|step| later.contains(step)), "{:?}", event.event);
            steps = later;
        }
    }
}
