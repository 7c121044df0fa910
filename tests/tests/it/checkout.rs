//! Orders from placed to their end, whatever the payment provider and the carrier do.

use serde_json::json;
use testkit::{Shape, eventually};

use crate::shop::{ended, place, start, stock_becomes, stock_up, verify_settled};

#[tokio::test]
async fn an_order_goes_through_to_delivered_and_its_history_says_how() {
    for shape in Shape::all() {
        let app = start(shape).await;
        stock_up(&app, "MUG", 455, 10).await;
        let order = place(&app, "MUG", 3, "sandbox").await;
        let document = ended(&app, &order).await;
        assert_eq!(document["status"], "delivered", "{document:#}");
        assert_eq!(document["lines"][0]["quantity"], 3);
        stock_becomes(&app, "MUG", 7, 0, 7).await;
        let report = verify_settled(&app).await;
        assert_eq!((&report["captured"], &report["refunded"]), (&json!(1365), &json!(0)));
        let history = app.get(&format!("/v1/streams/order/{order}")).await.ok();
        let history = history.as_array().unwrap();
        let types: Vec<_> = history.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(
            types,
            ["placed", "reserved", "confirmed", "shipped", "delivered"]
                .map(|name| format!("millrace.order.{name}.v1"))
        );
        let correlation = &history[0]["correlation_id"];
        assert!(history.iter().all(|event| event["correlation_id"] == *correlation));
        assert!(
            history[1..].iter().all(|event| event["principal"].as_str().unwrap().starts_with("process:"))
        );
    }
}

#[tokio::test]
async fn a_declined_payment_ends_in_a_cancelled_order_with_the_stock_released() {
    for shape in Shape::all() {
        let app = start(shape).await;
        stock_up(&app, "MUG", 455, 10).await;
        let order = place(&app, "MUG", 3, "sandbox:decline").await;
        let document = ended(&app, &order).await;
        assert_eq!(document["status"], "cancelled");
        assert_eq!(document["cancel"]["reason"], "payment_declined", "{document:#}");
        assert!(!document["cancel"]["detail"].as_str().unwrap().is_empty());
        stock_becomes(&app, "MUG", 10, 0, 10).await;
        let report = verify_settled(&app).await;
        assert_eq!(report["authorised"], 0);
    }
}

#[tokio::test]
async fn a_missing_item_ends_in_a_cancelled_order_that_names_it_and_holds_nothing() {
    for shape in Shape::all() {
        let app = start(shape).await;
        stock_up(&app, "MUG", 455, 10).await;
        stock_up(&app, "BOWL", 900, 1).await;
        let lines = json!([{"sku": "MUG", "quantity": 2}, {"sku": "BOWL", "quantity": 2}]);
        let order =
            json!({"id": "both", "country": "United Kingdom", "payment_method": "sandbox", "lines": lines});
        app.post("/v1/orders", order).await.ok();
        let document = ended(&app, "both").await;
        assert_eq!(document["cancel"]["reason"], "out_of_stock", "{document:#}");
        assert!(document["cancel"]["detail"].as_str().unwrap().contains("BOWL"));
        stock_becomes(&app, "MUG", 10, 0, 10).await;
        stock_becomes(&app, "BOWL", 1, 0, 1).await;
        verify_settled(&app).await;
    }
}

#[tokio::test]
async fn time_outs_duplicates_and_reorderings_of_the_provider_change_no_final_balance() {
    for shape in Shape::all() {
        let app = start(shape).await;
        stock_up(&app, "MUG", 455, 100).await;
        let methods = [
            "sandbox",
            "sandbox:timeout",
            "sandbox:timeout-before",
            "sandbox:late",
            "sandbox:twice",
            "sandbox:reorder",
        ];
        let mut orders = Vec::new();
        for method in methods {
            orders.push((method, place(&app, "MUG", 2, method).await));
        }
        for (method, order) in &orders {
            let document = ended(&app, order).await;
            assert_eq!(document["status"], "delivered", "{method}: {document:#}");
        }
        let report = verify_settled(&app).await;
        let due = 2 * 455 * i64::try_from(orders.len()).unwrap();
        assert_eq!((&report["authorised"], &report["captured"]), (&json!(due), &json!(due)), "{report:#}");
        for (method, order) in &orders {
            let payment = app.get(&format!("/v1/payments/{order}")).await.ok();
            let balance = json!({"authorised": 910, "captured": 910, "voided": 0, "open": 0, "refunded": 0});
            assert_eq!(payment["balance"], balance, "{method}: {payment:#}");
        }
        stock_becomes(&app, "MUG", 88, 0, 88).await;
    }
}

#[tokio::test]
async fn a_return_restocks_and_refunds_once_however_often_it_is_sent() {
    let app = start(Shape::Embedded).await;
    stock_up(&app, "MUG", 455, 10).await;
    let order = place(&app, "MUG", 3, "sandbox").await;
    ended(&app, &order).await;
    let path = format!("/v1/orders/{order}/returns");
    let refund = json!({"amount_minor": 455, "currency": "GBP"});
    let back = json!({"reference": "R1/1", "line": 1, "quantity": 1, "refund": refund, "restock": true});
    for _ in 0..3 {
        app.post(&path, back.clone()).await.ok();
    }
    stock_becomes(&app, "MUG", 8, 0, 8).await;
    let report = verify_settled(&app).await;
    assert_eq!(report["refunded"], 455);
    let too_many = json!({"reference": "R2/1", "line": 1, "quantity": 3, "refund": {"amount_minor": 1, "currency": "GBP"}, "restock": true});
    let refused = app.post(&path, too_many).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("return_exceeds_order")));
}

#[tokio::test]
async fn a_buyer_is_told_what_changed_before_a_cart_becomes_an_order() {
    let app = start(Shape::Embedded).await;
    stock_up(&app, "MUG", 455, 10).await;
    app.post("/v1/carts", json!({"id": "c1", "currency": "GBP"})).await.ok();
    app.post(
        "/v1/carts/c1/lines",
        json!({"sku": "MUG", "quantity": 2, "unit_price": {"amount_minor": 455, "currency": "GBP"}}),
    )
    .await
    .ok();
    app.post("/v1/products/MUG/price", json!({"price": {"amount_minor": 500, "currency": "GBP"}})).await.ok();
    let checkout = json!({"country": "United Kingdom", "payment_method": "sandbox"});
    let told = app.post("/v1/carts/c1/checkout", checkout.clone()).await.ok();
    assert_eq!(told["checked_out"], false, "{told:#}");
    assert_eq!(told["changes"][0]["kind"], "price_changed");
    let bought = app.post("/v1/carts/c1/checkout", checkout).await.ok();
    assert_eq!(bought["checked_out"], true, "{bought:#}");
    let document = ended(&app, bought["order_id"].as_str().unwrap()).await;
    assert_eq!(document["total"]["amount_minor"], 1000);
    verify_settled(&app).await;
}

#[tokio::test]
async fn a_query_that_names_the_command_s_position_sees_the_command() {
    let app = start(Shape::Embedded).await;
    stock_up(&app, "MUG", 455, 1).await;
    for units in 1..50 {
        let answer = app.post("/v1/stock/MUG/receive", json!({"quantity": 1})).await;
        let position = answer.header("Millrace-Position").to_owned();
        assert!(!position.is_empty());
        assert_eq!(app.get_at("/v1/stock/MUG", &position).await.ok()["on_hand"], 1 + units);
    }
    let future = "millrace.stock.events/0@999999,millrace.stock.events/1@999999";
    let behind = app.get_at("/v1/stock/MUG", future).await;
    assert_eq!((behind.status, &behind.body["code"]), (503, &json!("read_model_behind")));
    assert!(!behind.header("Retry-After").is_empty());
    eventually("the platform still answers", || async {
        (app.get("/v1/stock/MUG").await.status == 200).then_some(())
    })
    .await;
}
