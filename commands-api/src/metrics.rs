//! The API's numbers.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use service_kit::{Counter, Gauge, Histogram, Metric, Unit};

pub(crate) const REQUESTS: Metric = Metric::counter(
    "millrace_commands_api_requests_total",
    Unit::Count,
    "requests answered, by method, route and status",
);
pub(crate) const REQUEST_SECONDS: Metric = Metric::histogram(
    "millrace_commands_api_request_seconds",
    Unit::Seconds,
    "time from a request's head to the head of its answer, by method and route",
);
pub(crate) const IN_FLIGHT: Metric =
    Metric::gauge("millrace_commands_api_requests_in_flight", Unit::Count, "requests under way");
pub(crate) const BULK_LINES: Metric = Metric::counter(
    "millrace_commands_api_bulk_lines_total",
    Unit::Count,
    "lines of bulk requests answered, by outcome (none: error)",
);

/// Tells the recorder the units and meanings of this crate's metrics.
pub fn describe_metrics() {
    service_kit::describe_metrics(&[REQUESTS, REQUEST_SECONDS, IN_FLIGHT, BULK_LINES]);
}

/// The numbers of requests: handles are looked up once for each route, method and status, for looking one up hashes its
/// name and labels.
pub(crate) struct RequestMetrics {
    in_flight: Gauge,
    routes: RwLock<HashMap<String, RouteMetrics>>,
}

/// Few methods and statuses a route: found by looking through them.
#[derive(Clone, Default)]
struct RouteMetrics {
    seconds: Vec<(Method, Histogram)>,
    requests: Vec<(Method, StatusCode, Counter)>,
}

impl RouteMetrics {
    fn find(&self, method: &Method, status: StatusCode) -> Option<(&Histogram, &Counter)> {
        let (_, seconds) = self.seconds.iter().find(|(of, _)| of == method)?;
        let (_, _, requests) = self.requests.iter().find(|(of, with, _)| of == method && *with == status)?;
        Some((seconds, requests))
    }
}

impl RequestMetrics {
    pub(crate) fn new() -> Self {
        Self { in_flight: IN_FLIGHT.as_gauge(&[]), routes: RwLock::default() }
    }

    /// Notes an answer.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((seconds, requests)) = known.get(route).and_then(|of| of.find(method, status)) {
            seconds.record(took);
            requests.increment(1);
            return;
        }
        drop(known);
        let labels = [("method", method.as_str()), ("route", route)];
        let seconds = REQUEST_SECONDS.as_histogram(&labels);
        let requests = REQUESTS.as_counter(&[labels[0], labels[1], ("status", status.as_str())]);
        seconds.record(took);
        requests.increment(1);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let of = routes.entry(route.to_owned()).or_default();
        of.seconds.push((method.clone(), seconds));
        of.requests.push((method.clone(), status, requests));
    }
}

/// Counts as under way until dropped, also when its client goes away.
pub(crate) struct InFlight(Gauge);

impl InFlight {
    pub(crate) fn enter(metrics: &RequestMetrics) -> Self {
        metrics.in_flight.increment(1.0);
        Self(metrics.in_flight.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
