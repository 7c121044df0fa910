//! The same wish is granted once; a wish about another version is refused.

use serde_json::{Value, json};

use crate::harness::{App, ELSEWHERE, LOOPBACK, pounds};
use axum::body::Body;
use axum::http::Request;

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_again_and_says_so() {
    let app = App::start().await;
    let receive = || {
        app.call_with(
            &[("idempotency-key", "delivery-7")],
            "POST",
            "/v1/stock/A/receive",
            json!({"quantity": 5}),
        )
    };
    let (first, second) = (receive().await, receive().await);
    assert_eq!(
        (first.is(200)["replayed"].clone(), second.is(200)["replayed"].clone()),
        (json!(false), json!(true))
    );
    for field in ["command_id", "outcome", "version", "position", "stream"] {
        assert_eq!(first.body[field], second.body[field], "{field}");
    }
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(app.events("stock/A").len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_repeated_creation_reaches_the_same_instance() {
    let app = App::start().await;
    let register =
        || app.call_with(&[("idempotency-key", "k")], "POST", "/v1/customers", json!({"name": "A"}));
    let (first, second) = (register().await, register().await);
    assert_eq!(first.is(201)["id"], second.is(201)["id"]);
    assert_eq!(first.header("location"), second.header("location"));
    // Without a key it is another wish.
    let third = app.post("/v1/customers", json!({"name": "A"})).await;
    assert_ne!(third.is(201)["id"], first.body["id"]);
    app.stop().await;
}

#[tokio::test]
async fn the_command_id_of_an_answer_repeats_its_command() {
    let app = App::start().await;
    let first = app.post("/v1/stock/A/receive", json!({"quantity": 5})).await;
    let id = first.is(200)["command_id"].as_str().unwrap().to_owned();
    let headers = [("millrace-command-id", id.as_str())];
    let second = app.call_with(&headers, "POST", "/v1/stock/A/receive", json!({"quantity": 5})).await;
    assert_eq!((&second.is(200)["replayed"], &second.body["version"]), (&json!(true), &json!(1)));
    app.stop().await;
}

#[tokio::test]
async fn a_key_used_for_another_wish_is_refused() {
    let app = App::start().await;
    let receive = |units| {
        app.call_with(&[("idempotency-key", "k")], "POST", "/v1/stock/A/receive", json!({"quantity": units}))
    };
    receive(5).await.is(200);
    receive(6).await.is_problem(422, "idempotency_key_reused");
    assert_eq!(app.events("stock/A").len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_key_belongs_to_its_principal() {
    let app = App::start().await;
    let receive = |principal: &'static str| {
        let headers = [("idempotency-key", "k"), ("millrace-principal", principal)];
        async move { (headers, ()) }
    };
    let ((alice, ()), (bob, ())) = (receive("alice").await, receive("bob").await);
    app.call_with(&alice, "POST", "/v1/stock/A/receive", json!({"quantity": 5})).await.is(200);
    app.call_with(&bob, "POST", "/v1/stock/A/receive", json!({"quantity": 5})).await.is(200);
    let principals: Vec<_> = app.events("stock/A").iter().map(|(m, _)| m.principal.to_string()).collect();
    assert_eq!(principals, ["alice", "bob"]);
    app.stop().await;
}

#[tokio::test]
async fn a_repeated_order_is_replayed_although_price_and_sale_have_moved_on() {
    let app = App::start().await;
    app.sell("A", 255, 10).await;
    let order = || {
        let body = json!({"country": "GB", "lines": [{"sku": "A", "quantity": 2}]});
        app.call_with(&[("idempotency-key", "o")], "POST", "/v1/orders", body)
    };
    let first = order().await;
    first.is(201);
    app.post("/v1/products/A/price", json!({"price": pounds(999)})).await.is(200);
    let repriced = order().await;
    assert_eq!(
        (&repriced.is(201)["replayed"], &repriced.body["position"]),
        (&json!(true), &first.body["position"])
    );
    app.post("/v1/products/A/retire", Value::Null).await.is(200);
    let retired = order().await;
    assert_eq!((&retired.is(201)["replayed"], &retired.body["id"]), (&json!(true), &first.body["id"]));
    assert_eq!(app.events(first.body["stream"].as_str().unwrap()).len(), 1);
    // Another wish under the same key is still found out.
    let body = json!({"country": "GB", "lines": [{"sku": "A", "quantity": 3}]});
    let other = app.call_with(&[("idempotency-key", "o")], "POST", "/v1/orders", body).await;
    other.is_problem(422, "idempotency_key_reused");
    app.stop().await;
}

#[tokio::test]
async fn if_match_of_another_version_is_refused_and_changes_nothing() {
    let app = App::start().await;
    let receive = |version: &'static str| async {
        app.call_with(&[("if-match", version)], "POST", "/v1/stock/A/receive", json!({"quantity": 1})).await
    };
    receive("\"0\"").await.is(200);
    let conflict = receive("\"0\"").await;
    assert_eq!(conflict.is_problem(412, "version_conflict")["current_version"], 1);
    assert_eq!(receive("\"1\"").await.header("etag"), "\"2\"");
    assert_eq!(app.events("stock/A").len(), 2);
    app.stop().await;
}

#[tokio::test]
async fn a_rejection_is_replayed_too() {
    let app = App::start().await;
    let publish =
        || app.call_with(&[("idempotency-key", "k")], "POST", "/v1/products/A/publish", Value::Null);
    let first = publish().await;
    first.is_problem(404, "product_not_found");
    assert_eq!(first.header("idempotency-replayed"), "");
    let second = publish().await;
    second.is_problem(404, "product_not_found");
    assert_eq!(second.header("idempotency-replayed"), "true");
    app.stop().await;
}

#[tokio::test]
async fn what_is_so_already_is_unchanged_and_has_no_position() {
    let app = App::start().await;
    app.sell("A", 100, 1).await;
    let reply = app.post("/v1/products/A/publish", Value::Null).await;
    assert_eq!((&reply.is(200)["outcome"], &reply.body["version"]), (&json!("unchanged"), &json!(3)));
    assert!(!reply.headers.contains_key("millrace-position") && reply.body.get("position").is_none());
    let again = app.post("/v1/products", json!({"sku": "A", "name": "Product A"})).await;
    assert_eq!(again.is(200)["outcome"], "unchanged");
    app.stop().await;
}

#[tokio::test]
async fn trace_context_and_principal_are_recorded_with_the_event() {
    let app = App::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = |peer: &'static str| {
        let request = Request::post("/v1/stock/A/receive")
            .header("content-type", "application/json")
            .header("traceparent", trace)
            .header("millrace-principal", "clerk")
            .body(Body::from(r#"{"quantity": 1}"#))
            .unwrap();
        app.send(Some(peer), request)
    };
    request(LOOPBACK).await.is(200);
    request(ELSEWHERE).await.is(200);
    let events = app.events("stock/A");
    let who: Vec<_> = events.iter().map(|(metadata, _)| metadata.principal.as_str()).collect();
    assert_eq!(who, ["clerk", "anonymous"]);
    assert!(events.iter().all(|(metadata, _)| metadata.traceparent.as_deref() == Some(trace)));
    app.stop().await;
}
