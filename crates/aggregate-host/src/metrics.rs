//! What the host counts.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Commands decided, by `outcome`: `accepted`, `unchanged`, `rejected`, `replayed`.
pub(crate) const COMMANDS: &str = "millrace_commands_total";
/// Commands that got no outcome, by `code`.
pub(crate) const FAILURES: &str = "millrace_command_failures_total";
/// Events appended.
pub(crate) const EVENTS: &str = "millrace_events_appended_total";
/// Commands of one turn.
pub(crate) const TURN_COMMANDS: &str = "millrace_turn_commands";
/// How long one append took, seconds.
pub(crate) const APPEND_SECONDS: &str = "millrace_append_seconds";
/// How long deciding one turn took, seconds.
pub(crate) const DECIDE_SECONDS: &str = "millrace_decide_seconds";
/// Commands that wait, by `shard`.
pub(crate) const QUEUED: &str = "millrace_commands_queued";
/// 1 while a shard is served here, by `shard`.
pub(crate) const SHARD_SERVING: &str = "millrace_shard_serving";

/// Gives the host's metrics their units and descriptions.
pub fn describe_metrics() {
    describe_counter!(COMMANDS, Unit::Count, "Commands decided, by outcome");
    describe_counter!(FAILURES, Unit::Count, "Commands that got no outcome, by code");
    describe_counter!(EVENTS, Unit::Count, "Events appended");
    describe_histogram!(TURN_COMMANDS, Unit::Count, "Commands of one turn");
    describe_histogram!(APPEND_SECONDS, Unit::Seconds, "How long one append took");
    describe_histogram!(DECIDE_SECONDS, Unit::Seconds, "How long deciding one turn took");
    describe_gauge!(QUEUED, Unit::Count, "Commands that wait, by shard");
    describe_gauge!(SHARD_SERVING, Unit::Count, "1 while a shard is served here");
}
