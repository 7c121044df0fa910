//! What a process says about itself.

use projections::{PartitionState, PartitionStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AdminState, LogSummary, TopicSummary};

/// `GET /admin/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Which parts run in the process.
    pub parts: Vec<String>,
    /// `embedded` or `kafka`.
    pub log: String,
    /// Prefix of the topics.
    pub namespace: String,
    /// Folder of what is local.
    pub data_dir: String,
    /// Whether every component makes progress.
    pub live: bool,
    /// Whether the process can do its work.
    pub ready: bool,
    /// The components, as `/health/ready` has them.
    pub components: Vec<Value>,
    /// The shards, where commands are decided in the process.
    pub shards: Option<ShardsStatus>,
    /// The views' lag by partition, where a projector runs in the process.
    pub lag: Vec<LagStatus>,
    /// What the process managers have before them, where they run in the process.
    pub process_managers: Option<ProcessManagersStatus>,
    /// Every topic of the log.
    pub topics: Vec<TopicStatus>,
}

/// Shards of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardsStatus {
    /// How many are served there.
    pub serving: usize,
    /// How many there are.
    pub total: u32,
}

/// The process managers of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessManagersStatus {
    /// Events that were read and are not dealt with yet.
    pub events_waiting: usize,
    /// Deadlines and results that are waited for.
    pub matters_open: usize,
}

/// The projector of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagStatus {
    /// Partition of all event topics.
    pub partition: u32,
    /// `starting`, `catching_up`, `live`, `retrying` or `stopped`.
    pub state: String,
    /// Why it is retrying or stopped.
    pub reason: Option<String>,
    /// Events that are not in the views yet.
    pub lag_events: u64,
    /// Age of the last event in the views while there are newer ones, seconds.
    pub lag_seconds: u64,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicStatus {
    /// Full topic name.
    pub topic: String,
    /// Sum of the stable ends: the number of records (on Kafka transaction markers count too).
    pub stable_records: u64,
}

impl Status {
    pub(super) fn of(state: &AdminState, log: &LogSummary) -> Self {
        let health = state.health.report();
        let components = health.components.iter().map(serde_json::to_value);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            parts: state.parts.iter().map(|part| (*part).to_owned()).collect(),
            log: state.log_kind.to_owned(),
            namespace: log.namespace.clone(),
            data_dir: state.data_dir.display().to_string(),
            live: health.live,
            ready: health.ready,
            components: components.map(|component| component.unwrap_or(Value::Null)).collect(),
            shards: state
                .host
                .as_ref()
                .map(|host| ShardsStatus { serving: host.serving_now(), total: host.partitions() }),
            lag: state
                .progress
                .iter()
                .flat_map(|progress| progress.statuses())
                .map(LagStatus::from)
                .collect(),
            process_managers: state.process_managers.get().map(|managers| ProcessManagersStatus {
                events_waiting: managers.events_waiting(),
                matters_open: managers.matters_open(),
            }),
            topics: log.topics.iter().map(TopicStatus::from).collect(),
        }
    }
}

impl From<PartitionStatus> for LagStatus {
    fn from(status: PartitionStatus) -> Self {
        let (state, reason) = match status.state {
            PartitionState::Starting => ("starting", None),
            PartitionState::CatchingUp => ("catching_up", None),
            PartitionState::Live => ("live", None),
            PartitionState::Retrying(reason) => ("retrying", Some(reason)),
            PartitionState::Stopped(reason) => ("stopped", Some(reason)),
        };
        Self {
            partition: status.partition,
            state: state.to_owned(),
            reason,
            lag_events: status.lag_events,
            lag_seconds: status.lag_seconds,
        }
    }
}

impl From<&TopicSummary> for TopicStatus {
    fn from(summary: &TopicSummary) -> Self {
        Self { topic: summary.topic.clone(), stable_records: summary.stable_ends.iter().sum() }
    }
}
