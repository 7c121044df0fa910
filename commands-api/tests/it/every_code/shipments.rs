//! Shipments.

use serde_json::{Value, json};

use crate::harness::line;

use super::shop::Shop;

fn create(id: &str, units: &[i64]) -> Value {
    let goods: Vec<_> = units.iter().map(|units| json!({"line": 1, "sku": "S", "quantity": units})).collect();
    line("shipment", id, "create", json!({"order_id": "o", "goods": goods, "carrier": "sandbox"}))
}

pub(super) async fn not_found(shop: &Shop) -> Value {
    shop.problem("POST", "/v1/shipments/none/deliver", json!({})).await
}

pub(super) async fn exists(shop: &Shop) -> Value {
    shop.problem_of_last(&[create("twice", &[1]), create("twice", &[2])]).await
}

pub(super) async fn empty(shop: &Shop) -> Value {
    shop.problem_of_last(&[create("empty", &[])]).await
}

pub(super) async fn wrong_status(shop: &Shop) -> Value {
    shop.app.bulk("process:test", &[create("packed", &[1])]).await;
    shop.problem("POST", "/v1/shipments/packed/track", json!({"code": "hub"})).await
}
