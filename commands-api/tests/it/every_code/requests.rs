//! What is wrong with a request, whatever it is about.

use serde_json::{Value, json};

use super::shop::{Shop, problem};

const RECEIVE: &str = "/v1/stock/R/receive";

pub(super) async fn invalid_request(shop: &Shop) -> Value {
    shop.problem_of("application/json", RECEIVE, "{").await
}

pub(super) async fn forbidden(shop: &Shop) -> Value {
    let price = json!({"amount_minor": 1, "currency": "GBP"});
    let lines = json!([{"sku": "R", "quantity": 1, "unit_price": price}]);
    shop.problem("POST", "/v1/orders", json!({"country": "GB", "lines": lines})).await
}

pub(super) async fn not_found(shop: &Shop) -> Value {
    shop.problem("GET", "/v1/nothing", Value::Null).await
}

pub(super) async fn method_not_allowed(shop: &Shop) -> Value {
    shop.problem("PATCH", "/v1/orders", Value::Null).await
}

pub(super) async fn unsupported_media_type(shop: &Shop) -> Value {
    shop.problem_of("text/csv", RECEIVE, "quantity\n1\n").await
}

pub(super) async fn body_too_large(shop: &Shop) -> Value {
    shop.problem_of("application/json", RECEIVE, " ".repeat((1 << 20) + 1)).await
}

pub(super) async fn invalid_value(shop: &Shop) -> Value {
    shop.problem("POST", RECEIVE, json!({"quantity": 0})).await
}

pub(super) async fn idempotency_key_reused(shop: &Shop) -> Value {
    let key = [("idempotency-key", "reused")];
    shop.app.call_with(&key, "POST", RECEIVE, json!({"quantity": 1})).await.is(200);
    problem(shop.app.call_with(&key, "POST", RECEIVE, json!({"quantity": 2})).await)
}

pub(super) async fn version_conflict(shop: &Shop) -> Value {
    let belief = [("if-match", "\"77\"")];
    problem(shop.app.call_with(&belief, "POST", RECEIVE, json!({"quantity": 1})).await)
}
