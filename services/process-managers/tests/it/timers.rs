//! Deadlines, parcels and refunds, driven by a clock that the test sets.

use schemas::order::{LineKind, OrderConfirmed, OrderLineReturned, OrderReserved};
use schemas::shipment::{ShipmentCreated, ShipmentDelivered, ShipmentDispatched};
use schemas::{ErrorCode, ExpectedVersion, Outcome, Quantity, Rejection, ShipmentId, Sku, Version};

use super::platform::{FakeCommands, Platform, accepted, order, placed, pounds, until};

fn reserved(id: &str) -> OrderReserved {
    OrderReserved {
        order_id: order(id),
        customer_id: None,
        total: pounds(100),
        payment_method: "sandbox".into(),
    }
}

fn confirmed(id: &str) -> OrderConfirmed {
    OrderConfirmed { order_id: order(id), goods: Vec::new(), total: pounds(0), shipping_address: None }
}

#[tokio::test]
async fn an_order_whose_stock_is_not_held_in_time_is_cancelled_at_the_version_it_had() {
    let mut platform = Platform::new();
    platform.append("1001", placed("1001", &["A"]));
    let commands = FakeCommands::new();
    let running = platform.start(&commands).await;
    until("the event is done and its deadline runs", || {
        commands.count("order/1001", "MarkReserved") == 1
            && running.handle.events_waiting() == 0
            && running.handle.matters_open() == 1
    })
    .await;
    platform.clock.advance(59_999);
    platform.append("1002", placed("1002", &["A"]));
    until("a later event is done", || commands.count("order/1002", "MarkReserved") == 1).await;
    assert_eq!(commands.count("order/1001", "ReservationExpired"), 0, "a millisecond too early");
    platform.clock.advance(1);
    until("the order is cancelled", || commands.count("order/1001", "ReservationExpired") == 1).await;
    running.stop().await;
    let expiry =
        commands.seen().into_iter().find(|e| format!("{:?}", e.command).contains("Expired")).unwrap();
    assert_eq!(expiry.expected_version, ExpectedVersion::Exactly(Version::FIRST));
}

#[tokio::test]
async fn an_order_that_moves_on_is_not_cancelled() {
    let mut platform = Platform::new();
    platform.append("1001", placed("1001", &["A"]));
    platform.append("1001", reserved("1001"));
    platform.append("1001", confirmed("1001"));
    platform.append("1002", placed("1002", &["A"]));
    platform.append("1002", reserved("1002"));
    let commands = FakeCommands::new();
    let running = platform.start(&commands).await;
    until("all is done and one deadline runs", || {
        commands.count("payment/1002", "Request(") == 1
            && running.handle.events_waiting() == 0
            && running.handle.matters_open() == 1
    })
    .await;
    platform.clock.advance(1_800_000);
    until("the unpaid order is cancelled", || commands.count("order/1002", "PaymentExpired") == 1).await;
    running.stop().await;
    assert_eq!(commands.count("order/1001", "Expired"), 0);
    assert_eq!(commands.count("order/1002", "ReservationExpired"), 0);
}

#[tokio::test]
async fn deadlines_survive_a_restart_and_the_loss_of_their_table() {
    let mut platform = Platform::new();
    platform.append("1001", placed("1001", &["A"]));
    platform.append("1001", reserved("1001"));
    let commands = FakeCommands::new();
    let running = platform.start(&commands).await;
    until("the deadline runs", || {
        commands.count("payment/1001", "Request(") == 1
            && running.handle.events_waiting() == 0
            && running.handle.matters_open() == 1
    })
    .await;
    running.stop().await;

    for folder in ["", "new"] {
        if !folder.is_empty() {
            platform.lose_matters(folder);
        }
        let again = FakeCommands::new();
        let running = platform.start(&again).await;
        until("the deadline is known", || running.handle.matters_open() == 1).await;
        until("the order is cancelled", || {
            platform.clock.advance(1_800_000);
            again.count("order/1001", "PaymentExpired") == 1
        })
        .await;
        running.stop().await;
    }
}

#[tokio::test]
async fn an_order_that_is_being_worked_on_has_its_whole_time() {
    let mut platform = Platform::new();
    platform.append("1001", placed("1001", &["STUCK"]));
    let commands = FakeCommands::new();
    commands.hold("stock/STUCK");
    // It waited for an hour before it was taken up: that alone is no reason to cancel it.
    platform.clock.advance(3_600_000);
    let running = platform.start(&commands).await;
    until("it is being worked on", || commands.count("stock/STUCK", "Reserve") == 1).await;
    until("its deadline is known", || running.handle.matters_open() == 1).await;
    platform.clock.advance(59_000);
    platform.append("1002", placed("1002", &["A"]));
    until("a later event is done", || commands.count("order/1002", "MarkReserved") == 1).await;
    assert_eq!(commands.count("order/1001", "ReservationExpired"), 0);
    platform.clock.advance(2_000);
    until("it is stuck", || {
        platform.clock.advance(100);
        commands.count("order/1001", "ReservationExpired") == 1
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_parcel_is_followed_until_it_arrives() {
    let mut platform = Platform::new();
    let shipment_id = ShipmentId::new("1001-1").unwrap();
    let (order_id, carrier) = (order("1001"), "sandbox".to_owned());
    platform.append(
        "1001-1",
        ShipmentCreated {
            shipment_id: shipment_id.clone(),
            order_id: order_id.clone(),
            goods: Vec::new(),
            address: None,
            carrier: carrier.clone(),
        },
    );
    platform.append(
        "1001-1",
        ShipmentDispatched {
            shipment_id: shipment_id.clone(),
            order_id: order_id.clone(),
            goods: Vec::new(),
            carrier,
            tracking_number: "SBX-1001-1".into(),
        },
    );
    let commands = FakeCommands::new();
    let running = platform.start(&commands).await;
    until("it is on its way", || {
        commands.count("shipment/1001-1", "Dispatch") == 1
            && commands.count("order/1001", "MarkShipped") == 1
            && running.handle.events_waiting() == 0
            && running.handle.matters_open() == 1
    })
    .await;
    assert_eq!(commands.count("shipment/1001-1", "Deliver"), 0);
    platform.clock.advance(1_000);
    until("it has arrived", || commands.count("shipment/1001-1", "Deliver") == 1).await;
    platform.append("1001-1", ShipmentDelivered { shipment_id, order_id, received_by: String::new() });
    until("the order is complete", || commands.count("order/1001", "MarkDelivered") == 1).await;
    until("nothing is waited for", || running.handle.matters_open() == 0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_refund_that_came_before_the_capture_is_asked_for_until_it_is_granted() {
    let mut platform = Platform::new();
    platform.append(
        "1001",
        OrderLineReturned {
            order_id: order("1001"),
            customer_id: None,
            reference: "C1/1".parse().unwrap(),
            line: 1,
            sku: Sku::new("A").unwrap(),
            kind: LineKind::Goods,
            quantity: Quantity::new(1).unwrap(),
            refund: pounds(100),
            restock: true,
            reason: String::new(),
        },
    );
    let commands = FakeCommands::new();
    let attempts = std::sync::atomic::AtomicUsize::new(0);
    commands.decide(move |envelope| {
        let is_refund = format!("{:?}", envelope.command).contains("RequestRefund");
        if is_refund && attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 {
            Outcome::Rejected(Rejection::new(ErrorCode::RefundExceedsCaptured, "not captured yet"))
        } else {
            accepted()
        }
    });
    let running = platform.start(&commands).await;
    until("it was asked for once", || {
        commands.count("payment/1001", "RequestRefund") == 1
            && running.handle.events_waiting() == 0
            && running.handle.matters_open() == 1
    })
    .await;
    until("it is granted", || {
        platform.clock.advance(1_000);
        running.handle.matters_open() == 0
    })
    .await;
    running.stop().await;
    assert_eq!(commands.count("payment/1001", "RequestRefund"), 3, "each attempt is a command of its own");
    assert_eq!(commands.count("stock/A", "Return"), 1);
}
