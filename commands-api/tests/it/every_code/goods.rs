//! Products and stock.

use serde_json::{Value, json};

use crate::harness::{line, pounds};

use super::shop::Shop;

async fn draft(shop: &Shop, sku: &str) {
    shop.does("/v1/products", json!({"sku": sku, "name": "Mug"})).await;
}

pub(super) async fn product_not_found(shop: &Shop) -> Value {
    shop.problem("POST", "/v1/products/NONE/price", json!({"price": pounds(1)})).await
}

pub(super) async fn product_exists(shop: &Shop) -> Value {
    draft(shop, "TWICE").await;
    shop.problem("POST", "/v1/products", json!({"sku": "TWICE", "name": "Another mug"})).await
}

pub(super) async fn product_retired(shop: &Shop) -> Value {
    draft(shop, "OLD").await;
    shop.does("/v1/products/OLD/retire", json!({})).await;
    shop.problem("POST", "/v1/products/OLD/price", json!({"price": pounds(1)})).await
}

pub(super) async fn product_not_priced(shop: &Shop) -> Value {
    draft(shop, "PRICELESS").await;
    shop.problem("POST", "/v1/products/PRICELESS/publish", json!({})).await
}

pub(super) async fn product_not_published(shop: &Shop) -> Value {
    draft(shop, "SECRET").await;
    let lines = json!([{"sku": "SECRET", "quantity": 1}]);
    shop.problem("POST", "/v1/orders", json!({"country": "GB", "lines": lines})).await
}

pub(super) async fn insufficient_stock(shop: &Shop) -> Value {
    shop.problem("POST", "/v1/stock/NONE/adjust", json!({"delta": -1, "reason": "lost"})).await
}

fn reserve(sku: &str, units: i64) -> Value {
    line("stock", sku, "reserve", json!({"order_id": "o", "line": 1, "quantity": units}))
}

pub(super) async fn reservation_exists(shop: &Shop) -> Value {
    shop.sells("HELD").await;
    shop.problem_of_last(&[reserve("HELD", 2), reserve("HELD", 3)]).await
}

pub(super) async fn reservation_closed(shop: &Shop) -> Value {
    shop.sells("FREED").await;
    let release = line("stock", "FREED", "release", json!({"order_id": "o", "line": 1}));
    shop.problem_of_last(&[reserve("FREED", 2), release, reserve("FREED", 2)]).await
}

pub(super) async fn reservation_not_found(shop: &Shop) -> Value {
    let ship = json!({"order_id": "o", "line": 1, "shipment_id": "s"});
    shop.problem_of_last(&[line("stock", "NONE", "ship", ship)]).await
}

pub(super) async fn stock_limit(shop: &Shop) -> Value {
    shop.problem("POST", "/v1/stock/MANY/adjust", json!({"delta": i64::MAX, "reason": "found"})).await
}

pub(super) async fn reference_reused(shop: &Shop) -> Value {
    shop.does("/v1/stock/DOC/receive", json!({"quantity": 1, "reference": "D1"})).await;
    shop.problem("POST", "/v1/stock/DOC/receive", json!({"quantity": 2, "reference": "D1"})).await
}
