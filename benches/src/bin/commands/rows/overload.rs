//! Open loop below and above what the server can do.

use std::time::Duration;

use benches::load::{Open, closed, open};

use crate::platform::Parts;
use crate::receive::Receive;
use crate::report::{Row, Run, Spread};
use crate::rounds::{Side, rounds};
use crate::session::Session;

/// Connections at which the sustainable rate is measured.
const SUSTAINABLE_CONNECTIONS: usize = 256;
/// What is offered, as shares of the sustainable rate.
const SHARES: [f64; 2] = [0.5, 3.0];
/// How long a caller waits for a connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// Both shapes, the write side alone: half and three times the rate that a closed loop just reached.
pub(crate) fn overload(session: &mut Session) -> anyhow::Result<()> {
    for shape in session.shapes.clone() {
        let platform = session.platform(&shape, Parts::Commands)?;
        let (options, address) = (&session.options, platform.server.address());
        let keys = options.keys();
        let requests = |index: usize| Receive::new(keys.reseeded(options.seed + index as u64));
        let sustainable =
            closed(address, SUSTAINABLE_CONNECTIONS, options.bounds(), requests)?.accepted_per_s();
        for share in SHARES {
            let plan = Open {
                rate_per_s: sustainable * share,
                connections: options.open_connections,
                patience: PATIENCE,
            };
            let title = format!(
                "open loop, {}, {share} × the sustainable {sustainable:.0}/s, {} connections",
                shape.name(),
                plan.connections
            );
            let run = |_| open(address, plan, options.bounds(), requests);
            let side = Side { name: "millrace".to_owned(), run: Box::new(run) };
            let runs = rounds(options, &title, vec![side])?.pop().unwrap_or_default();
            session.report.rows.push(row(title, runs));
        }
        platform.end()?;
    }
    Ok(())
}

fn row(title: String, runs: Vec<Run>) -> Row {
    let median =
        |of: fn(&Run) -> f64| Spread::of(runs.iter().map(of)).map_or(f64::NAN, |spread| spread.median);
    let all = |run: &Run| (run.accepted + run.refused + run.failed + run.abandoned) as f64;
    let refused =
        100.0 * Spread::of(runs.iter().map(|run| run.refused as f64 / all(run))).map_or(0.0, |s| s.median);
    let given_up =
        100.0 * Spread::of(runs.iter().map(|run| run.abandoned as f64 / all(run))).map_or(0.0, |s| s.median);
    let service = median(|run| run.service_p99_ms);
    let mut row = Row::of_runs(title, runs);
    row.figure += &format!(
        " accepted, {refused:.1} % refused, {given_up:.1} % given up; p99 from sending {service:.2} ms"
    );
    row
}
