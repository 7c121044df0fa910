//! Rounds: every side runs once in each, so that what drifts on a shared machine drifts for all of them.

use benches::load::{Keys, Tally, closed};

use super::Options;
use crate::receive::Receive;
use crate::report::Run;

/// One of those that are held against each other.
pub(crate) struct Side<'a> {
    pub(crate) name: String,
    /// Runs it once; the number of the round makes its seed.
    pub(crate) run: Box<dyn FnMut(u64) -> anyhow::Result<Tally> + 'a>,
}

/// The runs of each side, in order of the sides.
pub(crate) fn rounds(
    options: &Options,
    title: &str,
    mut sides: Vec<Side<'_>>,
) -> anyhow::Result<Vec<Vec<Run>>> {
    println!("\n{title}");
    let mut all: Vec<Vec<Run>> = sides.iter().map(|_| Vec::new()).collect();
    for round in 0..options.rounds() {
        for (side, runs) in sides.iter_mut().zip(&mut all) {
            let run = Run::from(&(side.run)(round)?);
            println!("  round {}  {:<12} {}", round + 1, side.name, run.text());
            runs.push(run);
        }
    }
    Ok(all)
}

/// One-event receives in a closed loop.
pub(crate) fn receive_side<'a>(
    name: impl Into<String>,
    options: &'a Options,
    address: std::net::SocketAddr,
    connections: usize,
    keys: &'a Keys,
) -> Side<'a> {
    let run = move |round: u64| {
        closed(address, connections, options.bounds(), |index| {
            Receive::new(keys.reseeded(options.seed + (round << 32) + index as u64))
        })
    };
    Side { name: name.into(), run: Box::new(run) }
}

/// The ratios of two sides' figures, round by round.
pub(crate) fn ratios(ours: &[Run], theirs: &[Run], of: fn(&Run) -> f64) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs)).collect()
}
