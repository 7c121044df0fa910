//! The checkout mix, one command a request.

use std::cell::Cell;
use std::time::Duration;

use benches::load::{bulk_once, closed};

use super::Lag;
use crate::bulk_lines::deliveries;
use crate::mix::{Mix, STEPS, STOCK};
use crate::platform::{Parts, Platform};
use crate::report::Row;
use crate::rounds::{Side, rounds};
use crate::session::Session;

/// As many as the bulk route takes at a time (`commands_api.bulk_requests_max`).
const CONNECTIONS: usize = 64;
const STOCK_LIMIT: Duration = Duration::from_secs(120);

/// Both shapes, the write side alone and with the projectors; the process managers are played by the load.
pub(crate) fn mix(session: &mut Session) -> anyhow::Result<()> {
    for shape in session.shapes.clone() {
        for parts in [Parts::Commands, Parts::Projectors] {
            let platform = session.platform(&shape, parts)?;
            let options = &session.options;
            let stock = deliveries(options.streams, STOCK, options.bulk_lines);
            bulk_once(platform.server.address(), 4, stock, STOCK_LIMIT)?;
            let lag = Cell::new(Lag::default());
            let title =
                format!("checkout mix, {}, {}, {CONNECTIONS} connections", shape.name(), parts.name());
            let mut runs = rounds(options, &title, vec![side(session, &platform, parts, &lag)])?;
            let runs = runs.pop().unwrap_or_default();
            let mut row = Row::of_runs(title, runs);
            let lag = lag.into_inner();
            if lag.events > 0 {
                row.figure += &format!(
                    "; views {} behind, caught up after {:.1} s",
                    lag.events,
                    lag.catch_up.as_secs_f64()
                );
            }
            row.figure += &format!("; {} commands an order", STEPS.len());
            session.report.rows.push(row);
            platform.end()?;
        }
    }
    Ok(())
}

fn side<'a>(session: &'a Session, platform: &'a Platform, parts: Parts, lag: &'a Cell<Lag>) -> Side<'a> {
    let options = &session.options;
    let keys = options.keys();
    let run = move |round: u64| {
        let tally = closed(platform.server.address(), CONNECTIONS, options.bounds(), |index| {
            let seed = options.seed + (round << 32) + index as u64;
            Mix::new(keys.reseeded(seed), format!("r{round}-c{index}"))
        })?;
        if parts != Parts::Commands {
            lag.set(Lag::of(platform)?);
        }
        Ok(tally)
    };
    Side { name: "millrace".to_owned(), run: Box::new(run) }
}
