//! How long a run lasts, and what of it is recorded.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::tally::Tally;

/// How long a run may go on after its end, for the answers that are still out.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bounds of one run.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Before anything is recorded.
    pub warm_up: Duration,
    /// What is recorded.
    pub measure: Duration,
    /// Most requests (bulk: lines), the warm-up's included.
    pub requests_max: u64,
}

/// The recorded part of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    start: Instant,
    end: Instant,
}

impl Window {
    pub(super) fn after(begin: Instant, bounds: &Bounds) -> Self {
        let start = begin + bounds.warm_up;
        Self { start, end: start + bounds.measure }
    }

    /// Whether something that happens now is recorded.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.start <= now && now < self.end
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.end
    }

    /// Fills in how long was recorded: up to the end, or to `now` where the count ended the run.
    pub(super) fn close(&self, tally: &mut Tally, now: Instant) {
        tally.elapsed = now.min(self.end).saturating_duration_since(self.start);
    }
}

/// Runs `load` on this thread alone, bounded.
pub(super) fn block_on(
    bounds: &Bounds,
    load: impl Future<Output = anyhow::Result<Tally>>,
) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = bounds.warm_up + bounds.measure + PATIENCE;
    let (begin, used) = (Instant::now(), processor_time());
    let mut tally = runtime
        .block_on(async { tokio::time::timeout(limit, load).await })
        .context("answers were missing a minute after the end of the run")??;
    if tally.elapsed.is_zero() {
        bail!("nothing was recorded: the count ended the run during its warm-up");
    }
    tally.generator_cores = (processor_time() - used).as_secs_f64() / begin.elapsed().as_secs_f64();
    Ok(tally)
}

/// What this process has used so far; nothing where the system does not tell.
fn processor_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}
