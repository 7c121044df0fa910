//! However the provider behaves, one final word is recorded under one command id.

use schemas::payment::PaymentRequested;

use super::platform::{FakeCommands, Platform, order, pounds, until};

fn requested(method: &str) -> PaymentRequested {
    PaymentRequested {
        payment_id: order("1001").payment_id(),
        order_id: order("1001"),
        customer_id: None,
        amount: pounds(1_000),
        method: method.to_owned(),
    }
}

#[tokio::test]
async fn every_way_to_misbehave_leads_to_one_recorded_authorisation() {
    for method in [
        "sandbox",
        "sandbox:timeout",
        "sandbox:timeout-before",
        "sandbox:late",
        "sandbox:twice",
        "sandbox:reorder",
    ] {
        let mut platform = Platform::new();
        platform.append("1001", requested(method));
        let commands = FakeCommands::new();
        let running = platform.start(&commands).await;
        until(method, || commands.count("payment/1001", "RecordAuthorised") == 1).await;
        if matches!(method, "sandbox:twice" | "sandbox:reorder") {
            until("the result comes twice", || commands.seen().len() >= 2).await;
        }
        until("the event is done", || running.handle.events_waiting() == 0).await;
        running.stop().await;
        assert_eq!(commands.ids().len(), 1, "{method}: however often, it is one command");
        assert_eq!(platform.payments.balance(&order("1001").payment_id()).authorised, 1_000, "{method}");
        let seen = commands.seen();
        assert!(
            seen.iter().all(|e| e.hash() == seen[0].hash() && e.correlation_id == seen[0].correlation_id)
        );
    }
}

#[tokio::test]
async fn a_declined_payment_is_recorded_as_such() {
    let mut platform = Platform::new();
    platform.append("1001", requested("sandbox:decline"));
    let commands = FakeCommands::new();
    let running = platform.start(&commands).await;
    until("it is recorded", || commands.count("payment/1001", "RecordDeclined") == 1).await;
    running.stop().await;
    assert_eq!(platform.payments.balance(&order("1001").payment_id()).authorised, 0);
}

#[tokio::test]
async fn a_pending_result_whose_notification_was_lost_is_asked_for() {
    let mut platform = Platform::new();
    platform.append("1001", requested("sandbox:reorder"));
    let commands = FakeCommands::new();
    // The first process passes the event on, and the notification finds nobody who records it.
    commands.hold("payment/1001");
    let running = platform.start(&commands).await;
    until("the event is done", || running.handle.events_waiting() == 0 && running.handle.matters_open() == 1)
        .await;
    until("the notification is taken", || !commands.seen().is_empty()).await;
    running.stop().await;

    let again = FakeCommands::new();
    let running = platform.start(&again).await;
    // The process takes a quiet partition for dealt with after five seconds; the matter is looked at after two.
    platform.clock.advance(10_000);
    until("the result is asked for", || {
        platform.clock.advance(1_000);
        again.count("payment/1001", "RecordAuthorised") == 1
    })
    .await;
    running.stop().await;
    assert_eq!(again.ids(), commands.ids());
}
