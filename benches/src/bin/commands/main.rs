//! What commands over HTTP cost, beside a peer and beside the HTTP ceiling, all measured in one run.

mod ceiling;
mod platform;
mod receive;
mod report;
mod rounds;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use benches::load::{Bounds, Keys};
use benches::machine;
use clap::{Parser, Subcommand};

use crate::platform::{Parts, Place, Shape};
use crate::report::{Report, Row, Spread};
use crate::rounds::{ratios, receive_side, rounds};
use crate::server::{Server, free_address};

/// Measures commands over HTTP.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    helper: Option<Helper>,
    /// Bootstrap address of a Kafka broker; without it only the embedded shape is measured.
    #[arg(long, env = "MILLRACE_TEST_KAFKA")]
    kafka: Option<String>,
    /// The program to measure; by default the one beside this one.
    #[arg(long, env = "MILLRACE_BIN")]
    program: Option<PathBuf>,
    /// Folder for data, on a disk; by default the one of this program (a memory file system would measure nothing).
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Connections of the closed loops.
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256])]
    connections: Vec<usize>,
    /// Stock streams that the receives go to.
    #[arg(long, default_value_t = 10_000)]
    streams: u64,
    /// Choose streams by Zipf's law instead of uniformly.
    #[arg(long)]
    zipf: bool,
    /// Rounds: runs per figure and side.
    #[arg(long, default_value_t = 5)]
    runs: u64,
    /// Seconds that are recorded of a run.
    #[arg(long, default_value_t = 5.0)]
    run_s: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    warm_up_s: f64,
    /// Most requests of one run.
    #[arg(long, default_value_t = 20_000_000)]
    requests_max: u64,
    /// Seed of the load.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A short round: one run of two seconds per figure, for a look and not for the docs.
    #[arg(long)]
    quick: bool,
    /// Write everything as JSON to this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What this program starts itself as.
#[derive(Subcommand)]
enum Helper {
    /// Serve the HTTP ceiling.
    #[command(hide = true)]
    Ceiling {
        /// Where.
        address: SocketAddr,
    },
}

impl Options {
    fn rounds(&self) -> u64 {
        if self.quick { 1 } else { self.runs.max(1) }
    }

    fn bounds(&self) -> Bounds {
        let (warm_up_s, run_s) = if self.quick { (0.5, 2.0) } else { (self.warm_up_s, self.run_s) };
        Bounds {
            warm_up: Duration::from_secs_f64(warm_up_s),
            measure: Duration::from_secs_f64(run_s),
            requests_max: self.requests_max,
        }
    }

    fn keys(&self) -> Keys {
        if self.zipf { Keys::zipf(self.streams, self.seed) } else { Keys::uniform(self.streams, self.seed) }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(Helper::Ceiling { address }) = options.helper {
        return ceiling::serve(address);
    }
    let place = Place::new(options.program.clone(), options.dir.clone())?;
    let mut report = Report::default();
    report.condition(format!("machine: {}", machine()));
    let Bounds { warm_up, measure, .. } = options.bounds();
    report.condition(format!(
        "settings: receive of one unit over {} stock streams ({}), seed {}, {} rounds of {} s after {} s of warm-up, sides \
         alternating; client, servers and stores on the same cores",
        options.streams,
        if options.zipf { "Zipf" } else { "uniform" },
        options.seed,
        options.rounds(),
        measure.as_secs_f64(),
        warm_up.as_secs_f64(),
    ));
    let ceiling = start_ceiling(&place)?;
    receive_rows(&options, &place, &ceiling, &mut report)?;
    ceiling.stop_now();
    println!("\n{}", report.table());
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn start_ceiling(place: &Place) -> anyhow::Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["ceiling", &address.to_string()]);
    Ok(Server::start(&mut command, address, &place.folder.path().join("ceiling.log"))?.0)
}

/// Commands a request, closed loop.
fn receive_rows(
    options: &Options,
    place: &Place,
    ceiling: &Server,
    report: &mut Report,
) -> anyhow::Result<()> {
    let keys = options.keys();
    let mut shapes = vec![Shape::Embedded];
    shapes.extend(options.kafka.clone().map(Shape::Kafka));
    for shape in &shapes {
        for parts in [Parts::Commands, Parts::All] {
            let platform = place.start(shape, parts)?;
            for &connections in &options.connections {
                let title = format!("receive, {}, {}, {connections} connections", shape.name(), parts.name());
                let sides = vec![
                    receive_side("millrace", options, platform.server.address(), connections, &keys),
                    receive_side("ceiling", options, ceiling.address(), connections, &keys),
                ];
                let mut runs = rounds(options, &title, sides)?;
                let (bound, ours) = (runs.pop().unwrap_or_default(), runs.pop().unwrap_or_default());
                let share =
                    Spread::of(ratios(&ours, &bound, |run| run.accepted_per_s)).map(|share| share.median);
                report.rows.push(Row { share_of_ceiling: share, ..Row::of_runs(&title, ours) });
            }
            platform.end()?;
        }
    }
    Ok(())
}
