//! The rows of the table, one module a kind.

mod big;
mod bulk;
mod import;
mod mix;
mod overload;
mod receive;
mod start;

pub(crate) use big::big;
pub(crate) use bulk::bulk;
pub(crate) use import::import;
pub(crate) use mix::mix;
pub(crate) use overload::overload;
pub(crate) use receive::receive;
pub(crate) use start::start;

use std::time::Duration;

use crate::platform::Platform;
use crate::report::Goal;

/// How long views may take to catch up after a run.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(600);

/// What the views were behind by at the end of a run, and how long they took to catch up.
#[derive(Clone, Copy, Debug, Default)]
struct Lag {
    events: u64,
    catch_up: Duration,
}

impl Lag {
    /// Measures it, and so waits for the end of it: the next run should not pay for this one.
    fn of(platform: &Platform) -> anyhow::Result<Self> {
        let begin = std::time::Instant::now();
        let events = platform.lag_events()?;
        while platform.lag_events()? > 0 {
            anyhow::ensure!(begin.elapsed() < CATCH_UP_LIMIT, "the views don't catch up");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(Self { events, catch_up: begin.elapsed() })
    }
}

/// A goal for a figure that should be at least, or at most, so much.
fn at_least(figure: f64, bound: f64, unit: &str) -> Option<Goal> {
    Some(Goal { text: format!("≥ {bound}{unit}"), met: figure >= bound })
}

fn at_most(figure: f64, bound: f64, unit: &str) -> Option<Goal> {
    Some(Goal { text: format!("≤ {bound}{unit}"), met: figure <= bound })
}
