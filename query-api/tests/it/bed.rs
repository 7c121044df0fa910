//! A log, a projector, a store and the router, in one folder.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use event_log::{EmbeddedConfig, EmbeddedLog, Log, LogConfig};
use projections::test_support::{NAMESPACE, Recorder, append};
use projections::{Catalogue, Progress, Projector, ProjectorConfig, STANDARD_TABLES, Sharing};
use query_api::{QueryConfig, QueryState};
use read_store::{FjallConfig, FjallStore, ReadStore};
use schemas::{Positions, RecordedEvent};
use serde_json::Value;
use service_kit::{Health, Millis, Tasks};
use testkit::Description;
use tower::ServiceExt;

/// Long enough for a busy machine, short enough for a hanging test.
const SOON: Duration = Duration::from_secs(30);

pub(crate) const PARTITIONS: u32 = 2;

pub(crate) struct Bed {
    pub(crate) log: Arc<dyn Log>,
    router: Router,
    progress: Progress,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Bed {
    /// An empty shop; requests wait `wait_ms` for the positions that they ask for.
    pub(crate) async fn open(wait_ms: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log =
            LogConfig { namespace: NAMESPACE.to_owned(), partitions: PARTITIONS, ..LogConfig::default() };
        let config = EmbeddedConfig { log, path: folder.path().join("log"), ..EmbeddedConfig::default() };
        let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(config).unwrap());
        let config = FjallConfig { path: folder.path().join("read"), ..FjallConfig::default() };
        let store: Arc<dyn ReadStore> = Arc::new(FjallStore::open(config).unwrap());
        let (log_handle, store_handle) = (Arc::clone(&log), Arc::clone(&store));
        let projector =
            Projector::open(log_handle, store_handle, Catalogue::standard(), ProjectorConfig::default())
                .await
                .unwrap();
        let (tasks, progress) = (Tasks::new(), projector.progress());
        projector.start(Sharing::Alone, &tasks, &Health::new());
        let config = QueryConfig { min_position_wait_ms: Millis::new(wait_ms) };
        let router = query_api::router(QueryState::new(store, progress.clone(), config));
        Self { log, router, progress, tasks, _folder: folder }
    }

    /// A shop with this history, all of it applied.
    pub(crate) async fn with(recorder: &Recorder) -> Self {
        let bed = Self::open(50).await;
        append(&*bed.log, recorder.events());
        let all: Positions = positions(recorder.events());
        bed.progress.wait(STANDARD_TABLES, &all, SOON).await.unwrap();
        bed
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_at(path, None).await
    }

    /// Asks for `Millrace-Min-Position`.
    pub(crate) async fn get_at(&self, path: &str, min_position: Option<&str>) -> Answer {
        let header = min_position.map(|text| ("Millrace-Min-Position", text));
        self.get_with(path, header.as_slice()).await
    }

    /// Asks with headers.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        description().check("GET", path, status.as_u16(), &body);
        Answer { status, headers, body }
    }

    /// Stops the projector.
    pub(crate) async fn close(self) {
        self.tasks.shutdown(SOON).await.unwrap();
        self.log.close();
    }
}

/// What the API says of itself: every answer that a test gets is held against it.
fn description() -> &'static Description {
    static DESCRIPTION: OnceLock<Description> = OnceLock::new();
    DESCRIPTION.get_or_init(|| Description::new(serde_json::to_value(query_api::openapi()).unwrap()))
}

pub(crate) fn positions(events: &[RecordedEvent]) -> Positions {
    events.iter().map(|event| event.position.clone()).collect()
}
