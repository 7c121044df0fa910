//! A log in a folder, commands decided by the test, and events written as the shards would.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use command_client::{Answer, Commands, RetryPolicy, SubmitError};
use event_log::{Batch, EmbeddedConfig, EmbeddedLog, Log, LogConfig, Shard, ShardWriter, encode_event};
use process_managers::{
    EffectLimits, ManualClock, ProcessManagers, ProcessManagersConfig, ProcessManagersHandle, Providers,
    SandboxCarrier, SandboxConfig, SandboxProvider, TimerLimits,
};
use read_store::{FjallConfig, FjallStore, ReadStore};
use schemas::order::{LineKind, OrderLine, OrderPlaced};
use schemas::product::TaxClass;
use schemas::{
    Accepted, AggregateType, Command, CommandEnvelope, CommandHash, CommandId, CorrelationId, Currency,
    Event, EventMetadata, Money, OrderId, Outcome, Position, Principal, Quantity, Sku, StreamId, Timestamp,
    Version,
};
use service_kit::Tasks;
use tempfile::TempDir;
use tokio::sync::watch;

/// When the tests take place.
pub(crate) const T0: i64 = 1_700_000_000_000;
/// The latest moment at which what a test waits for must have happened.
const SOON: Duration = Duration::from_secs(20);

type Decide = Box<dyn Fn(&CommandEnvelope) -> Outcome + Send + Sync>;

/// Commands that a test decides, holds back, and counts.
pub(crate) struct FakeCommands {
    seen: Mutex<Vec<CommandEnvelope>>,
    decide: Mutex<Decide>,
    /// Streams whose commands get no answer for now.
    held: watch::Sender<HashSet<String>>,
}

pub(crate) fn accepted() -> Outcome {
    let position = Position { topic: "t".into(), partition: 0, offset: 0 };
    Outcome::Accepted(Accepted { version: Version::FIRST, events: 1, position })
}

impl FakeCommands {
    pub(crate) fn new() -> Arc<Self> {
        let decide: Decide = Box::new(|_| accepted());
        Arc::new(Self {
            seen: Mutex::default(),
            decide: Mutex::new(decide),
            held: watch::Sender::new(HashSet::new()),
        })
    }

    pub(crate) fn decide(&self, decide: impl Fn(&CommandEnvelope) -> Outcome + Send + Sync + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    pub(crate) fn hold(&self, stream: &str) {
        self.held.send_modify(|held| {
            held.insert(stream.to_owned());
        });
    }

    pub(crate) fn let_go(&self) {
        self.held.send_modify(HashSet::clear);
    }

    /// Everything submitted, in order.
    pub(crate) fn seen(&self) -> Vec<CommandEnvelope> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn ids(&self) -> HashSet<CommandId> {
        self.seen().iter().map(|envelope| envelope.command_id).collect()
    }

    /// How many different commands of that kind went to the stream: `payment/1001`, `RecordAuthorised`.
    pub(crate) fn count(&self, stream: &str, kind: &str) -> usize {
        let seen = self.seen();
        let is_meant = |envelope: &&CommandEnvelope| {
            envelope.command.stream().to_string() == stream
                && format!("{:?}", envelope.command).contains(kind)
        };
        seen.iter().filter(is_meant).map(|envelope| envelope.command_id).collect::<HashSet<_>>().len()
    }
}

#[async_trait]
impl Commands for FakeCommands {
    async fn submit(&self, envelope: CommandEnvelope) -> Result<Answer, SubmitError> {
        let outcome = (self.decide.lock().unwrap())(&envelope);
        let command_id = envelope.command_id;
        let stream = envelope.command.stream().to_string();
        self.seen.lock().unwrap().push(envelope);
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held.contains(&stream)).await.map_err(|_| SubmitError::ShuttingDown)?;
        Ok(Answer { command_id, outcome, replayed: false })
    }
}

/// A log, its shards' writers, and what the process managers need.
pub(crate) struct Platform {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) payments: Arc<SandboxProvider>,
    pub(crate) config: ProcessManagersConfig,
    writers: Vec<Box<dyn ShardWriter>>,
    versions: HashMap<StreamId, Version>,
    matters: Arc<dyn ReadStore>,
    folder: TempDir,
}

/// Running process managers.
pub(crate) struct Running {
    pub(crate) tasks: Tasks,
    pub(crate) handle: ProcessManagersHandle,
}

impl Running {
    pub(crate) async fn stop(self) {
        tokio::time::timeout(SOON, self.handle.shutdown()).await.expect("they end");
        self.tasks.shutdown(SOON).await.unwrap();
    }
}

impl Platform {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig {
            log: LogConfig { partitions: 2, ..LogConfig::default() },
            path: folder.path().join("log"),
            ..EmbeddedConfig::default()
        };
        let log = Arc::new(EmbeddedLog::open(config).unwrap());
        let writers = (0..2).map(|k| log.open_writer(Shard::new(k)).unwrap()).collect();
        let quick = SandboxConfig { late_ms: 30, reorder_hold_ms: 10, ..SandboxConfig::default() };
        let config = ProcessManagersConfig {
            drain_ms_max: 200,
            commit_interval_ms: 5,
            read_wait_ms_max: 10,
            submit: RetryPolicy { backoff_first_ms: 1, backoff_max_ms: 5, ..RetryPolicy::default() },
            effects: EffectLimits { backoff_first_ms: 1, backoff_max_ms: 5, ..EffectLimits::default() },
            timers: TimerLimits { tracking_first_ms: 1_000, ..TimerLimits::default() },
            ..ProcessManagersConfig::default()
        };
        Self {
            matters: matters(&folder, "matters"),
            folder,
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(T0))),
            payments: Arc::new(SandboxProvider::new(quick)),
            config,
            writers,
            versions: HashMap::new(),
            log,
        }
    }

    /// Forgets the table of open matters.
    pub(crate) fn lose_matters(&mut self, name: &str) {
        self.matters = matters(&self.folder, name);
    }

    pub(crate) async fn start(&self, commands: &Arc<FakeCommands>) -> Running {
        let tasks = Tasks::new();
        let providers =
            Providers { payments: self.payments.clone(), carrier: Arc::new(SandboxCarrier::new()) };
        let log: Arc<dyn Log> = self.log.clone();
        let managers =
            ProcessManagers::new(log, commands.clone(), providers, self.matters.clone(), self.config.clone())
                .unwrap();
        let handle = managers.with_clock(self.clock.clone()).start(&tasks).await.unwrap();
        Running { tasks, handle }
    }

    /// Writes an event to its stream, recorded at [`T0`].
    pub(crate) fn append(&mut self, id: &str, event: impl Into<Event>) -> Position {
        let event = event.into();
        let stream = StreamId::new(event.aggregate_type(), id).unwrap();
        let version = self.versions.entry(stream.clone()).or_insert(Version::NONE);
        *version = version.next();
        let recorded_at = Timestamp::from_millis(T0);
        let metadata = EventMetadata {
            stream,
            version: *version,
            occurred_at: recorded_at,
            recorded_at,
            command_id: CommandId::new(uuid::Uuid::from_u128(1)),
            command_hash: CommandHash::from_bytes([0; 16]),
            correlation_id: CorrelationId::new(uuid::Uuid::from_u128(2)),
            causation_id: None,
            principal: Principal::anonymous(),
            writer_term: 1,
            traceparent: None,
        };
        let record = encode_event(self.log.topics(), 2, &metadata, &event).unwrap();
        let writer = &mut self.writers[record.partition as usize];
        writer.append(Batch::of(vec![record])).unwrap().position(0).clone()
    }

    /// Where the subscription of the process managers goes on in a partition.
    pub(crate) fn committed(&self, aggregate: AggregateType, partition: u32) -> Option<u64> {
        let topic = self.log.topics().events(aggregate).clone();
        let mut subscription = self.log.subscribe("millrace.process-managers", &[topic]).unwrap();
        let batch = subscription.read(100, Duration::ZERO).unwrap();
        let mut offsets =
            batch.records.iter().filter(|r| r.position.partition == partition).map(|r| r.position.offset);
        offsets.next()
    }
}

fn matters(folder: &TempDir, name: &str) -> Arc<dyn ReadStore> {
    let config = FjallConfig { path: folder.path().join(name), ..FjallConfig::default() };
    Arc::new(FjallStore::open(config).unwrap())
}

/// Waits until a condition holds; fails naming it when it does not in time.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < SOON, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn order(id: &str) -> OrderId {
    OrderId::new(id).unwrap()
}

pub(crate) fn pounds(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::GBP)
}

/// An order of one unit of each SKU.
pub(crate) fn placed(id: &str, skus: &[&str]) -> OrderPlaced {
    let lines = (1..).zip(skus).map(|(line, name)| OrderLine {
        line,
        sku: Sku::new(name).unwrap(),
        kind: LineKind::Goods,
        name: (*name).to_owned(),
        quantity: Quantity::new(1).unwrap(),
        unit_price: pounds(100),
        discount: pounds(0),
        tax_class: TaxClass::Standard,
        tax: pounds(0),
        total: pounds(100),
    });
    OrderPlaced {
        order_id: order(id),
        customer_id: None,
        email: None,
        channel: "web".into(),
        country: "GB".into(),
        currency: Currency::GBP,
        lines: lines.collect(),
        total: pounds(100 * skus.len() as i64),
        tax: pounds(0),
        shipping_address: None,
        payment_method: "sandbox".into(),
    }
}

/// Whether a command is for that stream.
pub(crate) fn is_for(command: &Command, stream: &str) -> bool {
    command.stream().to_string() == stream
}
