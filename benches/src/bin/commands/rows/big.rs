//! What a command costs among many streams: five million (or `--many-streams`) against ten thousand.

use std::cell::Cell;
use std::time::Duration;

use benches::load::{Keys, bulk_once, closed};

use super::at_most;
use crate::Options;
use crate::bulk_lines::deliveries;
use crate::platform::{Parts, Platform, Shape};
use crate::receive::Receive;
use crate::report::{Row, Run, Spread};
use crate::rounds::{Side, rounds};
use crate::session::Session;

const FEW: u64 = 10_000;
const CONNECTIONS: usize = 256;
const FILL_LIMIT: Duration = Duration::from_secs(1_800);

/// The embedded shape, the write side alone. Cost is time per accepted command at saturation; beside it stands the
/// server's processor time.
pub(crate) fn big(session: &mut Session) -> anyhow::Result<()> {
    let many_streams = session.options.many_streams;
    let (few, many) = (filled(session, FEW)?, filled(session, many_streams)?);
    for (law, bound) in [("Zipf", 1.3), ("uniform", 2.0)] {
        let options = &session.options;
        let keys = |streams| match law {
            "Zipf" => Keys::zipf(streams, options.seed),
            _ => Keys::uniform(streams, options.seed),
        };
        let title = format!("cost per command, embedded, {many_streams} against {FEW} streams, {law}");
        let (few_cost, many_cost) = (Cell::new(0.0), Cell::new(0.0));
        let sides = vec![
            side(options, "few", &few, keys(FEW), &few_cost),
            side(options, "many", &many, keys(many_streams), &many_cost),
        ];
        let runs = rounds(options, &title, sides)?;
        let [few_runs, many_runs] = <[Vec<Run>; 2]>::try_from(runs).unwrap_or_default();
        let dearer =
            few_runs.iter().zip(&many_runs).map(|(few, many)| few.accepted_per_s / many.accepted_per_s);
        let times = Spread::of(dearer).map_or(f64::NAN, |spread| spread.median);
        let mut row = Row::of_runs(title, many_runs);
        row.figure = format!(
            "{times:.2}× ({}); processor {:.1} against {:.1} µs a command",
            row.figure,
            many_cost.get(),
            few_cost.get()
        );
        row.goal = at_most(times, bound, "×");
        session.report.rows.push(row);
    }
    few.end()?;
    many.end()
}

/// A platform whose log has so many stock streams.
fn filled(session: &Session, streams: u64) -> anyhow::Result<Platform> {
    let platform = session.platform(&Shape::Embedded, Parts::Commands)?;
    println!("\nfilling {streams} streams");
    let lines = session.options.bulk_lines;
    let tally = bulk_once(platform.server.address(), 4, deliveries(streams, 1, lines), FILL_LIMIT)?;
    anyhow::ensure!(
        tally.accepted == streams,
        "only {} streams were filled: {:?}",
        tally.accepted,
        tally.first_failure
    );
    println!(
        "  {:.0} s, {:.0} MB resident",
        tally.elapsed.as_secs_f64(),
        platform.server.resident_bytes()? as f64 / 1e6
    );
    Ok(platform)
}

/// Runs whose last one's processor time per command, microseconds, goes to `cost`.
fn side<'a>(
    options: &'a Options,
    name: &str,
    platform: &'a Platform,
    keys: Keys,
    cost: &'a Cell<f64>,
) -> Side<'a> {
    let run = move |round: u64| {
        let before = platform.server.processor_time()?;
        let tally = closed(platform.server.address(), CONNECTIONS, options.bounds(), |index| {
            Receive::new(keys.reseeded(options.seed + (round << 32) + index as u64))
        })?;
        let used = platform.server.processor_time()? - before;
        // The warm-up's commands are not counted, so its share of the time is not either.
        let bounds = options.bounds();
        let share = bounds.measure.as_secs_f64() / (bounds.warm_up + bounds.measure).as_secs_f64();
        cost.set(used.as_secs_f64() * 1e6 * share / tally.accepted as f64);
        Ok(tally)
    };
    Side { name: name.to_owned(), run: Box::new(run) }
}
