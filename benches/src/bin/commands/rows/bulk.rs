//! NDJSON in bulk.

use benches::load::bulk as send;

use super::at_least;
use crate::bulk_lines::receives;
use crate::platform::{Parts, Shape};
use crate::report::{Row, Spread};
use crate::rounds::{Side, rounds};
use crate::session::Session;

/// Both shapes, the write side alone.
pub(crate) fn bulk(session: &mut Session) -> anyhow::Result<()> {
    for shape in session.shapes.clone() {
        let platform = session.platform(&shape, Parts::Commands)?;
        let options = &session.options;
        let (requests, lines) = (options.bulk_requests, options.bulk_lines);
        let title = format!("NDJSON bulk, {}, {requests} requests of {lines} lines", shape.name());
        let mut keys = options.keys();
        let plan: Vec<_> = (0..requests).map(|_| receives(&mut keys, lines)).collect();
        let run = |_| send(platform.server.address(), &plan, options.bounds());
        let side = Side { name: "millrace".to_owned(), run: Box::new(run) };
        let runs = rounds(options, &title, vec![side])?.pop().unwrap_or_default();
        let rate = Spread::of(runs.iter().map(|run| run.accepted_per_s)).map_or(0.0, |rate| rate.median);
        let bound = match shape {
            Shape::Embedded => 100_000.0,
            Shape::Kafka(_) => 60_000.0,
        };
        let title = format!("{title} (latency: a request)");
        session.report.rows.push(Row { goal: at_least(rate, bound, "/s"), ..Row::of_runs(title, runs) });
        platform.end()?;
    }
    Ok(())
}
