//! What folding a shard from nothing costs: a host with an empty state folder until its shard serves, beside a bare loop
//! that reads the same events, decodes them, applies them and writes the same states; both in one run.
//!
//! The host does more: it also checks versions, and remembers and writes the outcome of every command.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aggregate_host::{Host, HostConfig};
use aggregates::State;
use anyhow::Context as _;
use benches::machine;
use clap::Parser;
use event_log::{
    Batch, Cursor, EmbeddedConfig, EmbeddedLog, KafkaConfig, KafkaLog, Log, LogConfig, Shard, decode_event,
    encode_event,
};
use fjall::{Database, KeyspaceCreateOptions};
use schemas::stock::{ReceiveStock, StockCommand};
use schemas::{
    Command, CommandHash, CommandId, EventMetadata, Principal, Quantity, Sku, StreamId, Timestamp, Version,
};
use service_kit::Tasks;

/// Folds a shard from nothing.
#[derive(Parser)]
struct Options {
    /// Bootstrap address of a Kafka broker; without it only the embedded log is folded.
    #[arg(long, env = "MILLRACE_TEST_KAFKA")]
    kafka: Option<String>,
    /// Folder for data, on a disk; a new one in the current one by default.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Events of the shard.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    events: u64,
    /// Stock streams that they are of.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    streams: u64,
    /// Runs of each side, alternating.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
}

/// Events of one batch while the log is made.
const BATCH: usize = 2_000;
/// The bare loop writes its states after so many events, as a host does.
const CHECKPOINT_EVENTS: usize = 20_000;
/// Longest that one folding may take.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    println!("machine: {}", machine());
    println!(
        "one shard of {} events of {} stock streams, {} runs a side, alternating",
        options.events, options.streams, options.runs
    );
    let parent = options.dir.clone().map_or_else(std::env::current_dir, Ok)?;
    let folder = tempfile::Builder::new().prefix("bench-refold-").tempdir_in(parent)?;
    let log = LogConfig {
        namespace: format!("bench-refold-{}", std::process::id()),
        partitions: 1,
        ..LogConfig::default()
    };
    let config =
        EmbeddedConfig { log: log.clone(), path: folder.path().join("log"), ..EmbeddedConfig::default() };
    compare("embedded", Arc::new(EmbeddedLog::open(config)?), &options, folder.path())?;
    match options.kafka.clone() {
        Some(bootstrap_servers) => {
            let config = KafkaConfig { log, bootstrap_servers, ..KafkaConfig::default() };
            KafkaLog::init_topics(&config)?;
            compare("kafka", Arc::new(KafkaLog::open(config)?), &options, folder.path())
        }
        None => {
            println!("kafka: not measured, for --kafka BOOTSTRAP was not given");
            Ok(())
        }
    }
}

fn compare(name: &str, log: Arc<dyn Log>, options: &Options, folder: &Path) -> anyhow::Result<()> {
    println!("\n{name}: writing the events");
    write_events(&*log, options)?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        let rate = |elapsed: Duration| options.events as f64 / elapsed.as_secs_f64();
        bare.push(rate(fold_bare(&*log, options, &folder.join(format!("{name}-bare-{run}")))?));
        ours.push(rate(fold_as_host(&log, folder.join(format!("{name}-host-{run}")))?));
        println!(
            "  run {}: bare {:.0} events/s, host {:.0} events/s",
            run + 1,
            bare[run as usize],
            ours[run as usize]
        );
    }
    bare.sort_unstable_by(f64::total_cmp);
    ours.sort_unstable_by(f64::total_cmp);
    let (bare, ours) = (bare[bare.len() / 2], ours[ours.len() / 2]);
    println!("  median: bare {bare:.0} events/s, host {ours:.0} events/s, ratio {:.2}", ours / bare);
    Ok(())
}

/// Units are received, stream after stream, by commands of one event each.
fn write_events(log: &dyn Log, options: &Options) -> anyhow::Result<()> {
    let mut writer = log.open_writer(Shard::new(0))?;
    let mut states: HashMap<StreamId, (Version, State)> = HashMap::new();
    let mut records = Vec::with_capacity(BATCH);
    let principal = Principal::new("bench")?;
    // So recent that a host remembers every outcome.
    let began_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    for number in 0..options.events {
        let id = Sku::new(format!("SKU{}", number % options.streams))?;
        let body = StockCommand::Receive(ReceiveStock { quantity: Quantity::new(1)?, reference: None });
        let command = Command::Stock { id, body };
        let stream = command.stream();
        let (version, state) = states
            .entry(stream.clone())
            .or_insert_with(|| (Version::NONE, State::new(stream.aggregate_type())));
        let events = state.decide(&command).map_err(|rejection| anyhow::anyhow!("{rejection:?}"))?;
        for event in events {
            *version = version.next();
            let now = Timestamp::from_millis(began_ms + i64::try_from(number / 1_000)?);
            let command_id = CommandId::from_idempotency_key(&principal, &number.to_string());
            let metadata = EventMetadata {
                stream: stream.clone(),
                version: *version,
                occurred_at: now,
                recorded_at: now,
                command_id,
                command_hash: CommandHash::from_bytes([7; 16]),
                correlation_id: command_id.into(),
                causation_id: None,
                principal: principal.clone(),
                writer_term: writer.term().get(),
                traceparent: None,
            };
            records.push(encode_event(log.topics(), log.partitions(), &metadata, &event)?);
        }
        if records.len() >= BATCH || number + 1 == options.events {
            writer.append(Batch::of(std::mem::take(&mut records)))?;
        }
    }
    Ok(())
}

/// Reads, decodes, applies; writes changed states from time to time and at the end.
fn fold_bare(log: &dyn Log, options: &Options, path: &Path) -> anyhow::Result<Duration> {
    let database = Database::builder(path).open()?;
    let stored = database.keyspace("states", KeyspaceCreateOptions::default)?;
    let topics = log.topics().all_events().iter();
    let cursors: Vec<Cursor> = topics.map(|topic| Cursor::start(topic.clone(), 0)).collect();
    let started = Instant::now();
    let mut reader = log.open_reader(&cursors)?;
    let mut states: HashMap<StreamId, (Version, State)> = HashMap::new();
    let mut changed: HashSet<StreamId> = HashSet::new();
    let (mut events, mut unsaved) = (0_u64, 0);
    while !reader.caught_up() {
        for record in reader.read(5_000, Duration::from_millis(100))? {
            let recorded = decode_event(&record)?;
            let stream = recorded.metadata.stream;
            let (version, state) = states
                .entry(stream.clone())
                .or_insert_with(|| (Version::NONE, State::new(stream.aggregate_type())));
            state.apply(&recorded.event)?;
            *version = recorded.metadata.version;
            changed.insert(stream);
            events += 1;
            unsaved += 1;
        }
        if unsaved >= CHECKPOINT_EVENTS || reader.caught_up() {
            let mut batch = database.batch();
            for stream in changed.drain() {
                batch.insert(&stored, stream.to_string(), postcard::to_stdvec(&states[&stream])?);
            }
            batch.commit()?;
            unsaved = 0;
        }
        anyhow::ensure!(started.elapsed() < PATIENCE, "the bare loop is too slow");
    }
    let elapsed = started.elapsed();
    anyhow::ensure!(events == options.events, "the bare loop has read {events} events");
    Ok(elapsed)
}

/// A host starts with an empty state folder, and serves.
fn fold_as_host(log: &Arc<dyn Log>, folder: PathBuf) -> anyhow::Result<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let started = Instant::now();
        let tasks = Tasks::new();
        let host = Host::start(Arc::clone(log), HostConfig::default(), folder, None, &tasks)?;
        anyhow::ensure!(host.serving(1, PATIENCE).await, "the shard does not serve");
        let elapsed = started.elapsed();
        tasks.shutdown(Duration::from_secs(30)).await.context("the host did not end")?;
        Ok(elapsed)
    })
}
