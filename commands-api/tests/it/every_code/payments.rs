//! Payments.

use serde_json::{Value, json};

use crate::harness::{line, pounds};

use super::shop::Shop;

fn request(id: &str, pence: i64) -> Value {
    line("payment", id, "request", json!({"order_id": id, "amount": pounds(pence), "method": "card"}))
}

async fn authorised(shop: &Shop, id: &str) {
    for answer in shop.app.bulk("process:test", &Shop::authorised(id)).await {
        assert_eq!(answer["outcome"], "accepted", "{answer}");
    }
}

pub(super) async fn not_found(shop: &Shop) -> Value {
    shop.problem("POST", "/v1/payments/none/void", json!({"reason": "rest"})).await
}

pub(super) async fn exists(shop: &Shop) -> Value {
    shop.problem_of_last(&[request("twice", 1), request("twice", 2)]).await
}

pub(super) async fn wrong_status(shop: &Shop) -> Value {
    shop.app.bulk("process:test", &[request("early", 1)]).await;
    shop.problem("POST", "/v1/payments/early/capture", json!({})).await
}

pub(super) async fn amount_invalid(shop: &Shop) -> Value {
    authorised(shop, "zero").await;
    shop.problem("POST", "/v1/payments/zero/refund", json!({"amount": pounds(0)})).await
}

pub(super) async fn capture_exceeds_authorised(shop: &Shop) -> Value {
    authorised(shop, "greedy").await;
    shop.problem("POST", "/v1/payments/greedy/capture", json!({"amount": pounds(1_001)})).await
}

pub(super) async fn refund_exceeds_captured(shop: &Shop) -> Value {
    authorised(shop, "generous").await;
    shop.problem("POST", "/v1/payments/generous/refund", json!({"amount": pounds(1)})).await
}
