//! Every limit of the process managers.

use command_client::RetryPolicy;
use serde::{Deserialize, Serialize};

/// What the process managers are configured with. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessManagersConfig {
    /// Who carries what is sent, as the carrier's port names it. Default `sandbox`.
    pub carrier: String,
    /// Most orders that are worked on at the same time. Default 256.
    pub in_flight_max: usize,
    /// Most events that were read and are not dealt with yet; reading waits beyond. Default 2,048.
    pub events_waiting_max: usize,
    /// Most events of one read. Default 1,024.
    pub read_events_max: usize,
    /// Longest wait of one read, milliseconds. Default 100.
    pub read_wait_ms_max: u64,
    /// Most commands that are submitted at the same time. Default 1,024.
    pub commands_in_flight_max: usize,
    /// How often progress is noted, milliseconds. Default 200.
    pub commit_interval_ms: u64,
    /// How long the end waits for what is being worked on, milliseconds; the rest is delivered again. Default 5,000.
    pub drain_ms_max: u64,
    /// Failed rounds of submissions of one command after which it is worth a warning. Default 2.
    pub rounds_before_warning: u32,
    /// One round of submissions of one command. There are rounds until there is an answer. Default: up to 8
    /// submissions within 10 seconds.
    pub submit: RetryPolicy,
    /// Limits of the calls to the outside.
    pub effects: EffectLimits,
    /// Deadlines and how often what is open is looked at.
    pub timers: TimerLimits,
}

impl Default for ProcessManagersConfig {
    fn default() -> Self {
        Self {
            carrier: "sandbox".to_owned(),
            in_flight_max: 256,
            events_waiting_max: 2_048,
            read_events_max: 1_024,
            read_wait_ms_max: 100,
            commands_in_flight_max: 1_024,
            commit_interval_ms: 200,
            drain_ms_max: 5_000,
            rounds_before_warning: 2,
            submit: RetryPolicy { attempts_max: 8, deadline_ms: 10_000, ..RetryPolicy::default() },
            effects: EffectLimits::default(),
            timers: TimerLimits::default(),
        }
    }
}

impl ProcessManagersConfig {
    /// Refuses values that nothing can run with; says which.
    pub fn check(&self) -> Result<(), crate::Error> {
        let positive = [
            ("in_flight_max", self.in_flight_max),
            ("events_waiting_max", self.events_waiting_max),
            ("read_events_max", self.read_events_max),
            ("commands_in_flight_max", self.commands_in_flight_max),
            ("timers.in_flight_max", self.timers.in_flight_max),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(crate::Error::Config { reason: format!("{name} must not be 0") }),
            None if self.carrier.is_empty() => {
                Err(crate::Error::Config { reason: "carrier must not be empty".to_owned() })
            }
            None => Ok(()),
        }
    }
}

/// Limits of the calls to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EffectLimits {
    /// Longest wait for one call; then its result is unknown. Milliseconds, default 10,000.
    pub call_ms_max: u64,
    /// Wait after a call without a result, milliseconds; it doubles from there. Default 100.
    pub backoff_first_ms: u64,
    /// Longest wait between two calls, milliseconds. Default 10,000.
    pub backoff_max_ms: u64,
    /// Calls without a result after which it is worth a warning. Default 5.
    pub calls_before_warning: u32,
}

impl Default for EffectLimits {
    fn default() -> Self {
        Self { call_ms_max: 10_000, backoff_first_ms: 100, backoff_max_ms: 10_000, calls_before_warning: 5 }
    }
}

/// Deadlines, and how often what is open is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimerLimits {
    /// From an order's recording to the latest moment at which its stock is reserved, milliseconds. Default 60,000.
    pub reservation_timeout_ms: u64,
    /// From the reservation of an order's stock to the latest moment at which its payment is authorised, milliseconds.
    /// Default 1,800,000 (30 minutes).
    pub payment_timeout_ms: u64,
    /// First look at a result that was pending, milliseconds after the request. Default 2,000.
    pub result_first_ms: u64,
    /// First look at a shipment, milliseconds after its dispatch. Default 500.
    pub tracking_first_ms: u64,
    /// First repetition of a refund that was too early, milliseconds after the return. Default 1,000.
    pub refund_first_ms: u64,
    /// Shortest and longest time between two looks at the same matter; it grows with the matter's age. Milliseconds,
    /// default 1,000 and 900,000 (15 minutes).
    pub look_again_min_ms: u64,
    /// See [`TimerLimits::look_again_min_ms`].
    pub look_again_max_ms: u64,
    /// Most matters that are looked at at the same time. Default 64.
    pub in_flight_max: usize,
    /// Most events of one read of the timers. Default 2,048.
    pub read_events_max: usize,
}

impl Default for TimerLimits {
    fn default() -> Self {
        Self {
            reservation_timeout_ms: 60_000,
            payment_timeout_ms: 1_800_000,
            result_first_ms: 2_000,
            tracking_first_ms: 500,
            refund_first_ms: 1_000,
            look_again_min_ms: 1_000,
            look_again_max_ms: 900_000,
            in_flight_max: 64,
            read_events_max: 2_048,
        }
    }
}
