//! Carts.

use schemas::cart::LINES_MAX;
use serde_json::{Value, json};

use crate::harness::{line, pounds};

use super::shop::Shop;

async fn open(shop: &Shop, id: &str) {
    shop.does("/v1/carts", json!({"id": id})).await;
}

fn item(sku: &str) -> Value {
    json!({"sku": sku, "quantity": 1, "unit_price": pounds(455)})
}

pub(super) async fn not_found(shop: &Shop) -> Value {
    shop.problem("POST", "/v1/carts/none/lines", item("C")).await
}

pub(super) async fn exists(shop: &Shop) -> Value {
    open(shop, "twice").await;
    shop.problem("POST", "/v1/carts", json!({"id": "twice", "channel": "app"})).await
}

pub(super) async fn closed(shop: &Shop) -> Value {
    shop.sells("BOUGHT").await;
    open(shop, "bought").await;
    shop.does("/v1/carts/bought/lines", item("BOUGHT")).await;
    shop.does("/v1/carts/bought/checkout", json!({"country": "GB"})).await;
    shop.problem("POST", "/v1/carts/bought/lines", item("BOUGHT")).await
}

pub(super) async fn claimed(shop: &Shop) -> Value {
    shop.does("/v1/carts", json!({"id": "claimed", "customer_id": "17850"})).await;
    shop.problem("POST", "/v1/carts/claimed/claim", json!({"customer_id": "13047"})).await
}

pub(super) async fn empty(shop: &Shop) -> Value {
    open(shop, "empty").await;
    shop.problem("POST", "/v1/carts/empty/checkout", json!({"country": "GB"})).await
}

pub(super) async fn line_not_found(shop: &Shop) -> Value {
    open(shop, "lines").await;
    shop.problem("DELETE", "/v1/carts/lines/lines/NONE", Value::Null).await
}

pub(super) async fn full(shop: &Shop) -> Value {
    open(shop, "full").await;
    let lines: Vec<_> =
        (0..=LINES_MAX).map(|i| line("cart", "full", "add", item(&format!("C{i}")))).collect();
    shop.problem_of_last(&lines).await
}

pub(super) async fn currency_mismatch(shop: &Shop) -> Value {
    open(shop, "pounds").await;
    let euros = json!({"amount_minor": 1, "currency": "EUR"});
    let item = json!({"sku": "C", "quantity": 1, "unit_price": euros});
    shop.problem("POST", "/v1/carts/pounds/lines", item).await
}
