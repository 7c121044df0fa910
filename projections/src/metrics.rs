//! What a projector tells the metrics recorder.

use service_kit::{Metric, Unit};

/// Labels: `projection`, `partition`.
pub(crate) const LAG_EVENTS: Metric = Metric::gauge(
    "millrace_projection_lag_events",
    Unit::Count,
    "Offsets between the log's stable end and what the projection has applied",
);
/// Labels: `projection`, `partition`.
pub(crate) const LAG_SECONDS: Metric = Metric::gauge(
    "millrace_projection_lag_seconds",
    Unit::Seconds,
    "Age of the last applied event while there are newer ones, 0 while there are none",
);
/// Labels: `projection`, `partition`.
pub(crate) const DEAD_LETTER_KEYS: Metric = Metric::gauge(
    "millrace_projection_dead_letter_keys",
    Unit::Count,
    "Streams that wait because an event of theirs could not be folded",
);
/// Labels: `projection`, `partition`.
pub(crate) const DEAD_LETTERS_WAITING: Metric = Metric::gauge(
    "millrace_projection_dead_letters_waiting",
    Unit::Count,
    "Events in the dead letters that are neither folded nor skipped",
);
/// Labels: `projection`, `partition`.
pub(crate) const DEAD_LETTERS_SKIPPED: Metric = Metric::gauge(
    "millrace_projection_dead_letters_skipped",
    Unit::Count,
    "Events that operators have decided to leave out for ever",
);
/// Labels: `projection`, `partition`.
pub(crate) const HELD: Metric = Metric::gauge(
    "millrace_projection_held_topics",
    Unit::Count,
    "Topics with which the projection waits in front of an event that it cannot take",
);
/// Label: `partition`.
pub(crate) const EVENTS: Metric =
    Metric::counter("millrace_projector_events_total", Unit::Count, "Events applied to the read models");
/// Label: `partition`.
pub(crate) const ROWS: Metric =
    Metric::counter("millrace_projector_rows_total", Unit::Count, "Rows written to the read models");
/// Label: `partition`.
pub(crate) const BATCH_SECONDS: Metric = Metric::histogram(
    "millrace_projector_batch_seconds",
    Unit::Seconds,
    "Time from a batch's last read to its rows and checkpoint being stored",
);
/// Label: `partition`.
pub(crate) const FAILURES: Metric = Metric::counter(
    "millrace_projector_failures_total",
    Unit::Count,
    "Times that a projector went back to its checkpoint or stopped",
);

/// Tells the recorder what the projector's metrics mean; call it once after the recorder is installed.
pub fn describe() {
    service_kit::describe_metrics(&[
        LAG_EVENTS,
        LAG_SECONDS,
        DEAD_LETTER_KEYS,
        DEAD_LETTERS_WAITING,
        DEAD_LETTERS_SKIPPED,
        HELD,
        EVENTS,
        ROWS,
        BATCH_SECONDS,
        FAILURES,
    ]);
}
