//! Customers.

use serde_json::{Value, json};

use crate::harness::line;

use super::shop::Shop;

/// As many tags as a customer may have.
const TAGS_MAX: usize = 100;

async fn register(shop: &Shop, id: &str) {
    shop.does("/v1/customers", json!({"id": id, "name": "A. Buyer"})).await;
}

pub(super) async fn not_found(shop: &Shop) -> Value {
    shop.problem("PUT", "/v1/customers/none", json!({"name": "A. Buyer"})).await
}

pub(super) async fn exists(shop: &Shop) -> Value {
    register(shop, "twice").await;
    shop.problem("POST", "/v1/customers", json!({"id": "twice", "name": "B. Buyer"})).await
}

pub(super) async fn address_not_found(shop: &Shop) -> Value {
    register(shop, "homeless").await;
    shop.problem("DELETE", "/v1/customers/homeless/addresses/home", Value::Null).await
}

pub(super) async fn limit(shop: &Shop) -> Value {
    register(shop, "tagged").await;
    let tag = |i: usize| line("customer", "tagged", "add_tag", json!({"tag": format!("t{i}")}));
    shop.problem_of_last(&(0..=TAGS_MAX).map(tag).collect::<Vec<_>>()).await
}
