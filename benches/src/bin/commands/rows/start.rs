//! What an idle platform takes: memory, and time from its start to ready on an empty log.

use std::time::Duration;

use super::at_most;
use crate::platform::Parts;
use crate::report::{Row, Spread};
use crate::session::Session;

/// How long it has nothing to do before its memory is looked at.
const IDLE: Duration = Duration::from_secs(3);

/// Both shapes, everything running.
pub(crate) fn start(session: &mut Session) -> anyhow::Result<()> {
    for shape in session.shapes.clone() {
        let (mut ready_s, mut resident_mb) = (Vec::new(), Vec::new());
        println!("\nidle, {}, everything", shape.name());
        for round in 0..session.options.rounds() {
            let platform = session.platform(&shape, Parts::All)?;
            std::thread::sleep(IDLE);
            let resident = platform.server.resident_bytes()? as f64 / 1e6;
            println!("  round {}  ready after {:?}, {resident:.0} MB", round + 1, platform.ready_after);
            ready_s.push(platform.ready_after.as_secs_f64());
            resident_mb.push(resident);
            platform.end()?;
        }
        let mut push = |name: String, values: Vec<f64>, bound: f64, unit: &str| {
            let Some(spread) = Spread::of(values) else { return };
            let figure = format!("{:.2} ({:.2}–{:.2}){unit}", spread.median, spread.low, spread.high);
            session.report.rows.push(Row::of_figure(name, figure, at_most(spread.median, bound, unit)));
        };
        push(format!("start to ready, {}, empty log", shape.name()), ready_s, 1.0, " s");
        push(format!("idle memory of up, {}", shape.name()), resident_mb, 60.0, " MB");
    }
    Ok(())
}
