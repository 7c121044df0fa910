//! What commands over HTTP cost, beside a peer and beside the HTTP ceiling, all measured in one run.

mod bulk_lines;
mod ceiling;
mod database;
mod mix;
mod platform;
mod receive;
mod report;
mod rounds;
mod rows;
mod server;
mod session;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use benches::load::{Bounds, Keys};
use clap::{Parser, Subcommand, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::session::Session;

/// Measures commands over HTTP.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    helper: Option<Helper>,
    /// Bootstrap address of a Kafka broker; without it only the embedded shape is measured.
    #[arg(long, env = "MILLRACE_TEST_KAFKA")]
    kafka: Option<String>,
    /// Database for the peer; without it the peer is not measured.
    #[arg(long, env = "MILLRACE_BENCH_POSTGRES")]
    postgres: Option<String>,
    /// Process id of that database's server, on this machine: it rests while others than the peer are measured.
    #[arg(long, env = "MILLRACE_BENCH_POSTGRES_PID", requires = "postgres")]
    postgres_pid: Option<i32>,
    /// Only these groups of rows; by default all but big and import.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Also the cost among five million streams, which are loaded first.
    #[arg(long)]
    big: bool,
    /// How many those are.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..=9_999_999))]
    many_streams: u64,
    /// Also the ten-month import; MILLRACE_RETAIL_FILE names the file.
    #[arg(long)]
    import: bool,
    /// Only these shapes, embedded and kafka.
    #[arg(long, value_delimiter = ',')]
    shapes: Vec<String>,
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
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=9_999_999))]
    streams: u64,
    /// Choose streams by Zipf's law instead of uniformly.
    #[arg(long)]
    zipf: bool,
    /// Concurrent requests of the bulk rows.
    #[arg(long, default_value_t = 8)]
    bulk_requests: usize,
    /// Lines of each.
    #[arg(long, default_value_t = 5_000)]
    bulk_lines: u64,
    /// Connections of the open loops.
    #[arg(long, default_value_t = 2_048)]
    open_connections: usize,
    /// Rounds: runs per figure and side.
    #[arg(long, default_value_t = 3)]
    runs: u64,
    /// Seconds that are recorded of a run.
    #[arg(long, default_value_t = 5.0)]
    run_s: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    warm_up_s: f64,
    /// Seconds of warming up the broker's JVM before the first figure on it.
    #[arg(long, default_value_t = 10.0)]
    broker_warm_up_s: f64,
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

/// The kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    Receive,
    Mix,
    Bulk,
    Open,
    Start,
    Big,
    Import,
}

impl Options {
    fn groups(&self) -> Vec<Group> {
        if !self.only.is_empty() {
            return self.only.clone();
        }
        let mut groups = vec![Group::Start, Group::Receive, Group::Mix, Group::Bulk, Group::Open];
        groups.extend(self.big.then_some(Group::Big));
        groups.extend(self.import.then_some(Group::Import));
        groups
    }

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
    raise_file_limit();
    let groups = options.groups();
    let mut session = Session::start(options)?;
    for group in groups {
        match group {
            Group::Receive => rows::receive(&mut session)?,
            Group::Mix => rows::mix(&mut session)?,
            Group::Bulk => rows::bulk(&mut session)?,
            Group::Open => rows::overload(&mut session)?,
            Group::Start => rows::start(&mut session)?,
            Group::Big => rows::big(&mut session)?,
            Group::Import => rows::import(&mut session)?,
        }
    }
    session.end()
}

/// As many open files as we may have: connections are files, here and in the servers that inherit the limit.
fn raise_file_limit() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it stays low, too many connections are refused, and that is said then.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
