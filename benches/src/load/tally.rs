//! What a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::requests::Verdict;

/// Most characters that are kept of the first failure.
const FAILURE_CHARS_MAX: usize = 300;

/// Latencies in classes whose width is less than 1 % of their value, from 1 µs up.
///
/// Hand-made because it is this little: the usual crate turns on features of others that the product has not, and then
/// everything is compiled twice, for the product and for the workspace.
#[derive(Clone, Debug)]
pub struct Latency {
    classes: Vec<u64>,
    count: u64,
    max_us: u64,
}

/// Every power of two of microseconds is cut into as many classes.
const CLASSES_BITS: u32 = 7;
const CLASSES: usize = (65 - CLASSES_BITS as usize) << CLASSES_BITS;

impl Default for Latency {
    fn default() -> Self {
        Self { classes: vec![0; CLASSES], count: 0, max_us: 0 }
    }
}

impl Latency {
    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        self.classes[class(micros)] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(micros);
    }

    /// The latency that the share `quantile` (0 to 1) of all does not exceed, milliseconds; not a number when there is none.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        if self.count == 0 {
            return f64::NAN;
        }
        let rank = ((self.count as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.classes.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(self.max_us, |class| longest(class).min(self.max_us)) as f64 / 1_000.0
    }

    /// The longest, milliseconds; not a number when there is none.
    pub fn max_ms(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.max_us as f64 / 1_000.0 }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The class of a latency of at least 1 µs. Below 2^(CLASSES_BITS + 1) each microsecond has its own.
fn class(micros: u64) -> usize {
    let shift = micros.ilog2().saturating_sub(CLASSES_BITS);
    ((shift as usize) << CLASSES_BITS) + (micros >> shift) as usize
}

/// The longest latency of a class, microseconds.
fn longest(class: usize) -> u64 {
    let shift = (class >> CLASSES_BITS).saturating_sub(1);
    let position = (class - (shift << CLASSES_BITS)) as u64;
    // Not `(position + 1) << shift - 1`: the last class ends at the largest number there is.
    (position << shift) | ((1 << shift) - 1)
}

/// What was answered within the recorded part of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Of accepted requests, from the instant at which they were due (closed loop: sent).
    pub latency: Latency,
    /// Of accepted requests, from the instant at which they were sent.
    pub service: Latency,
    /// Requests (bulk: lines) that were done.
    pub accepted: u64,
    /// … that the server was too busy for.
    pub refused: u64,
    /// … that came to anything else.
    pub failed: u64,
    /// Arrivals that nobody could send before their patience ended (open loop only).
    pub abandoned: u64,
    /// Answers by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// The first failure: status and body.
    pub first_failure: Option<String>,
    /// Length of the recorded part.
    pub elapsed: Duration,
    /// How much of one core the generator took, warm-up included.
    pub generator_cores: f64,
}

impl Tally {
    /// Accepted per second.
    pub fn accepted_per_s(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    /// What was refused or given up, of all arrivals.
    pub fn refused_share(&self) -> f64 {
        let all = self.accepted + self.refused + self.failed + self.abandoned;
        (self.refused + self.abandoned) as f64 / all as f64
    }

    /// Counts one answer.
    pub(super) fn record(
        &mut self,
        (status, body): (u16, &[u8]),
        verdict: Verdict,
        latency: Duration,
        service: Duration,
    ) {
        *self.by_status.entry(status).or_default() += 1;
        match verdict {
            Verdict::Accepted => {
                self.accepted += 1;
                self.latency.record(latency);
                self.service.record(service);
            }
            Verdict::Refused => self.refused += 1,
            Verdict::Failed => {
                self.failed += 1;
                self.note_failure(status, body);
            }
        }
    }

    /// Keeps the first failure for people.
    pub(super) fn note_failure(&mut self, status: u16, body: &[u8]) {
        self.first_failure.get_or_insert_with(|| {
            let text: String = String::from_utf8_lossy(body).chars().take(FAILURE_CHARS_MAX).collect();
            format!("{status} {text}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_each_other_without_gaps_and_are_narrow() {
        assert_eq!(class(u64::MAX), CLASSES - 1);
        assert_eq!(longest(CLASSES - 1), u64::MAX);
        let mut first = 1;
        for next in 1..CLASSES {
            let last = longest(next);
            assert_eq!((class(first), class(last)), (next, next));
            assert!((last - first) as f64 <= first as f64 / 100.0, "{first} to {last}");
            first = last.saturating_add(1);
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latency = Latency::default();
        assert!(latency.quantile_ms(0.5).is_nan() && latency.max_ms().is_nan());
        for millis in 1..=1_000 {
            latency.record(Duration::from_millis(millis));
        }
        for (quantile, expected) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)]
        {
            let found = latency.quantile_ms(quantile);
            assert!((expected..expected * 1.01).contains(&found), "{quantile}: {found}");
        }
        assert!((latency.max_ms() - 1_000.0).abs() < f64::EPSILON);
        assert_eq!(latency.count(), 1_000);
    }

    #[test]
    fn only_what_is_accepted_has_a_latency_and_a_rate() {
        let mut tally = Tally { elapsed: Duration::from_secs(2), ..Tally::default() };
        let ms = Duration::from_millis;
        tally.record((200, b""), Verdict::Accepted, ms(9), ms(3));
        tally.record((503, b""), Verdict::Refused, ms(900), ms(900));
        tally.record((500, b"boom"), Verdict::Failed, ms(900), ms(900));
        tally.record((500, b"again"), Verdict::Failed, ms(900), ms(900));
        assert_eq!((tally.accepted, tally.refused, tally.failed), (1, 1, 2));
        assert!((tally.accepted_per_s() - 0.5).abs() < f64::EPSILON);
        assert!((tally.refused_share() - 0.25).abs() < f64::EPSILON);
        assert_eq!(tally.by_status, BTreeMap::from([(200, 1), (500, 2), (503, 1)]));
        assert_eq!(tally.first_failure.as_deref(), Some("500 boom"));
        assert!(tally.latency.max_ms() < 10.0 && tally.service.max_ms() < 4.0);
    }
}
