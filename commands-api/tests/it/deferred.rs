//! `Prefer: respond-async`: durable at once, decided once, its outcome to be had by its id.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{App, Reply, SOON};

const ASYNC: (&str, &str) = ("prefer", "wait=1, respond-async");

impl App {
    /// Asks until the command is decided.
    async fn decided(&self, deferred: &Reply) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let status = self.call("GET", deferred.header("location"), Value::Null).await;
            let body = status.is(200);
            if body["outcome"] != "undecided" {
                return body.clone();
            }
            assert_eq!(status.header("retry-after"), "1");
            assert!(Instant::now() < deadline, "still undecided");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_deferred_command_is_decided_once_and_tells_its_outcome() {
    let app = App::start().await;
    let key = ("idempotency-key", "k1");
    let path = "/v1/stock/A 1/receive".replace(' ', "%20");
    let first = app.call_with(&[ASYNC, key], "POST", &path, json!({"quantity": 3})).await;
    let body = first.is(202);
    assert_eq!((&body["outcome"], &body["stream"]), (&json!("deferred"), &json!("stock/A 1")));
    assert_eq!(first.header("preference-applied"), "respond-async");
    assert!(body["position"].as_str().unwrap().starts_with("millrace.commands/"), "{body}");
    let again = app.call_with(&[ASYNC, key], "POST", &path, json!({"quantity": 3})).await;
    assert_eq!(again.header("location"), first.header("location"), "one command, one place to look");

    let outcome = app.decided(&first).await;
    assert_eq!((&outcome["outcome"], &outcome["version"]), (&json!("accepted"), &json!(1)));
    // Asked again without the preference, it is known already.
    let waited = app.call_with(&[key], "POST", &path, json!({"quantity": 3})).await;
    assert_eq!(waited.is(200)["version"], 1);
    assert_eq!(waited.header("idempotency-replayed"), "true");
    assert_eq!(app.events("stock/A 1").len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn who_sent_a_deferred_command_is_recorded_with_its_event() {
    let app = App::start().await;
    let clerk = ("millrace-principal", "clerk");
    let deferred =
        app.call_with(&[ASYNC, clerk], "POST", "/v1/stock/A/receive", json!({"quantity": 3})).await;
    app.decided(&deferred).await;
    assert_eq!(app.events("stock/A")[0].0.principal.as_str(), "clerk");
    app.stop().await;
}

#[tokio::test]
async fn a_deferred_command_that_a_rule_refuses_says_so_where_its_outcome_is() {
    let app = App::start().await;
    let deferred = app.call_with(&[ASYNC], "POST", "/v1/orders/none/cancel", json!({})).await;
    deferred.is(202);
    let outcome = app.decided(&deferred).await;
    assert_eq!(outcome["outcome"], "rejected");
    assert_eq!(outcome["problem"]["code"], "order_not_found");
    app.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_at_once_whatever_it_prefers() {
    let app = App::start().await;
    app.call_with(&[ASYNC], "POST", "/v1/stock/A/receive", json!({"quantity": 0}))
        .await
        .is_problem(422, "invalid_value");
    app.call("GET", "/v1/commands/nonsense?stream=stock/A", Value::Null).await.is(400);
    let id = "00000000-0000-7000-8000-000000000001";
    app.call("GET", &format!("/v1/commands/{id}?stream=nonsense"), Value::Null).await.is(400);
    let unknown = app.call("GET", &format!("/v1/commands/{id}?stream=stock/A"), Value::Null).await;
    assert_eq!(unknown.is(200)["outcome"], "undecided");
    app.stop().await;
}
