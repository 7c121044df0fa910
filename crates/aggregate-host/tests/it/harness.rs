//! A host over a log in a temporary folder, or over a real broker in a namespace of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aggregate_host::{Host, HostAnswer, HostConfig, HostError, HostHandle};
use event_log::{Cursor, EmbeddedConfig, EmbeddedLog, KafkaConfig, KafkaLog, Log, LogConfig, Record};
use schemas::stock::{ReceiveStock, ReserveStock, StockCommand};
use schemas::{
    Command, CommandEnvelope, CommandId, InstallationSecret, OrderId, Outcome, Position, Principal, Quantity,
    Sku,
};
use service_kit::{ArmedFailPoints, FailPoint, Tasks, arm_fail_points};
use tempfile::TempDir;

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Where the log of a test lives.
pub(crate) enum Place {
    Embedded { folder: TempDir },
    Kafka { folder: TempDir, config: Box<KafkaConfig> },
}

impl Place {
    pub(crate) fn embedded() -> Self {
        Self::Embedded { folder: tempfile::tempdir().unwrap() }
    }

    /// A fresh namespace on the broker named by `MILLRACE_TEST_KAFKA`; `None`, with a line that says so, without one.
    pub(crate) fn kafka() -> Option<Self> {
        let Ok(bootstrap) = std::env::var("MILLRACE_TEST_KAFKA") else {
            println!("skipped: MILLRACE_TEST_KAFKA is not set");
            return None;
        };
        let namespace = format!("host-{}", uuid::Uuid::new_v4().simple());
        let log = LogConfig { namespace, partitions: 2, ..LogConfig::default() };
        let config = KafkaConfig { log, bootstrap_servers: bootstrap, ..KafkaConfig::default() };
        KafkaLog::init_topics(&config).unwrap();
        Some(Self::Kafka { folder: tempfile::tempdir().unwrap(), config: Box::new(config) })
    }

    /// Both kinds that are to be had here.
    pub(crate) fn all() -> Vec<Self> {
        std::iter::once(Self::embedded()).chain(Self::kafka()).collect()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        match self {
            Self::Embedded { folder, .. } | Self::Kafka { folder, .. } => folder.path().to_owned(),
        }
    }

    /// How many offsets of a partition the log takes for itself with every batch.
    pub(crate) fn markers(&self) -> u64 {
        match self {
            Self::Embedded { .. } => 0,
            Self::Kafka { .. } => 1,
        }
    }

    /// Lets the next write of the embedded log fail at `point`; whether it landed is not known until the log has opened
    /// itself again.
    pub(crate) fn fail_once(&self, point: FailPoint) -> ArmedFailPoints {
        let log = self.folder().join("log");
        arm_fail_points(&format!("{}@{}=1*return(unknown)", point.name(), log.display())).unwrap()
    }

    pub(crate) fn open_log(&self) -> Arc<dyn Log> {
        match self {
            Self::Embedded { folder } => Arc::new(
                EmbeddedLog::open(EmbeddedConfig {
                    path: folder.path().join("log"),
                    ..EmbeddedConfig::default()
                })
                .unwrap(),
            ),
            Self::Kafka { config, .. } => Arc::new(KafkaLog::open((**config).clone()).unwrap()),
        }
    }
}

/// A running host.
pub(crate) struct Running {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) host: HostHandle,
    tasks: Tasks,
    /// Where accepted commands were told to stand.
    told: Mutex<Vec<Position>>,
}

impl Running {
    pub(crate) async fn start(place: &Place) -> Self {
        Self::start_with(place, HostConfig::default()).await
    }

    pub(crate) async fn start_with(place: &Place, config: HostConfig) -> Self {
        Self::start_as(place, config, None).await
    }

    pub(crate) async fn start_as(
        place: &Place,
        config: HostConfig,
        secret: Option<InstallationSecret>,
    ) -> Self {
        Self::over(place.open_log(), config, place.folder().join("state"), secret).await
    }

    /// A host over a log that is open already.
    pub(crate) async fn over(
        log: Arc<dyn Log>,
        config: HostConfig,
        state_folder: PathBuf,
        secret: Option<InstallationSecret>,
    ) -> Self {
        let tasks = Tasks::new();
        let host = Host::start(Arc::clone(&log), config, state_folder, secret, &tasks).unwrap();
        assert!(host.serving(log.partitions(), SOON).await, "the shards serve in time");
        Self { log, host, tasks, told: Mutex::default() }
    }

    /// Stops in order; the log is closed afterwards.
    pub(crate) async fn stop(self) {
        self.tasks.shutdown(SOON).await.unwrap();
        self.log.close();
    }

    /// Ends a host, however it takes it, and leaves the log open.
    pub(crate) async fn halt(self) {
        let _ = self.tasks.shutdown(SOON).await;
    }

    /// Submits as callers outside do: a shard that is being opened again is waited for.
    pub(crate) async fn submit(&self, id: u128, command: Command) -> Result<HostAnswer, HostError> {
        let deadline = Instant::now() + SOON;
        loop {
            let answer = self.host.submit(envelope(id, command.clone())).await;
            if matches!(answer, Err(HostError::ShardUnavailable { .. })) && Instant::now() < deadline {
                let _ = self.host.serving(self.log.partitions(), SOON).await;
                continue;
            }
            if let Ok(HostAnswer { outcome: Outcome::Accepted(accepted), .. }) = &answer {
                self.told.lock().unwrap().push(accepted.position.clone());
            }
            return answer;
        }
    }

    pub(crate) async fn outcome(&self, id: u128, command: Command) -> Outcome {
        self.submit(id, command).await.unwrap().outcome
    }

    /// All committed records of the events and outcomes topics, at least those that an answer has told of: a broker shows
    /// a transaction some milliseconds after it has acknowledged the commit.
    pub(crate) fn records(&self) -> Vec<Record> {
        let deadline = Instant::now() + SOON;
        for told in self.told.lock().unwrap().iter() {
            while self.log.stable_end(&told.topic, told.partition).unwrap() <= told.offset {
                assert!(Instant::now() < deadline, "{told} is not stable");
                std::thread::yield_now();
            }
        }
        let topics = self.log.topics();
        let from: Vec<_> = topics
            .all_events()
            .iter()
            .chain([topics.outcomes()])
            .flat_map(|topic| (0..self.log.partitions()).map(|k| Cursor::start(topic.clone(), k)))
            .collect();
        let mut reader = self.log.open_reader(&from).unwrap();
        let mut records = Vec::new();
        while !reader.caught_up() {
            records.extend(reader.read(1_000, Duration::from_millis(100)).unwrap());
        }
        records
    }
}

pub(crate) fn envelope(id: u128, command: Command) -> CommandEnvelope {
    CommandEnvelope::new(CommandId::new(uuid::Uuid::from_u128(id)), Principal::anonymous(), command)
}

pub(crate) fn receive(sku: &str, units: i64) -> Command {
    let quantity = Quantity::new(units).unwrap();
    let body = StockCommand::Receive(ReceiveStock { quantity, reference: None });
    Command::Stock { id: Sku::new(sku).unwrap(), body }
}

pub(crate) fn reserve(sku: &str, order: &str, units: i64) -> Command {
    let order_id = OrderId::new(order).unwrap();
    let body =
        StockCommand::Reserve(ReserveStock { order_id, line: 1, quantity: Quantity::new(units).unwrap() });
    Command::Stock { id: Sku::new(sku).unwrap(), body }
}
