//! The API's numbers.

use service_kit::{Metric, Unit};

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

/// Counts as under way until dropped, also when its client goes away.
pub(crate) struct InFlight;

impl InFlight {
    pub(crate) fn enter() -> Self {
        IN_FLIGHT.as_gauge(&[]).increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        IN_FLIGHT.as_gauge(&[]).decrement(1.0);
    }
}
