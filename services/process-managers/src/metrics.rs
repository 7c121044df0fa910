//! The names of the process managers' metrics.

use std::sync::Once;

use metrics::{Unit, describe_counter, describe_gauge};

/// Events that were dealt with, by `process_manager`.
pub(crate) const EVENTS: &str = "millrace_process_events_total";
/// Events that were read and are not dealt with yet.
pub(crate) const EVENTS_WAITING: &str = "millrace_process_events_waiting";
/// Events that cannot be read, and those of the same streams that wait behind them.
pub(crate) const EVENTS_PARKED: &str = "millrace_process_events_parked";
/// Steps that were taken, by `answer`.
pub(crate) const STEPS: &str = "millrace_process_steps_total";
/// Rounds of submissions that ended without an answer, by `code`.
pub(crate) const ROUNDS_FAILED: &str = "millrace_process_submissions_failed_total";
/// Calls to the outside without a result, by `effect`.
pub(crate) const CALLS_FAILED: &str = "millrace_process_effect_calls_failed_total";
/// Outcomes that need somebody's eye, by `process_manager`.
pub(crate) const ALARMS: &str = "millrace_process_alarms_total";
/// Deadlines and results that are waited for.
pub(crate) const MATTERS_OPEN: &str = "millrace_process_matters_open";
/// Deadlines that ran out, and other matters that were looked at, by `kind`.
pub(crate) const MATTERS_LOOKED_AT: &str = "millrace_process_matters_looked_at_total";

/// Describes the metrics, once per process.
pub(crate) fn describe() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        describe_counter!(EVENTS, Unit::Count, "events that were dealt with");
        describe_gauge!(EVENTS_WAITING, Unit::Count, "events that were read and are not dealt with yet");
        describe_gauge!(EVENTS_PARKED, Unit::Count, "events that cannot be read, and what waits behind them");
        describe_counter!(STEPS, Unit::Count, "steps that were taken");
        describe_counter!(ROUNDS_FAILED, Unit::Count, "rounds of submissions that ended without an answer");
        describe_counter!(CALLS_FAILED, Unit::Count, "calls to providers without a result");
        describe_counter!(ALARMS, Unit::Count, "outcomes that need somebody's eye");
        describe_gauge!(MATTERS_OPEN, Unit::Count, "deadlines and results that are waited for");
        describe_counter!(
            MATTERS_LOOKED_AT,
            Unit::Count,
            "deadlines that ran out and results that were asked for"
        );
    });
}
