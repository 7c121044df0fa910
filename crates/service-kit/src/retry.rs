//! Repeating with growing, scattered pauses and an end.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stop::Stop;
use crate::units::Millis;

/// How often to try and how long to wait in between. The pause before attempt n+1 is between half of and the whole of
/// `initial_ms · 2^(n-1)`, at most `max_ms`: callers that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// The longest pause after the first attempt.
    pub initial_ms: Millis,
    /// The longest pause of all.
    pub max_ms: Millis,
    /// The number of attempts, the first one included.
    pub attempts_max: u32,
}

impl Default for Backoff {
    /// 50 ms, 5 s, 8 attempts.
    fn default() -> Self {
        Self { initial_ms: Millis::new(50), max_ms: Millis::new(5_000), attempts_max: 8 }
    }
}

impl Backoff {
    /// The pauses of one operation, scattered at random.
    #[must_use]
    pub fn start(self) -> Pauses {
        // The standard library's hasher keys are the randomness at hand; nothing here is secret.
        self.start_seeded(RandomState::new().hash_one(0_u8))
    }

    /// The pauses of one operation, the same for the same seed.
    #[must_use]
    pub fn start_seeded(self, seed: u64) -> Pauses {
        Pauses { backoff: self, attempt: 0, random: seed }
    }
}

/// The pauses between the attempts of one operation; ends when there is no attempt left.
#[derive(Debug, Clone)]
pub struct Pauses {
    backoff: Backoff,
    /// Pauses handed out so far.
    attempt: u32,
    random: u64,
}

/// What to do after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterPause {
    /// Try again.
    Again,
    /// That was the last attempt.
    Exhausted,
    /// The process is stopping.
    Stopped,
}

impl Pauses {
    /// Waits for the next pause, or for `at_least` where that is longer (a server's `Retry-After`), or for the stop.
    pub async fn wait(&mut self, at_least: Option<Duration>, stop: &Stop) -> AfterPause {
        let Some(pause) = self.next() else { return AfterPause::Exhausted };
        let pause = at_least.map_or(pause, |at_least| pause.max(at_least));
        match tokio::time::timeout(pause, stop.requested()).await {
            Ok(()) => AfterPause::Stopped,
            Err(_elapsed) => AfterPause::Again,
        }
    }

    /// As [`Pauses::wait`], for threads.
    pub fn wait_blocking(&mut self, at_least: Option<Duration>, stop: &Stop) -> AfterPause {
        let Some(pause) = self.next() else { return AfterPause::Exhausted };
        let pause = at_least.map_or(pause, |at_least| pause.max(at_least));
        if stop.wait_timeout(pause) { AfterPause::Stopped } else { AfterPause::Again }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): one state word, good enough to scatter.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.attempt + 1 >= self.backoff.attempts_max {
            return None;
        }
        let doubled = 1_u64.checked_shl(self.attempt).unwrap_or(u64::MAX);
        let longest = self.backoff.initial_ms.get().saturating_mul(doubled).min(self.backoff.max_ms.get());
        self.attempt += 1;
        let micros = longest.saturating_mul(1_000);
        let half = micros / 2;
        Some(Duration::from_micros(half + self.random() % (micros - half + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { initial_ms: Millis::new(10), max_ms: Millis::new(100), attempts_max: 70 };

    #[test]
    fn pauses_grow_within_half_and_whole_up_to_the_maximum_and_end() {
        let pauses: Vec<_> = BACKOFF.start().collect();
        assert_eq!(pauses.len(), 69);
        for (index, pause) in pauses.iter().enumerate() {
            let longest = Duration::from_millis(if index < 4 { 10 << index } else { 100 });
            assert!((longest / 2..=longest).contains(pause), "pause {index} is {pause:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses_and_another_seed_others() {
        let of = |seed| BACKOFF.start_seeded(seed).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn waiting_ends_with_the_attempts_or_the_stop() {
        let stop = Stop::new();
        let mut pauses = Backoff { initial_ms: Millis::new(1), attempts_max: 2, ..BACKOFF }.start();
        assert_eq!(pauses.wait(None, &stop).await, AfterPause::Again);
        assert_eq!(pauses.wait(None, &stop).await, AfterPause::Exhausted);
        stop.request();
        let an_hour = Some(Duration::from_secs(3_600));
        assert_eq!(BACKOFF.start().wait(an_hour, &stop).await, AfterPause::Stopped);
        assert_eq!(BACKOFF.start().wait_blocking(an_hour, &stop), AfterPause::Stopped);
    }
}
