//! Whether the process makes progress (live) and can do its work (ready), as its components see themselves.

mod description;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use schemas::ErrorCode;
use serde::Serialize;

use crate::extract::Json;
use crate::problem::Problem;

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "status", content = "reason", rename_all = "snake_case")]
pub enum ComponentStatus {
    /// Not yet able to work: the process is not ready.
    Starting,
    /// Able to work.
    Ready,
    /// Able to work, but someone should look: still ready.
    Degraded(String),
    /// Not able to work: the process is not ready.
    Failed(String),
}

/// One component in a health report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ComponentReport {
    /// The name that it registered under.
    pub name: String,
    /// What it says of itself.
    #[serde(flatten)]
    pub status: ComponentStatus,
    /// How long ago it last made progress.
    pub progress_age_ms: u64,
    /// Whether that is longer than it allows itself.
    pub stalled: bool,
}

/// All components at one moment, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HealthReport {
    /// Whether every component makes progress.
    pub live: bool,
    /// Whether every component can work, and the process is not stopping.
    pub ready: bool,
    /// The components.
    pub components: Vec<ComponentReport>,
}

/// The registry of components; a cheap clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    stopping: bool,
    components: BTreeMap<String, Component>,
}

#[derive(Debug)]
struct Component {
    status: ComponentStatus,
    last_progress: Instant,
    stalls_after: Option<Duration>,
}

impl Health {
    /// An empty registry: live and ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component that starts as [`ComponentStatus::Starting`]; an earlier one of the same name is replaced. It
    /// leaves the registry only through [`ComponentHealth::remove`]: one that died silently must stay visible.
    #[must_use]
    pub fn component(&self, name: impl Into<String>) -> ComponentHealth {
        self.register(name.into(), None)
    }

    /// Adds a component that reports [`ComponentHealth::progress`] at least every `stalls_after`, idle or not; if it does
    /// not, the process is no longer live.
    #[must_use]
    pub fn component_with_progress(
        &self,
        name: impl Into<String>,
        stalls_after: Duration,
    ) -> ComponentHealth {
        self.register(name.into(), Some(stalls_after))
    }

    /// From now on the process is not ready: for the first phase of the shutdown, so that balancers look elsewhere.
    pub fn set_stopping(&self) {
        self.lock().stopping = true;
    }

    /// What [`Health::router`] serves, for the API's description.
    #[must_use]
    pub fn openapi() -> utoipa::openapi::OpenApi {
        description::openapi()
    }

    /// How all components are now.
    #[must_use]
    pub fn report(&self) -> HealthReport {
        self.report_at(Instant::now())
    }

    /// The routes `GET /health/live` and `GET /health/ready`: 200 with a [`HealthReport`], or 503 with a problem that
    /// carries the components at fault.
    pub fn router(&self) -> Router {
        let (live, ready) = (self.clone(), self.clone());
        Router::new()
            .route("/health/live", get(async move || answer_live(live.report())))
            .route("/health/ready", get(async move || answer_ready(ready.report())))
    }

    fn register(&self, name: String, stalls_after: Option<Duration>) -> ComponentHealth {
        let component =
            Component { status: ComponentStatus::Starting, last_progress: Instant::now(), stalls_after };
        self.lock().components.insert(name.clone(), component);
        ComponentHealth { health: self.clone(), name }
    }

    fn report_at(&self, now: Instant) -> HealthReport {
        let inner = self.lock();
        let components: Vec<_> = inner
            .components
            .iter()
            .map(|(name, component)| {
                let age = now.saturating_duration_since(component.last_progress);
                ComponentReport {
                    name: name.clone(),
                    status: component.status.clone(),
                    progress_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                    stalled: component.stalls_after.is_some_and(|limit| age > limit),
                }
            })
            .collect();
        HealthReport {
            live: components.iter().all(|component| !component.stalled),
            ready: !inner.stopping && components.iter().all(ComponentReport::is_ready),
            components,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ComponentReport {
    fn is_ready(&self) -> bool {
        matches!(self.status, ComponentStatus::Ready | ComponentStatus::Degraded(_))
    }
}

/// The component's own end of the registry; a cheap clone.
#[derive(Debug, Clone)]
pub struct ComponentHealth {
    health: Health,
    name: String,
}

impl ComponentHealth {
    /// Not yet, or no longer for a while, able to work.
    pub fn starting(&self) {
        self.set(ComponentStatus::Starting);
    }

    /// Able to work.
    pub fn ready(&self) {
        self.set(ComponentStatus::Ready);
    }

    /// Able to work, but someone should look.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(ComponentStatus::Degraded(reason.into()));
    }

    /// Not able to work.
    pub fn failed(&self, reason: impl Into<String>) {
        self.set(ComponentStatus::Failed(reason.into()));
    }

    /// The loop went round once more.
    pub fn progress(&self) {
        self.change(|component| component.last_progress = Instant::now());
    }

    /// Takes the component off the registry: it is no longer part of the process (a shard that moved away).
    pub fn remove(self) {
        self.health.lock().components.remove(&self.name);
    }

    fn set(&self, status: ComponentStatus) {
        self.change(|component| {
            if component.status != status {
                tracing::info!(component = self.name, from = ?component.status, to = ?status, "health changed");
                component.status = status;
            }
            // A change of state is progress too.
            component.last_progress = Instant::now();
        });
    }

    fn change(&self, change: impl FnOnce(&mut Component)) {
        if let Some(component) = self.health.lock().components.get_mut(&self.name) {
            change(component);
        }
    }
}

fn answer_live(report: HealthReport) -> Response {
    if report.live {
        return Json(report).into_response();
    }
    unhealthy(ErrorCode::NotLive, &report, |component| component.stalled)
}

fn answer_ready(report: HealthReport) -> Response {
    if report.ready {
        return Json(report).into_response();
    }
    unhealthy(ErrorCode::NotReady, &report, |component| !component.is_ready())
}

fn unhealthy(
    code: ErrorCode,
    report: &HealthReport,
    at_fault: impl Fn(&ComponentReport) -> bool,
) -> Response {
    let components: Vec<_> = report.components.iter().filter(|component| at_fault(component)).collect();
    let names: Vec<_> = components.iter().map(|component| component.name.as_str()).collect();
    let detail = if names.is_empty() { "the process is stopping".to_owned() } else { names.join(", ") };
    let facts = serde_json::to_value(&components).expect("reports hold text, numbers and booleans only");
    Problem::of(code).detail(detail).fact("components", facts).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use serde_json::{Value, json};
    use tower::ServiceExt;

    async fn get(health: &Health, path: &str) -> (StatusCode, Value) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = health.router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 65_536).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn ready_flips_with_its_components_and_names_the_one_at_fault() {
        let health = Health::new();
        let (log, shard) = (health.component("log"), health.component("shard-0"));
        log.ready();
        let (status, body) = get(&health, "/health/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((&body["code"], &body["detail"]), (&json!("not_ready"), &json!("shard-0")));
        assert_eq!(body["components"][0]["status"], "starting");
        shard.degraded("slow disk");
        let (status, body) = get(&health, "/health/ready").await;
        assert_eq!((status, &body["components"][1]["reason"]), (StatusCode::OK, &json!("slow disk")));
        log.failed("no broker");
        let (status, body) = get(&health, "/health/ready").await;
        assert_eq!((status, &body["detail"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("log")));
        assert_eq!(get(&health, "/health/live").await.0, StatusCode::OK);
        log.remove();
        assert_eq!(get(&health, "/health/ready").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_stopping_process_is_not_ready() {
        let health = Health::new();
        health.component("log").ready();
        health.set_stopping();
        let (status, body) = get(&health, "/health/ready").await;
        assert_eq!(
            (status, &body["detail"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("the process is stopping"))
        );
    }

    #[test]
    fn a_component_that_makes_no_progress_is_stalled_until_it_does() {
        let health = Health::new();
        let shard = health.component_with_progress("shard-0", Duration::from_secs(10));
        let idle = health.component("log");
        let later = Instant::now() + Duration::from_secs(11);
        let report = health.report_at(later);
        assert!(!report.live);
        assert_eq!(report.components.iter().filter(|component| component.stalled).count(), 1);
        shard.progress();
        assert!(health.report_at(Instant::now()).live);
        drop(idle);
        assert_eq!(health.report().components.len(), 2);
    }

    #[test]
    fn a_stalled_process_is_answered_with_503() {
        let health = Health::new();
        let _shard = health.component_with_progress("shard-0", Duration::from_secs(10));
        let response = answer_live(health.report_at(Instant::now() + Duration::from_secs(11)));
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
