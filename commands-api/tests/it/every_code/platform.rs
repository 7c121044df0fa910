//! What the platform says when it cannot decide: each in an app of its own, for most of these end it.

use std::time::Duration;

use aggregate_host::HostConfig;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use commands_api::CommandsApiConfig;
use event_log::Shard;
use futures::FutureExt;
use serde_json::{Value, json};
use service_kit::{FailPoint, Health};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::harness::{App, LOOPBACK, Reply, SOON};

use super::shop::{Shop, problem};

const RECEIVE: &str = "/v1/stock/P/receive";

/// Nobody waits for a shard to come back.
fn impatient() -> CommandsApiConfig {
    CommandsApiConfig { handover_wait_ms: 0, ..CommandsApiConfig::default() }
}

async fn receive(app: &App) -> Reply {
    app.post(RECEIVE, json!({"quantity": 1})).await
}

/// Room for one request, which is taken by one whose body does not come.
pub(super) async fn overloaded() -> Value {
    let config = CommandsApiConfig { requests_in_flight_max: 1, ..impatient() };
    let app = App::start_with(config, HostConfig::default()).await;
    let never = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    let request = Request::post(RECEIVE).header("content-type", "application/json");
    let mut waiting = Box::pin(app.send(Some(LOOPBACK), request.body(Body::from_stream(never)).unwrap()));
    assert!(waiting.as_mut().now_or_never().is_none(), "it waits for its body");
    let overloaded = problem(receive(&app).await);
    drop(waiting);
    app.stop().await;
    overloaded
}

/// A write fails half-way, and the log stays closed: nobody can tell what became of it.
pub(super) async fn outcome_unknown() -> Value {
    let app = with_short_answers().await;
    let armed = app.arm(&WRITE_FAILS);
    let unknown = problem(receive(&app).await);
    drop(armed);
    unknown
}

/// The same; meanwhile the shard has no owner.
pub(super) async fn shard_unavailable() -> Value {
    let app = with_short_answers().await;
    let all = app.host.serving_now();
    let armed = app.arm(&WRITE_FAILS);
    receive(&app).await.is(503);
    until(|| app.host.serving_now() < all).await;
    let unavailable = problem(receive(&app).await);
    drop(armed);
    unavailable
}

const WRITE_FAILS: [(FailPoint, &str); 2] = [
    (FailPoint::EMBEDDED_BEFORE_WRITE, "1*return(unknown)"),
    (FailPoint::EMBEDDED_BEFORE_REOPEN, "return(unknown)"),
];

async fn with_short_answers() -> App {
    let host = HostConfig { answer_timeout_ms: 1_000, ..HostConfig::default() };
    App::start_with(impatient(), host).await
}

/// Somebody else opens the writers: nothing of a fenced one is written.
pub(super) async fn not_written() -> Value {
    let app = App::start_with(impatient(), HostConfig::default()).await;
    let log = app.log();
    let others: Vec<_> = (0..log.partitions()).map(|k| log.open_writer(Shard::new(k)).unwrap()).collect();
    let not_written = problem(receive(&app).await);
    drop(others);
    not_written
}

pub(super) async fn shutting_down() -> Value {
    let app = App::start_with(impatient(), HostConfig::default()).await;
    app.host.stop();
    until(|| app.host.serving_now() == 0).await;
    let shutting_down = problem(receive(&app).await);
    app.stop().await;
    shutting_down
}

pub(super) async fn read_model_behind(shop: &Shop) -> Value {
    let ahead = [("millrace-min-position", "millrace.product.events/0@7")];
    problem(shop.app.call_with(&ahead, "GET", "/v1/products", Value::Null).await)
}

/// A stored document that no projection has written.
pub(super) async fn internal(shop: &Shop) -> Value {
    shop.problem("GET", "/v1/products/DAMAGED", Value::Null).await
}

pub(super) async fn not_ready() -> Value {
    let health = Health::new();
    let _starting = health.component("log");
    get(health.router(), "/health/ready").await
}

pub(super) async fn not_live() -> Value {
    let health = Health::new();
    let component = health.component_with_progress("shard-0", Duration::ZERO);
    component.ready();
    until(|| !health.report().live).await;
    get(health.router(), "/health/live").await
}

async fn get(router: Router, path: &str) -> Value {
    answer(router, Request::get(path).body(Body::empty()).unwrap()).await
}

/// The problem that a router answers.
pub(super) async fn answer(router: Router, request: Request<Body>) -> Value {
    let response = router.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    problem(Reply { status, headers, body: serde_json::from_slice(&bytes).unwrap() })
}

async fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come to that in time");
        tokio::task::yield_now().await;
    }
}
