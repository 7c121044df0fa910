//! Orders.

use schemas::order::LINES_MAX;
use serde_json::{Value, json};

use crate::harness::pounds;

use super::shop::{Shop, problem};

fn order(id: &str, lines: Value) -> Value {
    json!({"id": id, "country": "GB", "lines": lines})
}

async fn take_back(shop: &Shop, id: &str, back: Value) -> Value {
    shop.problem("POST", &format!("/v1/orders/{id}/returns"), back).await
}

pub(super) async fn not_found(shop: &Shop) -> Value {
    shop.problem("POST", "/v1/orders/none/cancel", json!({})).await
}

pub(super) async fn exists(shop: &Shop) -> Value {
    shop.sells("O").await;
    shop.does("/v1/orders", order("twice", json!([{"sku": "O", "quantity": 1}]))).await;
    shop.problem("POST", "/v1/orders", order("twice", json!([{"sku": "O", "quantity": 2}]))).await
}

pub(super) async fn empty(shop: &Shop) -> Value {
    shop.problem("POST", "/v1/orders", order("empty", json!([]))).await
}

pub(super) async fn too_long(shop: &Shop) -> Value {
    let lines = vec![json!({"sku": "O", "quantity": 1}); LINES_MAX + 1];
    shop.problem("POST", "/v1/orders", order("long", json!(lines))).await
}

pub(super) async fn wrong_status(shop: &Shop) -> Value {
    shop.delivered("arrived").await;
    shop.problem("POST", "/v1/orders/arrived/cancel", json!({})).await
}

pub(super) async fn line_not_found(shop: &Shop) -> Value {
    shop.delivered("one-line").await;
    take_back(shop, "one-line", json!({"line": 2, "quantity": 1, "refund": pounds(1)})).await
}

pub(super) async fn line_invalid(shop: &Shop) -> Value {
    let importer = [("millrace-principal", "importer")];
    let lines = json!([{"sku": "O", "quantity": 1, "unit_price": pounds(5), "tax": pounds(6)}]);
    problem(shop.app.call_with(&importer, "POST", "/v1/orders", order("taxed", lines)).await)
}

pub(super) async fn return_exceeds_order(shop: &Shop) -> Value {
    shop.delivered("two-units").await;
    take_back(shop, "two-units", json!({"line": 1, "quantity": 3, "refund": pounds(1)})).await
}

pub(super) async fn refund_exceeds_price(shop: &Shop) -> Value {
    shop.delivered("cheap").await;
    take_back(shop, "cheap", json!({"line": 1, "quantity": 1, "refund": pounds(456)})).await
}
