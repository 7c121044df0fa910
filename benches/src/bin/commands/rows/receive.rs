//! One event, one command a request, closed loop: the first rows of the goals.

use std::cell::Cell;

use super::Lag;
use crate::database::Database;
use crate::platform::{Parts, Shape};
use crate::report::{Goal, Row, Run, Spread};
use crate::rounds::{Side, ratios, receive_side, rounds};
use crate::session::{Beside, Session};

/// Both shapes, the write side alone and with everything, at each number of connections.
pub(crate) fn receive(session: &mut Session) -> anyhow::Result<()> {
    for shape in session.shapes.clone() {
        for parts in [Parts::Commands, Parts::All] {
            let platform = session.platform(&shape, parts)?;
            for connections in session.options.connections.clone() {
                row(session, &platform, &shape, parts, connections)?;
            }
            platform.end()?;
        }
    }
    Ok(())
}

fn row(
    session: &mut Session,
    platform: &crate::platform::Platform,
    shape: &Shape,
    parts: Parts,
    connections: usize,
) -> anyhow::Result<()> {
    let keys = session.options.keys();
    let options = &session.options;
    let title = format!("receive, {}, {}, {connections} connections", shape.name(), parts.name());
    let lag = Cell::new(Lag::default());
    let mut ours = receive_side("millrace", options, platform.server.address(), connections, &keys);
    if parts != Parts::Commands {
        let (mut load, lag) = (ours.run, &lag);
        ours.run = Box::new(move |round| {
            let tally = load(round)?;
            lag.set(Lag::of(platform)?);
            Ok(tally)
        });
    }
    let mut sides: Vec<Side<'_>> = vec![ours];
    let beside =
        |beside: &Beside| receive_side(beside.name, options, beside.server.address(), connections, &keys);
    if let Some(peer) = &session.peer {
        let theirs = beside(peer);
        sides.push(match &session.database {
            Some(database) => awake(theirs, database),
            None => theirs,
        });
    }
    sides.push(beside(&session.ceiling));
    let mut runs = rounds(options, &title, sides)?.into_iter();
    let ours = runs.next().unwrap_or_default();
    let mut row = Row::of_runs(title, ours.clone());
    if let (Some(peer), Some(theirs)) = (&mut session.peer, (runs.len() == 2).then(|| runs.next()).flatten())
    {
        row.times_peer = median(ratios(&ours, &theirs, |run| run.accepted_per_s));
        row.goal = target(shape, parts, connections).and_then(|target| target.goal(&ours, &theirs));
        peer.runs.entry(connections).or_default().extend(theirs);
    }
    let ceiling = runs.next().unwrap_or_default();
    row.share_of_ceiling = median(ratios(&ours, &ceiling, |run| run.accepted_per_s));
    session.ceiling.runs.entry(connections).or_default().extend(ceiling);
    let lag = lag.into_inner();
    if lag.events > 0 {
        row.figure +=
            &format!("; views {} behind, caught up after {:.1} s", lag.events, lag.catch_up.as_secs_f64());
    }
    session.report.rows.push(row);
    Ok(())
}

/// The peer's side, whose database is awake only meanwhile.
fn awake<'a>(mut side: Side<'a>, database: &'a Database) -> Side<'a> {
    let run = move |round| {
        database.wake()?;
        let tally = (side.run)(round);
        database.rest()?;
        tally
    };
    Side { name: side.name, run: Box::new(run) }
}

fn median(values: Vec<f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

/// What a row has to reach.
struct Target {
    times_peer: f64,
    latency: LatencyTarget,
}

enum LatencyTarget {
    Any,
    /// p99 at most this, milliseconds.
    Ms(f64),
    /// p99 at most half of the peer's.
    HalfOfPeer,
}

/// The goals of issue and benchmark rules; with everything running half the rate is due.
fn target(shape: &Shape, parts: Parts, connections: usize) -> Option<Target> {
    use LatencyTarget::{Any, HalfOfPeer, Ms};
    let (times_peer, latency) = match (shape, connections) {
        (Shape::Embedded, 16) => (8.0, Ms(10.0)),
        (Shape::Embedded, 64 | 256) => (20.0, HalfOfPeer),
        (Shape::Kafka(_), 16) => (1.7, Any),
        (Shape::Kafka(_), 64) => (6.0, HalfOfPeer),
        (Shape::Kafka(_), 256) => (12.0, HalfOfPeer),
        _ => return None,
    };
    Some(match parts {
        Parts::Commands => Target { times_peer, latency },
        _ => Target { times_peer: times_peer / 2.0, latency: Any },
    })
}

impl Target {
    fn goal(&self, ours: &[Run], theirs: &[Run]) -> Option<Goal> {
        let times = median(ratios(ours, theirs, |run| run.accepted_per_s))?;
        let share_of_p99 = median(ratios(ours, theirs, |run| run.p99_ms))?;
        let p99_ms = median(ours.iter().map(|run| run.p99_ms).collect())?;
        let (text, is_quick) = match self.latency {
            LatencyTarget::Any => (String::new(), true),
            LatencyTarget::Ms(bound) => (format!(", p99 ≤ {bound} ms"), p99_ms <= bound),
            LatencyTarget::HalfOfPeer => {
                (format!(", p99 ≤ ½ peer's (is {share_of_p99:.2})"), share_of_p99 <= 0.5)
            }
        };
        Some(Goal {
            text: format!("≥ {}× peer{text}", self.times_peer),
            met: times >= self.times_peer && is_quick,
        })
    }
}

#[cfg(test)]
mod tests {
    use benches::load::Tally;

    use super::*;

    fn run(accepted_per_s: f64, p99_ms: f64) -> Run {
        Run { accepted_per_s, p99_ms, ..Run::from(&Tally::default()) }
    }

    #[test]
    fn rate_and_latency_have_both_to_reach_the_goal() {
        let target = target(&Shape::Embedded, Parts::Commands, 64).unwrap();
        let peer = [run(2_000.0, 40.0), run(1_000.0, 80.0), run(2_000.0, 40.0)];
        let met = |ours: [Run; 3]| target.goal(&ours, &peer).unwrap().met;
        assert!(met([run(40_000.0, 20.0), run(20_000.0, 40.0), run(1.0, 1_000.0)]));
        assert!(!met([run(39_000.0, 20.0), run(19_000.0, 40.0), run(90_000.0, 1.0)]));
        assert!(!met([run(40_000.0, 21.0), run(20_000.0, 41.0), run(90_000.0, 1.0)]));
    }

    #[test]
    fn with_everything_running_half_the_rate_is_due() {
        let times = |parts| target(&Shape::Kafka("b:1".to_owned()), parts, 256).unwrap().times_peer;
        assert!((times(Parts::Commands) - 2.0 * times(Parts::All)).abs() < f64::EPSILON);
        assert!(target(&Shape::Embedded, Parts::Commands, 17).is_none());
    }
}
