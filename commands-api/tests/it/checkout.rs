//! Checkout compares what the buyer has seen with what is.

use serde_json::{Value, json};

use crate::harness::{App, pounds};

async fn cart_with(app: &App, lines: &[(&str, i64, i64)]) {
    app.post("/v1/carts", json!({"id": "c"})).await.is(201);
    for (sku, quantity, pence) in lines {
        let line = json!({"sku": sku, "quantity": quantity, "unit_price": pounds(*pence)});
        app.post("/v1/carts/c/lines", line).await.is(200);
    }
}

fn kinds(body: &Value) -> Vec<&str> {
    body["changes"].as_array().unwrap().iter().map(|change| change["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_buyer_is_told_what_changed_and_buys_by_agreeing() {
    let app = App::start().await;
    app.sell("A", 100, 10).await;
    app.sell("B", 200, 10).await;
    app.sell("C", 300, 1).await;
    cart_with(&app, &[("A", 1, 100), ("B", 1, 150), ("C", 3, 300), ("GONE", 1, 5)]).await;
    let first = app.post("/v1/carts/c/checkout", json!({"country": "GB"})).await;
    assert_eq!((&first.is(200)["checked_out"], first.body.get("order_id")), (&json!(false), None));
    assert_eq!(kinds(&first.body), ["price_changed", "not_enough", "not_for_sale"]);
    let second = app.post("/v1/carts/c/checkout", json!({"country": "GB", "order_id": "o1"})).await;
    assert_eq!((&second.is(200)["checked_out"], &second.body["order_id"]), (&json!(true), &json!("o1")));
    let (_, bought) = app.events("cart/c").pop().unwrap();
    let lines: Vec<_> =
        bought["lines"].as_array().unwrap().iter().map(|line| (&line["sku"], &line["quantity"])).collect();
    assert_eq!(lines, [(&json!("A"), &json!(1)), (&json!("B"), &json!(1)), (&json!("C"), &json!(1))]);
    assert_eq!(bought["payment_method"], "sandbox");
    app.stop().await;
}

#[tokio::test]
async fn a_repeated_checkout_is_replayed_although_stock_has_moved_on() {
    let app = App::start().await;
    app.sell("A", 100, 10).await;
    cart_with(&app, &[("A", 1, 100)]).await;
    let check_out = || {
        app.call_with(&[("idempotency-key", "k")], "POST", "/v1/carts/c/checkout", json!({"country": "GB"}))
    };
    let first = check_out().await;
    assert_eq!(first.is(200)["checked_out"], true);
    app.post("/v1/stock/A/adjust", json!({"delta": -10, "reason": "flood"})).await.is(200);
    let second = check_out().await;
    assert_eq!((&second.is(200)["replayed"], &second.body["checked_out"]), (&json!(true), &json!(true)));
    assert_eq!(first.body["order_id"], second.body["order_id"]);
    app.stop().await;
}

#[tokio::test]
async fn carts_that_cannot_be_bought_are_refused() {
    let app = App::start().await;
    app.post("/v1/carts/none/checkout", json!({"country": "GB"})).await.is_problem(404, "cart_not_found");
    app.post("/v1/carts", json!({"id": "empty"})).await.is(201);
    app.post("/v1/carts/empty/checkout", json!({"country": "GB"})).await.is_problem(409, "cart_empty");
    app.stop().await;
}
