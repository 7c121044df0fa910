//! One shop for all scenarios: commands, queries and health over one log, as the program puts them together.

use std::sync::Arc;

use aggregate_host::HostConfig;
use axum::body::Body;
use axum::http::Request;
use commands_api::CommandsApiConfig;
use projections::{Catalogue, Products, Projection, Projector, ProjectorConfig};
use query_api::{QueryConfig, QueryState};
use read_store::{Change, ChangeBatch, FjallConfig, FjallStore, ReadStore, RowKey, Source};
use serde_json::{Value, json};
use service_kit::{HttpOptions, Millis, with_layers};

use crate::harness::{App, LOOPBACK, Reply, line, pounds};

pub(super) struct Shop {
    pub(super) app: App,
    _views: tempfile::TempDir,
}

impl Shop {
    /// A shop whose views never get anywhere, one document of them damaged: nobody projects.
    pub(super) async fn open() -> Self {
        let mut app = App::start_with(CommandsApiConfig::default(), HostConfig::default()).await;
        let views = tempfile::tempdir().unwrap();
        let store =
            FjallStore::open(FjallConfig { path: views.path().into(), ..FjallConfig::default() }).unwrap();
        let store: Arc<dyn ReadStore> = Arc::new(store);
        let source = Source::new("millrace.product.events", 0);
        let damaged = Change::put(RowKey::new(Products::TABLE, "DAMAGED", ""), "{", source, 0);
        store.apply(ChangeBatch { changes: vec![damaged], checkpoints: Vec::new() }).await.unwrap();
        let catalogue = Catalogue::standard();
        let projector = Projector::open(app.log(), Arc::clone(&store), catalogue, ProjectorConfig::default());
        let config = QueryConfig { min_position_wait_ms: Millis::new(1) };
        let queries = QueryState::new(store, projector.await.unwrap().progress(), config);
        app.router = with_layers(app.router.merge(query_api::router(queries)), &HttpOptions::default());
        Self { app, _views: views }
    }

    pub(super) async fn close(self) {
        self.app.stop().await;
    }

    /// The problem that a request from loopback is answered.
    pub(super) async fn problem(&self, method: &str, path: &str, body: Value) -> Value {
        problem(self.app.call(method, path, body).await)
    }

    /// As [`Shop::problem`], for a body as it is.
    pub(super) async fn problem_of(&self, content_type: &str, path: &str, body: impl Into<Body>) -> Value {
        let request = Request::post(path).header("content-type", content_type).body(body.into()).unwrap();
        problem(self.app.send(Some(LOOPBACK), request).await)
    }

    /// Does something that succeeds.
    pub(super) async fn does(&self, path: &str, body: Value) {
        let reply = self.app.post(path, body).await;
        assert!(reply.status.is_success(), "{path}: {reply:?}");
    }

    /// The problem of the last line that a process manager sends in bulk; the others are accepted.
    pub(super) async fn problem_of_last(&self, lines: &[Value]) -> Value {
        let mut answers = self.app.bulk("process:test", lines).await;
        let last = answers.pop().unwrap();
        assert!(answers.iter().all(|answer| answer["outcome"] == "accepted"), "{answers:?}");
        last["problem"].clone()
    }

    /// A product for sale at 4.55, with units in stock.
    pub(super) async fn sells(&self, sku: &str) {
        self.app.sell(sku, 455, 100).await;
    }

    /// An order of two units that has arrived.
    pub(super) async fn delivered(&self, id: &str) {
        self.sells(id).await;
        let order = json!({"id": id, "country": "GB", "lines": [{"sku": id, "quantity": 2}]});
        self.does("/v1/orders", order).await;
        let shipped = json!({"shipment_id": id});
        let steps = [
            line("order", id, "mark_reserved", Value::Null),
            line("order", id, "confirm", Value::Null),
            line("order", id, "mark_shipped", shipped),
            line("order", id, "mark_delivered", Value::Null),
        ];
        for answer in self.app.bulk("process:test", &steps).await {
            assert_eq!(answer["outcome"], "accepted", "{answer}");
        }
    }

    /// Lines that make an authorised payment of 10.00.
    pub(super) fn authorised(id: &str) -> Vec<Value> {
        vec![
            line(
                "payment",
                id,
                "request",
                json!({"order_id": id, "amount": pounds(1_000), "method": "card"}),
            ),
            line(
                "payment",
                id,
                "record_authorised",
                json!({"amount": pounds(1_000), "provider_reference": "a"}),
            ),
        ]
    }
}

/// The body of an answer that is a problem in every respect.
pub(super) fn problem(reply: Reply) -> Value {
    assert_eq!(reply.header("content-type"), "application/problem+json", "{reply:?}");
    assert_eq!(reply.body["status"], reply.status.as_u16(), "{reply:?}");
    let comes_back = matches!(reply.status.as_u16(), 429 | 503);
    assert_eq!(reply.headers.contains_key("retry-after"), comes_back, "{reply:?}");
    reply.body
}
