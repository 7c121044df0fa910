//! Facts that only a process manager can know are a process manager's to state.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::{App, ELSEWHERE, line, pounds};

/// Every command that only process managers may send.
fn of_processes() -> Vec<Value> {
    let goods = json!([{"line": 1, "sku": "A", "quantity": 1}]);
    let taken_back = json!({"order_id": "o", "line": 1, "quantity": 1, "reference": "r", "restock": true});
    let reference = json!({"reference": "r", "provider_reference": "p"});
    let failed = json!({"reference": "r", "code": "c", "message": "m"});
    vec![
        line("order", "o", "mark_reserved", json!({})),
        line("order", "o", "confirm", json!({})),
        line("order", "o", "mark_shipped", json!({"shipment_id": "s"})),
        line("order", "o", "mark_delivered", json!({})),
        line("order", "o", "cancel", json!({"reason": "out_of_stock"})),
        line("order", "o", "cancel", json!({"reason": "payment_declined"})),
        line("order", "o", "cancel", json!({"reason": "payment_expired"})),
        line("order", "o", "cancel", json!({"reason": "reservation_expired"})),
        line("order", "o", "cancel", json!({"reason": "shipment_failed"})),
        line("payment", "o", "request", json!({"order_id": "o", "amount": pounds(1), "method": "m"})),
        line("payment", "o", "record_authorised", json!({"amount": pounds(1), "provider_reference": "p"})),
        line("payment", "o", "record_declined", json!({"code": "c", "message": "m"})),
        line("payment", "o", "record_captured", reference.clone()),
        line("payment", "o", "record_capture_failed", failed.clone()),
        line("payment", "o", "record_voided", json!({"provider_reference": "p"})),
        line("payment", "o", "record_refunded", reference),
        line("payment", "o", "record_refund_failed", failed),
        line("payment", "o", "unwind", json!({"reason": "r"})),
        line("stock", "A", "reserve", json!({"order_id": "o", "line": 1, "quantity": 1})),
        line("stock", "A", "release", json!({"order_id": "o", "line": 1})),
        line("stock", "A", "ship", json!({"order_id": "o", "line": 1, "shipment_id": "s"})),
        line("stock", "A", "return", taken_back),
        line("shipment", "s", "create", json!({"order_id": "o", "goods": goods, "carrier": "c"})),
        line("shipment", "s", "dispatch", json!({"tracking_number": "t"})),
    ]
}

fn stated_order() -> Value {
    let stated = json!({"line": 1, "sku": "A", "kind": "goods", "name": "A", "quantity": 1, "unit_price": pounds(5),
                        "discount": pounds(0), "tax_class": "zero", "tax": pounds(0), "total": pounds(5)});
    let place = json!({"channel": "import", "country": "GB", "currency": "GBP", "lines": [stated], "payment_method": "x"});
    line("order", "o", "place", place)
}

#[tokio::test]
async fn commands_of_process_managers_are_refused_to_everybody_else() {
    let app = App::start().await;
    for who in ["anonymous", "importer", "processing"] {
        for answer in app.bulk(who, &of_processes()).await {
            assert_eq!(answer["problem"]["code"], "forbidden", "{who}: {answer}");
            assert_eq!(answer["problem"]["status"], 403);
            assert!(answer.get("outcome").is_none() && answer["command_id"].is_string());
        }
    }
    for answer in app.bulk("process:checkout", &of_processes()).await {
        assert!(answer["outcome"].is_string(), "{answer}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_process_manager_elsewhere_is_nobody() {
    let app = App::start().await;
    let request = || {
        Request::post("/v1/commands")
            .header("content-type", "application/x-ndjson")
            .header("millrace-principal", "process:checkout")
            .body(Body::from(of_processes()[0].to_string()))
            .unwrap()
    };
    for peer in [Some(ELSEWHERE), None] {
        let reply = app.send(peer, request()).await;
        assert_eq!(reply.is(200)["problem"]["code"], "forbidden", "{peer:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn stated_prices_and_past_times_are_for_importers_and_process_managers() {
    let app = App::start().await;
    let mut past = line("stock", "A", "receive", json!({"quantity": 1}));
    past["occurred_at"] = "2011-01-04T10:00:00Z".into();
    let quoted = json!({"order_id": "o", "quotes": [], "country": "GB", "payment_method": "x"});
    let lines = [stated_order(), past, line("cart", "c", "check_out", quoted)];
    for answer in app.bulk("anonymous", &lines).await {
        assert_eq!(answer["problem"]["code"], "forbidden", "{answer}");
    }
    for who in ["importer", "process:checkout"] {
        for answer in app.bulk(who, &lines).await {
            assert!(answer["outcome"].is_string(), "{who}: {answer}");
        }
    }
    assert_eq!(app.events("stock/A")[0].0.occurred_at.to_string(), "2011-01-04T10:00:00.000Z");
    app.stop().await;
}

#[tokio::test]
async fn the_cancel_route_takes_a_buyer_s_or_clerk_s_reason_only() {
    let app = App::start().await;
    let cancel = |reason: &'static str| app.post("/v1/orders/o/cancel", json!({"reason": reason}));
    cancel("shipment_failed").await.is_problem(403, "forbidden");
    cancel("staff_decision").await.is_problem(404, "order_not_found");
    app.stop().await;
}
