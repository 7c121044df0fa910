//! When requests are due in an open loop.

use std::time::Duration;

/// Arrivals at a fixed rate: number i (from 0) is due i / rate after the start. Times are since the start.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    rate_per_s: f64,
    count: u64,
    patience: Duration,
    next: u64,
    abandoned: u64,
}

/// What a free connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Sends the request that was due at this time.
    Send(Duration),
    /// Waits until this time, when the next one is due.
    Wait(Duration),
    /// There is no further one.
    End,
}

impl Schedule {
    /// `count` arrivals at `rate_per_s`. One that nobody has sent `patience` after it was due is given up.
    pub fn new(rate_per_s: f64, count: u64, patience: Duration) -> Self {
        Self { rate_per_s, count, patience, next: 0, abandoned: 0 }
    }

    /// A connection is free at `now`.
    pub fn take(&mut self, now: Duration) -> Turn {
        // Straight to the first that is not given up: there may be many when a server hangs.
        let expired = now.checked_sub(self.patience).map_or(0, |before| self.due_before(before));
        if expired > self.next {
            self.abandoned += expired - self.next;
            self.next = expired;
        }
        if self.next >= self.count {
            return Turn::End;
        }
        let due = self.due_at(self.next);
        if due > now {
            return Turn::Wait(due);
        }
        self.next += 1;
        Turn::Send(due)
    }

    /// Arrivals that were given up so far.
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    fn due_at(&self, index: u64) -> Duration {
        Duration::from_secs_f64(index as f64 / self.rate_per_s)
    }

    /// How many are due before `time`.
    fn due_before(&self, time: Duration) -> u64 {
        ((time.as_secs_f64() * self.rate_per_s).ceil() as u64).min(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn arrivals_are_due_at_the_rate_whenever_somebody_is_free() {
        let mut schedule = Schedule::new(100.0, 5, ms(1_000));
        assert_eq!(schedule.take(ms(0)), Turn::Send(ms(0)));
        assert_eq!(schedule.take(ms(0)), Turn::Wait(ms(10)));
        assert_eq!(schedule.take(ms(10)), Turn::Send(ms(10)));
        // Nobody was free for a while: what queued is sent at once, its latency counts from when it was due.
        assert_eq!(schedule.take(ms(500)), Turn::Send(ms(20)));
        assert_eq!(schedule.take(ms(500)), Turn::Send(ms(30)));
        assert_eq!(schedule.take(ms(500)), Turn::Send(ms(40)));
        assert_eq!(schedule.take(ms(500)), Turn::End);
        assert_eq!(schedule.abandoned(), 0);
    }

    #[test]
    fn what_nobody_sent_in_time_is_given_up_and_counted() {
        let mut schedule = Schedule::new(100.0, 1_000, ms(50));
        assert_eq!(schedule.take(ms(0)), Turn::Send(ms(0)));
        // At 200 ms those due before 150 ms are gone: numbers 1 to 14.
        assert_eq!(schedule.take(ms(200)), Turn::Send(ms(150)));
        assert_eq!(schedule.abandoned(), 14);
        assert_eq!(schedule.take(ms(60_000)), Turn::End);
        assert_eq!(schedule.abandoned(), 14 + 984);
    }

    #[test]
    fn every_arrival_is_sent_or_given_up_exactly_once() {
        let mut schedule = Schedule::new(1_000.0, 10_000, ms(100));
        let (mut sent, mut now) = (0, 0);
        loop {
            match schedule.take(ms(now)) {
                Turn::Send(due) => {
                    assert!(due <= ms(now) && ms(now) - due <= ms(101));
                    sent += 1;
                    // Slower than the rate, with a stall now and then.
                    now += if sent % 100 == 0 { 700 } else { 2 };
                }
                Turn::Wait(until) => now = u64::try_from(until.as_millis()).unwrap() + 1,
                Turn::End => break,
            }
        }
        assert!(schedule.abandoned() > 0);
        assert_eq!(sent + schedule.abandoned(), 10_000);
    }
}
