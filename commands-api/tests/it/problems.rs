//! Every problem that the API itself finds, named, with the command id, and without effect.

use aggregate_host::HostConfig;
use axum::body::Body;
use axum::http::Request;
use commands_api::CommandsApiConfig;
use serde_json::{Value, json};
use service_kit::FailPoint;

use crate::harness::{App, LOOPBACK, Reply, SOON};

async fn receive(app: &App, content_type: &str, body: impl Into<Body>) -> Reply {
    let request =
        Request::post("/v1/stock/A/receive").header("content-type", content_type).body(body.into()).unwrap();
    app.send(Some(LOOPBACK), request).await
}

#[tokio::test]
async fn a_broken_body_is_named_and_changes_nothing() {
    let app = App::start().await;
    receive(&app, "application/json", "{\"quantity\":").await.is_problem(400, "invalid_request");
    let reply = receive(&app, "application/json", r#"{"quantity": 0}"#).await;
    assert_eq!(reply.is_problem(422, "invalid_value")["field"], "quantity");
    let reply = receive(&app, "application/json", r#"{"quantity": 1, "colour": "red"}"#).await;
    assert!(reply.is_problem(422, "invalid_value")["detail"].as_str().unwrap().contains("colour"));
    // Nothing at all counts as an empty object, which lacks the quantity.
    let reply = receive(&app, "text/plain", "").await;
    assert!(reply.is_problem(422, "invalid_value")["detail"].as_str().unwrap().contains("quantity"));
    receive(&app, "text/plain", r#"{"quantity": 1}"#).await.is_problem(415, "unsupported_media_type");
    assert!(app.events("stock/A").is_empty());
    app.stop().await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let config = CommandsApiConfig { body_bytes_max: 1_000, ..CommandsApiConfig::default() };
    let app = App::start_with(config, HostConfig::default()).await;
    let body = |length: usize| format!("{}{{\"quantity\": 1}}", " ".repeat(length - 15));
    receive(&app, "application/json", body(1_001)).await.is_problem(413, "body_too_large");
    receive(&app, "application/json", body(1_000)).await.is(200);
    app.stop().await;
}

#[tokio::test]
async fn broken_headers_and_paths_are_named() {
    let app = App::start().await;
    let long = "k".repeat(256);
    for (name, value) in [
        ("idempotency-key", "a b"),
        ("idempotency-key", long.as_str()),
        ("if-match", "3"),
        ("millrace-command-id", "not-a-uuid"),
        ("millrace-principal", "a/b"),
    ] {
        let reply =
            app.call_with(&[(name, value)], "POST", "/v1/stock/A/receive", json!({"quantity": 1})).await;
        reply.is_problem(400, "invalid_request");
    }
    let both = [("idempotency-key", "k"), ("millrace-command-id", "0192f0c1-2345-7000-8000-000000000001")];
    app.call_with(&both, "POST", "/v1/stock/A/receive", json!({"quantity": 1}))
        .await
        .is_problem(400, "invalid_request");
    app.post("/v1/stock/a%2Fb/receive", json!({"quantity": 1})).await.is_problem(400, "invalid_request");
    assert!(app.events("stock/A").is_empty());
    app.stop().await;
}

#[tokio::test]
async fn requests_beyond_the_limit_are_answered_overloaded() {
    let config =
        CommandsApiConfig { requests_in_flight_max: 0, bulk_requests_max: 0, ..CommandsApiConfig::default() };
    let app = App::start_with(config, HostConfig::default()).await;
    let reply = app.post("/v1/stock/A/receive", json!({"quantity": 1})).await;
    assert_eq!(reply.is_problem(429, "overloaded")["limit"], "requests_in_flight_max");
    let bulk = Request::post("/v1/commands").header("content-type", "application/x-ndjson");
    let reply = app.send(Some(LOOPBACK), bulk.body(Body::from("{}\n")).unwrap()).await;
    assert_eq!((reply.status.as_u16(), &reply.body["limit"]), (429, &json!("bulk_requests_max")));
    assert!(reply.headers.contains_key("retry-after"));
    app.stop().await;
}

#[tokio::test]
async fn an_unknown_outcome_names_the_id_under_which_repeating_tells() {
    for (point, landed) in
        [(FailPoint::EMBEDDED_BEFORE_WRITE, false), (FailPoint::EMBEDDED_AFTER_WRITE, true)]
    {
        let host = HostConfig { answer_timeout_ms: 1_000, ..HostConfig::default() };
        let app = App::start_with(CommandsApiConfig::default(), host).await;
        // The log stays closed, so that nobody can say what became of it.
        let armed =
            app.arm(&[(point, "1*return(unknown)"), (FailPoint::EMBEDDED_BEFORE_REOPEN, "return(unknown)")]);
        let reply = app.post("/v1/stock/A/receive", json!({"quantity": 1})).await;
        assert_eq!(reply.is_problem(503, "outcome_unknown")["retry"], "after-backoff");
        let id = reply.header("millrace-command-id").to_owned();
        drop(armed);

        assert!(app.host.serving(2, SOON).await, "the shards serve again, in the same process");
        let deadline = tokio::time::Instant::now() + SOON;
        let again = loop {
            let id = [("millrace-command-id", id.as_str())];
            let again = app.call_with(&id, "POST", "/v1/stock/A/receive", json!({"quantity": 1})).await;
            if again.status.as_u16() == 200 {
                break again;
            }
            again.is_problem(503, "shard_unavailable");
            assert!(tokio::time::Instant::now() < deadline, "the shard serves again in time");
        };
        assert_eq!((&again.body["version"], &again.body["replayed"]), (&json!(1), &json!(landed)));
        assert_eq!(app.events("stock/A").len(), 1);
        app.stop().await;
    }
}

#[tokio::test]
async fn a_host_that_stops_refuses_what_comes_after() {
    let app = App::start().await;
    app.host.stop();
    let deadline = tokio::time::Instant::now() + SOON;
    while app.host.serving_now() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the shards are handed back in time");
        tokio::task::yield_now().await;
    }
    app.post("/v1/stock/A/receive", json!({"quantity": 1})).await.is_problem(503, "shutting_down");
    let order = json!({"country": "GB", "lines": [{"sku": "A", "quantity": 1}]});
    app.post("/v1/orders", order).await.is_problem(503, "shutting_down");
    let answers = app
        .bulk(
            "anonymous",
            &[json!({"aggregate": "stock", "id": "A", "type": "receive", "data": {"quantity": 1}})],
        )
        .await;
    assert_eq!(answers[0]["problem"]["code"], "shutting_down");
    app.stop().await;
}

#[tokio::test]
async fn a_rule_s_refusal_carries_its_facts_and_a_hint() {
    let app = App::start().await;
    let reply = app.post("/v1/stock/A/adjust", json!({"delta": -5, "reason": "lost"})).await;
    let problem = reply.is_problem(409, "insufficient_stock");
    assert!(problem["hint"].is_string() && problem["detail"].is_string());
    assert_eq!(problem["available"], 0, "{problem}");
    let reply = app.call("DELETE", "/v1/carts/none/lines/A", Value::Null).await;
    reply.is_problem(404, "cart_not_found");
    app.stop().await;
}
