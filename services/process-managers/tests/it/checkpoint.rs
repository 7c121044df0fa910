//! What is read, dealt with, noted, and delivered again.

use std::collections::HashSet;

use schemas::order::{CancelReason, OrderCancelled};
use schemas::{AggregateType, ErrorCode, Outcome, Rejection};

use super::platform::{FakeCommands, Platform, is_for, order, placed, pounds, until};

fn cancelled(id: &str, sku: &str) -> OrderCancelled {
    OrderCancelled {
        order_id: order(id),
        reason: CancelReason::CustomerRequest,
        detail: String::new(),
        goods: vec![schemas::order::GoodsLine {
            line: 1,
            sku: schemas::Sku::new(sku).unwrap(),
            quantity: schemas::Quantity::new(1).unwrap(),
        }],
        shipment_id: None,
        total: pounds(0),
    }
}

/// Orders whose events lie in one partition.
fn orders_of_one_partition() -> [String; 2] {
    let mut ids =
        (1..).map(|n| format!("order-{n}")).filter(|id| event_log::partition_for(id.as_bytes(), 2) == 0);
    [ids.next().unwrap(), ids.next().unwrap()]
}

#[tokio::test]
async fn what_was_dealt_with_does_not_come_again() {
    let mut platform = Platform::new();
    platform.append("1001", placed("1001", &["A", "B"]));
    let commands = FakeCommands::new();
    let running = platform.start(&commands).await;
    until("the order is reserved", || commands.count("order/1001", "MarkReserved") == 1).await;
    until("the event is done", || running.handle.events_waiting() == 0).await;
    running.stop().await;
    assert_eq!(commands.seen().len(), 3);

    platform.append("1002", placed("1002", &["A"]));
    let again = FakeCommands::new();
    let running = platform.start(&again).await;
    until("the second order is reserved", || again.count("order/1002", "MarkReserved") == 1).await;
    running.stop().await;
    assert_eq!(again.seen().len(), 2);
    assert!(again.ids().is_disjoint(&commands.ids()));
}

#[tokio::test]
async fn an_event_cut_off_half_way_comes_again_with_the_same_commands() {
    let mut platform = Platform::new();
    platform.append("1001", placed("1001", &["A", "B"]));
    let commands = FakeCommands::new();
    commands.hold("stock/B");
    let running = platform.start(&commands).await;
    until("both lines are asked for", || commands.seen().len() == 2).await;
    running.stop().await;

    let again = FakeCommands::new();
    let running = platform.start(&again).await;
    until("the order is reserved", || again.count("order/1001", "MarkReserved") == 1).await;
    running.stop().await;
    assert!(commands.ids().is_subset(&again.ids()), "the same commands under the same ids");
    assert_eq!(again.seen().len(), 3);
    let hashes = |commands: &FakeCommands| -> HashSet<_> {
        commands.seen().iter().map(|envelope| (envelope.command_id, envelope.hash())).collect()
    };
    assert!(hashes(&commands).is_subset(&hashes(&again)), "with the same content");
}

#[tokio::test]
async fn progress_is_noted_over_the_contiguous_prefix_only() {
    let mut platform = Platform::new();
    let [first, second] = orders_of_one_partition();
    platform.append(&first, placed(&first, &["STUCK"]));
    platform.append(&second, placed(&second, &["A"]));
    let commands = FakeCommands::new();
    commands.hold("stock/STUCK");
    let running = platform.start(&commands).await;
    let reserved = |id: &str| commands.count(&format!("order/{id}"), "MarkReserved") == 1;
    until("the later order is done", || reserved(&second) && running.handle.events_waiting() == 1).await;
    assert!(!reserved(&first));
    running.stop().await;
    assert_eq!(platform.committed(AggregateType::Order, 0), Some(0), "the open event holds the checkpoint");

    commands.let_go();
    let running = platform.start(&commands).await;
    // Three commands before, and all four now: the first event may be done before the second one is read.
    let is_all = || commands.seen().len() == 7 && running.handle.events_waiting() == 0;
    until("all is done", || reserved(&first) && is_all()).await;
    running.stop().await;
    assert_eq!(platform.committed(AggregateType::Order, 0), None, "nothing is left to deliver");
}

#[tokio::test]
async fn events_of_one_order_are_dealt_with_one_after_the_other() {
    let mut platform = Platform::new();
    let [first, second] = orders_of_one_partition();
    platform.append(&first, placed(&first, &["STUCK"]));
    platform.append(&first, cancelled(&first, "STUCK"));
    platform.append(&second, placed(&second, &["A"]));
    let commands = FakeCommands::new();
    commands.hold("stock/STUCK");
    let running = platform.start(&commands).await;
    until("the other order is done", || commands.count(&format!("order/{second}"), "MarkReserved") == 1)
        .await;
    assert_eq!(commands.count("stock/STUCK", "Release"), 0, "the cancellation waits for the reservation");
    commands.let_go();
    until("the stock is released", || commands.count("stock/STUCK", "Release") == 1).await;
    running.stop().await;
    let kinds: Vec<_> = commands
        .seen()
        .iter()
        .filter(|envelope| {
            is_for(&envelope.command, "stock/STUCK") || is_for(&envelope.command, &format!("order/{first}"))
        })
        .map(|envelope| format!("{:?}", envelope.command))
        .collect();
    let at = |kind: &str| kinds.iter().position(|command| command.contains(kind)).unwrap();
    assert!(at("Reserve(") < at("MarkReserved") && at("MarkReserved") < at("Release("));
}

#[tokio::test]
async fn a_refused_line_cancels_the_order_through_the_runner() {
    let mut platform = Platform::new();
    platform.append("1001", placed("1001", &["A", "B"]));
    let commands = FakeCommands::new();
    commands.decide(|envelope| {
        if is_for(&envelope.command, "stock/B") {
            Outcome::Rejected(Rejection::new(ErrorCode::InsufficientStock, "too few").fact("available", 0))
        } else {
            super::platform::accepted()
        }
    });
    let running = platform.start(&commands).await;
    until("the order is cancelled", || commands.count("order/1001", "B: 1 asked, 0 available") == 1).await;
    running.stop().await;
    assert_eq!(commands.count("order/1001", "MarkReserved"), 0);
}

#[tokio::test]
async fn reading_waits_while_too_much_is_open() {
    let mut platform = Platform::new();
    platform.config.events_waiting_max = 4;
    for n in 0..20 {
        let id = format!("order-{n}");
        platform.append(&id, placed(&id, &["STUCK"]));
    }
    let commands = FakeCommands::new();
    commands.hold("stock/STUCK");
    let running = platform.start(&commands).await;
    until("as much as allowed is open", || commands.seen().len() == 4).await;
    assert_eq!(running.handle.events_waiting(), 4);
    commands.let_go();
    until("all is done", || commands.seen().len() == 40 && running.handle.events_waiting() == 0).await;
    running.stop().await;
}
