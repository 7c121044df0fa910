//! What an append costs: the log's writers beside the same work done bare, in one run.
//!
//! For Kafka the ceiling is a loop of rdkafka transactions on two alternating ids, with librdkafka's own commit; for the
//! embedded log it is one fjall batch and one `fdatasync`. Both sides write the same records in the same order of runs.

mod bare;
mod figures;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use benches::machine;
use clap::Parser;
use event_log::{
    Batch, EmbeddedConfig, EmbeddedLog, Headers, KafkaConfig, KafkaLog, Log, LogConfig, NewRecord, Shard,
};
use schemas::{AggregateType, Timestamp};

use crate::figures::{Figures, Run};

/// Appends in a loop and prints latencies and rates.
#[derive(Parser)]
struct Options {
    /// Bootstrap address of a Kafka broker; without it only the embedded log is measured.
    #[arg(long, env = "MILLRACE_TEST_KAFKA")]
    kafka: Option<String>,
    /// Folder for the embedded log; a new folder in the current one by default (a memory file system would measure
    /// nothing).
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Seconds per run.
    #[arg(long, default_value_t = 2.0)]
    run_s: f64,
    /// Runs per figure.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds of warming up the broker's JVM before the first run.
    #[arg(long, default_value_t = 10.0)]
    warm_up_s: f64,
}

/// Records per batch.
const BATCHES: [usize; 3] = [1, 100, 1_000];
/// Bytes of a record's body.
const VALUE_BYTES: usize = 400;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    println!("machine: {}", machine());
    println!("versions: {}", bare::versions());
    println!(
        "settings: {VALUE_BYTES}-byte values, one writer, one partition, {} runs of {} s each, sides alternating",
        options.runs, options.run_s
    );
    if let Some(kafka) = &options.kafka {
        kafka_figures(&options, kafka)?;
    } else {
        println!("kafka: not measured, for --kafka BOOTSTRAP was not given");
    }
    embedded_figures(&options)
}

fn kafka_figures(options: &Options, bootstrap: &str) -> anyhow::Result<()> {
    let namespace = format!("bench-{}", std::process::id());
    let log = LogConfig { namespace: namespace.clone(), partitions: 1, ..LogConfig::default() };
    let config = KafkaConfig { log, bootstrap_servers: bootstrap.to_owned(), ..KafkaConfig::default() };
    KafkaLog::init_topics(&config)?;
    let log = KafkaLog::open(config)?;
    let mut writer = log.open_writer(Shard::new(0))?;
    let mut ceiling =
        bare::KafkaLoop::open(bootstrap, &namespace, log.topics().events(AggregateType::Stock))?;

    println!("\nkafka at {bootstrap}: warming up for {} s", options.warm_up_s);
    let warm_up = Instant::now();
    while warm_up.elapsed() < Duration::from_secs_f64(options.warm_up_s) {
        writer.append(Batch::of(records(&log, 100)))?;
        ceiling.transact(100, VALUE_BYTES)?;
    }
    for size in BATCHES {
        let mut ours = Figures::new("event-log", size);
        let mut bare = Figures::new("bare rdkafka", size);
        for _ in 0..options.runs {
            ours.push(run(options.run_s, size, || append(&log, &mut *writer, size))?);
            bare.push(run(options.run_s, size, || ceiling.transact(size, VALUE_BYTES))?);
        }
        ours.print();
        bare.print();
        ours.print_ratio(&bare);
        let p50 = ours.p50_ms();
        // A commit that polls in steps costs 100 ms; a transaction that begins on the id of the last one, 20 ms.
        let verdict =
            if p50 < 10.0 { "both traps (20 ms, 100 ms) avoided" } else { "IN A TRAP (20 ms, 100 ms)" };
        println!("  {size} per batch: p50 {p50:.2} ms: {verdict}");
    }
    take_overs(&log)
}

/// How long opening a writer over an idle owner takes: fencing, reading the last term, noting the new one.
fn take_overs(log: &KafkaLog) -> anyhow::Result<()> {
    let mut owner = log.open_writer(Shard::new(0))?;
    let mut times_ms = Vec::new();
    for _ in 0..9 {
        let begin = Instant::now();
        let next = log.open_writer(Shard::new(0))?;
        times_ms.push(begin.elapsed().as_secs_f64() * 1_000.0);
        owner = next;
    }
    drop(owner);
    times_ms.sort_unstable_by(f64::total_cmp);
    println!("  take-over of an idle shard: {:.0} ({:.0}–{:.0}) ms", times_ms[4], times_ms[0], times_ms[8]);
    Ok(())
}

fn embedded_figures(options: &Options) -> anyhow::Result<()> {
    let parent = options.dir.clone().map_or_else(std::env::current_dir, Ok)?;
    let folder = tempfile::Builder::new().prefix("bench-log-").tempdir_in(parent)?;
    println!("\nembedded in {}", folder.path().display());
    let log = LogConfig { partitions: 1, ..LogConfig::default() };
    let path = folder.path().join("log");
    let log = EmbeddedLog::open(EmbeddedConfig { log, path, ..EmbeddedConfig::default() })?;
    let mut writer = log.open_writer(Shard::new(0))?;
    let mut ceiling = bare::FjallLoop::open(&folder.path().join("bare"))?;
    for size in BATCHES {
        let mut ours = Figures::new("event-log", size);
        let mut bare = Figures::new("bare fjall", size);
        for _ in 0..options.runs {
            ours.push(run(options.run_s, size, || append(&log, &mut *writer, size))?);
            bare.push(run(options.run_s, size, || ceiling.write(size, VALUE_BYTES))?);
        }
        ours.print();
        bare.print();
        ours.print_ratio(&bare);
    }
    Ok(())
}

fn append(log: &dyn Log, writer: &mut dyn event_log::ShardWriter, size: usize) -> anyhow::Result<()> {
    writer.append(Batch::of(records(log, size)))?;
    Ok(())
}

fn records(log: &dyn Log, count: usize) -> Vec<NewRecord> {
    let record = NewRecord {
        topic: log.topics().events(AggregateType::Order).clone(),
        partition: 0,
        key: "order".into(),
        headers: Headers::new(),
        value: vec![7; VALUE_BYTES].into(),
        timestamp: Timestamp::from_millis(1_700_000_000_000),
    };
    vec![record; count]
}

/// Repeats `once` for `run_s` seconds.
fn run(run_s: f64, records: usize, mut once: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Run> {
    let mut latencies = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs_f64(run_s) {
        let begin = Instant::now();
        once()?;
        latencies.push(begin.elapsed());
    }
    Ok(Run::new(latencies, records, start.elapsed()))
}
