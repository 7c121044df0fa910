//! An API over a host over a log in a temporary folder.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aggregate_host::{Host, HostConfig, HostHandle};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use commands_api::{ApiState, CommandsApiConfig, Shards, router};
use event_log::{EmbeddedConfig, EmbeddedLog, Log};
use futures::StreamExt;
use serde_json::{Value, json};
use service_kit::{
    ArmedFailPoints, FailPoint, HttpOptions, OnError, Tasks, arm_fail_points, bind, serve, with_layers,
};
use tempfile::TempDir;
use testkit::Description;
use tower::ServiceExt;

pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const LOOPBACK: &str = "127.0.0.1:40000";
pub(crate) const ELSEWHERE: &str = "203.0.113.7:40000";

pub(crate) struct App {
    pub(crate) host: HostHandle,
    pub(crate) router: Router,
    pub(crate) tasks: Tasks,
    log: Arc<dyn Log>,
    folder: TempDir,
}

/// An answer, its body read as JSON (null where it is none).
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Checks that this is the problem `code`, in every place that says so, and that it names the command.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> &Value {
        assert_eq!((self.status.as_u16(), &self.body["code"]), (status, &json!(code)), "{self:?}");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["command_id"], self.header("millrace-command-id"));
        assert_eq!(self.headers.contains_key("retry-after"), status == 429 || status == 503, "{self:?}");
        for member in ["type", "title", "retry"] {
            assert!(self.body[member].is_string(), "{member}: {self:?}");
        }
        &self.body
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        &self.body
    }
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::start_with(CommandsApiConfig::default(), HostConfig::default()).await
    }

    pub(crate) async fn start_with(config: CommandsApiConfig, host: HostConfig) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config, host).await
    }

    /// Fails writes of the log as `action` says; whether one landed is not known until the log has opened itself again.
    pub(crate) fn arm(&self, points: &[(FailPoint, &str)]) -> ArmedFailPoints {
        let log = self.folder.path().join("log");
        let points =
            points.iter().map(|(point, action)| format!("{}@{}={action}", point.name(), log.display()));
        arm_fail_points(&points.collect::<Vec<_>>().join(";")).unwrap()
    }

    async fn start_in(folder: TempDir, config: CommandsApiConfig, host: HostConfig) -> Self {
        let log: Arc<dyn Log> = Arc::new(
            EmbeddedLog::open(EmbeddedConfig {
                path: folder.path().join("log"),
                ..EmbeddedConfig::default()
            })
            .unwrap(),
        );
        let tasks = Tasks::new();
        let host = Host::start(Arc::clone(&log), host, folder.path().join("state"), None, &tasks).unwrap();
        assert!(host.serving(log.partitions(), SOON).await, "the shards serve in time");
        let router = router(ApiState {
            shards: Shards::alone(host.clone(), Duration::from_millis(config.handover_wait_ms)),
            config,
        });
        Self { host, router, tasks, log, folder }
    }

    /// The log beneath.
    pub(crate) fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log)
    }

    pub(crate) async fn stop(self) {
        self.tasks.shutdown(SOON).await.unwrap();
        self.log.close();
    }

    /// Serves on a free loopback port.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = HttpOptions::default();
        let router = with_layers(self.router.clone(), &options);
        self.tasks.spawn("http", OnError::StopProcess, serve(listener, router, self.tasks.stop(), options));
        address
    }

    pub(crate) async fn send(&self, peer: Option<&str>, request: Request<Body>) -> Reply {
        let (status, headers, bytes) = self.send_raw(peer, request).await;
        Reply { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    async fn send_raw(
        &self,
        peer: Option<&str>,
        mut request: Request<Body>,
    ) -> (StatusCode, HeaderMap, Bytes) {
        if let Some(peer) = peer {
            let peer: SocketAddr = peer.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        description().check(method.as_str(), &path, status.as_u16(), &body);
        (status, headers, bytes)
    }

    /// A JSON request from loopback with further headers.
    pub(crate) async fn call_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Value,
    ) -> Reply {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
        };
        self.send(Some(LOOPBACK), request.body(body).unwrap()).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        self.call_with(&[], method, path, body).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, body).await
    }

    /// The answers to a bulk request of these lines from loopback.
    pub(crate) async fn bulk(&self, principal: &str, lines: &[Value]) -> Vec<Value> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.bulk_text(principal, text).await
    }

    pub(crate) async fn bulk_text(&self, principal: &str, text: impl Into<Body>) -> Vec<Value> {
        let request = Request::post("/v1/commands")
            .header("content-type", "application/x-ndjson")
            .header("millrace-principal", principal)
            .body(text.into())
            .unwrap();
        let (status, headers, bytes) = self.send_raw(Some(LOOPBACK), request).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(headers["content-type"], "application/x-ndjson");
        answers(&bytes)
    }

    /// Makes a product that is for sale at `pence`, with `units` in stock.
    pub(crate) async fn sell(&self, sku: &str, pence: i64, units: i64) {
        self.post("/v1/products", json!({"sku": sku, "name": format!("Product {sku}")})).await.is(201);
        self.post(&format!("/v1/products/{sku}/price"), json!({"price": pounds(pence)})).await.is(200);
        self.post(&format!("/v1/products/{sku}/publish"), Value::Null).await.is(200);
        self.post(&format!("/v1/stock/{sku}/receive"), json!({"quantity": units})).await.is(200);
    }

    /// The events of a stream, bodies only, as the log has them.
    pub(crate) fn events(&self, stream: &str) -> Vec<(schemas::EventMetadata, Value)> {
        let from: Vec<_> = self
            .log
            .topics()
            .all_events()
            .iter()
            .flat_map(|topic| (0..self.log.partitions()).map(|k| event_log::Cursor::start(topic.clone(), k)))
            .collect();
        let mut reader = self.log.open_reader(&from).unwrap();
        let mut events = Vec::new();
        while !reader.caught_up() {
            for record in reader.read(1_000, Duration::from_millis(100)).unwrap() {
                let recorded = event_log::decode_event(&record).unwrap();
                if recorded.metadata.stream.to_string() == stream {
                    events.push((recorded.metadata, recorded.event.body_json()));
                }
            }
        }
        events
    }
}

/// What the API says of itself: every answer that a test gets is held against it.
fn description() -> &'static Description {
    static DESCRIPTION: OnceLock<Description> = OnceLock::new();
    DESCRIPTION.get_or_init(|| Description::new(serde_json::to_value(commands_api::openapi()).unwrap()))
}

/// NDJSON as values.
pub(crate) fn answers(bytes: &[u8]) -> Vec<Value> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The next line of a streamed answer.
pub(crate) async fn next_line(stream: &mut (impl StreamExt<Item = reqwest::Result<Bytes>> + Unpin)) -> Value {
    let chunk =
        tokio::time::timeout(SOON, stream.next()).await.expect("an answer comes in time").unwrap().unwrap();
    let mut lines = answers(&chunk);
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

pub(crate) fn pounds(pence: i64) -> Value {
    json!({"amount_minor": pence, "currency": "GBP"})
}

/// A line of the bulk route.
pub(crate) fn line(aggregate: &str, id: &str, kind: &str, data: Value) -> Value {
    json!({"aggregate": aggregate, "id": id, "type": kind, "data": data})
}
