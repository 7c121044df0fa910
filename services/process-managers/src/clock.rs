//! The clock as a port, so that tests drive time instead of waiting for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use schemas::Timestamp;
use tokio::sync::watch;

/// What time it is.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Waits until that moment. Dropping the future has no effect.
    async fn wait_until(&self, moment: Timestamp);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The machine's clock may be set while somebody waits: nobody sleeps longer than this without looking again.
const LOOK_AGAIN_MS: u64 = 1_000;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    async fn wait_until(&self, moment: Timestamp) {
        while let Ok(left_ms @ 1..) = u64::try_from(moment.as_millis().saturating_sub(self.now().as_millis()))
        {
            tokio::time::sleep(Duration::from_millis(left_ms.min(LOOK_AGAIN_MS))).await;
        }
    }
}

/// A clock that stands still until somebody sets it.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: watch::Sender::new(now) }
    }

    /// Lets `millis` pass and wakes who waited for that.
    pub fn advance(&self, millis: i64) {
        self.now.send_modify(|now| *now = now.plus_millis(millis));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    async fn wait_until(&self, moment: Timestamp) {
        let mut changes = self.now.subscribe();
        // The sender lives in `self`, so the channel cannot close while this borrows it.
        let _ = changes.wait_for(|now| *now >= moment).await;
    }
}
